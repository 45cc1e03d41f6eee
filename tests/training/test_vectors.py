import multiprocessing
import sqlite3

import numpy as np
import pytest

from stancelib.errors import ConfigError
from stancelib.training.encoders import EncoderSettings
from stancelib.training.vectors import Vectorizer, VectorStore, check_blocks, pair_features

from .tiny_bert import make_tiny_encoder

SETTINGS = EncoderSettings(max_tokens=32, threads=1)


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    monkeypatch.setenv("STANCELIB_CACHE", str(tmp_path / "cache"))
    return make_tiny_encoder(tmp_path / "enc")


def test_second_run_embeds_nothing_and_gets_the_same_vectors(encoder):
    first, second = (Vectorizer(encoder, SETTINGS, cached=True) for _ in range(2))
    texts = ["we agreed", "they refused the plan", "we agreed"]
    assert np.array_equal(first.vectors(texts), second.vectors(texts))
    assert (first.n_embedded, second.n_embedded) == (2, 0)
    assert "network" not in vars(second)


def test_other_pooling_or_other_weights_get_their_own_vectors(encoder, tmp_path):
    Vectorizer(encoder, SETTINGS, cached=True).vectors(["we agreed"])
    first = Vectorizer(encoder, EncoderSettings(max_tokens=32, pooling="first"), cached=True)
    other = Vectorizer(make_tiny_encoder(tmp_path / "other", seed=1), SETTINGS, cached=True)
    first.vectors(["we agreed"])
    other.vectors(["we agreed"])
    assert (first.n_embedded, other.n_embedded) == (1, 1)


def test_vectors_have_length_one_and_do_not_depend_on_padding(encoder):
    vectorizer = Vectorizer(encoder, SETTINGS, cached=False)
    together = vectorizer.vectors(["we", "the talks said " * 5])
    assert np.allclose(np.linalg.norm(together, axis=1), 1)
    assert np.allclose(together[0], vectorizer.vectors(["we"])[0], atol=1e-6)


def test_uncached_vectorizer_leaves_nothing_on_disk(encoder, tmp_path):
    Vectorizer(encoder, SETTINGS, cached=False).vectors(["we agreed"])
    assert not (tmp_path / "cache").exists()


def test_damaged_store_is_a_warning_and_the_vectors_are_right(encoder):
    expected = Vectorizer(encoder, SETTINGS, cached=False).vectors(["we agreed"])
    vectorizer = Vectorizer(encoder, SETTINGS, cached=True)
    vectorizer._store().path.parent.mkdir(parents=True)
    vectorizer._store().path.write_bytes(b"no database" * 1000)
    with pytest.warns(UserWarning, match="can't be (read|written)"):
        assert np.allclose(vectorizer.vectors(["we agreed"]), expected)


def _write(path, start):
    VectorStore(path).write({f"text {i}": np.full(4, i, np.float32) for i in range(start, start + 200)})


def test_parallel_writers_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(tmp_path / "v.sqlite", 100 * i)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = VectorStore(tmp_path / "v.sqlite").read([f"text {i}" for i in range(500)])
    assert len(found) == 500
    assert all(found[f"text {i}"][0] == i for i in range(500))


def test_features_are_the_blocks_in_their_order(encoder):
    vectorizer = Vectorizer(encoder, SETTINGS, cached=False)
    t, q = vectorizer.vectors(["we agreed", "the truce"])
    features = pair_features(vectorizer, ["we agreed"], ["the truce"], ("statement", "target", "difference", "product"))
    assert np.allclose(features[0], np.concatenate([t, q, abs(t - q), t * q]), atol=1e-6)


@pytest.mark.parametrize("absent", ["", None])
def test_statement_without_target_has_only_its_own_block(encoder, absent):
    vectorizer = Vectorizer(encoder, SETTINGS, cached=False)
    features = pair_features(
        vectorizer, ["we", "we"], [absent, "the bill"], ("statement", "target", "difference", "product")
    )
    assert features[0, :16].any()
    assert not features[0, 16:].any()
    assert features[1, 16:].all()


def test_interaction_is_the_product_at_the_length_of_the_other_blocks(encoder):
    vectorizer = Vectorizer(encoder, SETTINGS, cached=False)
    product, interaction = pair_features(vectorizer, ["we"], ["the truce"], ("product", "interaction")).reshape(2, -1)
    assert np.allclose(interaction, product * len(product) ** 0.5)


def test_unknown_block_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'product'"):
        check_blocks(["produkt"], use_target=True)


def test_target_blocks_without_a_target_leave_the_statement_alone():
    assert check_blocks(["statement", "product"], use_target=False) == ("statement",)
    with pytest.raises(ConfigError, match="add 'statement'"):
        check_blocks(["product"], use_target=False)


@pytest.mark.parametrize("size", [0, 7, 8])
def test_a_vector_that_was_cut_short_is_computed_again_and_replaced(encoder, size):
    texts = ["we agreed", "they refused the plan", "so be it"]
    whole = Vectorizer(encoder, SETTINGS, cached=True).vectors(texts)
    (store,) = (encoder.parent / "cache").rglob("*.sqlite")
    with sqlite3.connect(store) as connection:
        key = connection.execute("SELECT text FROM vectors LIMIT 1").fetchone()[0]
        connection.execute("UPDATE vectors SET vector = ? WHERE text = ?", (b"x" * size, key))
    for n_embedded in (1, 0):
        again = Vectorizer(encoder, SETTINGS, cached=True)
        np.testing.assert_allclose(again.vectors(texts), whole, atol=1e-6)
        assert again.n_embedded == n_embedded
