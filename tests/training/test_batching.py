from types import SimpleNamespace

import numpy as np
import pytest

from stancelib.training import batching
from stancelib.training.batching import bucketed, by_length, tokenize
from stancelib.training.encoders import load_tokenizer

from .tiny_bert import make_tiny_encoder


@pytest.fixture
def tokenizer(tmp_path):
    return load_tokenizer(make_tiny_encoder(tmp_path / "enc"), 16)


def padding(batches, lengths):
    return sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum() - 1


def test_an_epoch_has_every_row_once_and_another_order_each_time():
    lengths = np.random.default_rng(0).integers(5, 90, 333)
    first, second = (bucketed(lengths, 16, np.random.default_rng(seed)) for seed in (1, 2))
    assert sorted(np.concatenate(first)) == list(range(333))
    assert [list(rows) for rows in first] != [list(rows) for rows in second]


def test_buckets_pad_a_tenth_of_what_random_batches_pad():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 90, 1600)
    assert padding(bucketed(lengths, 16, rng), lengths) < 0.1 * padding(rng.permutation(1600).reshape(-1, 16), lengths)


def test_prediction_goes_from_short_to_long():
    assert [list(rows) for rows in by_length(np.array([5, 1, 9, 3]), 2)] == [[1, 3], [0, 2]]


def test_pair_is_target_then_statement_in_two_segments(tokenizer):
    batch = tokenize(tokenizer, ["we agreed"], ["the truce"]).batch([0])
    assert (
        tokenizer.decode(batch["input_ids"][0].tolist(), skip_special_tokens=False)
        == "[CLS] the truce [SEP] we agreed [SEP]"
    )
    assert batch["token_type_ids"][0].tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_absent_target_reads_as_an_empty_one(tokenizer):
    rows = tokenize(tokenizer, ["we agreed"] * 2, [None, ""])
    assert np.array_equal(*rows.batch([0, 1])["input_ids"])


def test_batch_is_padded_to_its_longest_row_only(tokenizer):
    rows = tokenize(tokenizer, ["we", "we said", "we said the plan"], None, padding_id=0)
    batch = rows.batch([0, 1])
    assert batch["input_ids"].shape == (2, 4)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["input_ids"][0, 3] == 0


def test_long_statement_is_cut_and_its_target_kept(tokenizer):
    rows = tokenize(tokenizer, ["we said " * 5000], ["the truce"])
    assert rows.lengths.tolist() == [16]
    assert tokenizer.decode(rows.ids.tolist()).startswith("[CLS] the truce [SEP] we said")


def test_tokens_are_the_same_however_many_rows_are_encoded_at_once(tokenizer, monkeypatch):
    texts, targets = [f"we said {'the plan ' * n}" for n in range(5)], ["the truce", None, "we", "", "the plan"]
    whole = tokenize(tokenizer, texts, targets)
    asked = []
    encode = tokenizer.encode_batch
    monkeypatch.setattr(batching, "ENCODED_AT_ONCE", 2)
    watched = SimpleNamespace(encode_batch=lambda rows: asked.append(len(rows)) or encode(rows))
    parts = tokenize(watched, texts, targets)
    assert asked == [2, 2, 1]
    for name in ("ids", "segments", "starts"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
        assert getattr(whole, name).dtype == getattr(parts, name).dtype


def test_no_rows_have_no_tokens(tokenizer):
    assert len(tokenize(tokenizer, [], [])) == 0


def test_the_statements_own_tokens_are_told_from_those_of_the_target(tokenizer):
    alone, pair = (tokenize(tokenizer, ["we agreed"], targets) for targets in (None, ["the truce"]))
    assert alone.statement.tolist() == [0, 1, 1, 0]
    assert pair.statement.tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert pair.batch([0])["statement_mask"].tolist() == [pair.statement.tolist()]


@pytest.mark.parametrize(
    ("evidence", "marks"),
    [
        ("said the", [0, 0, 0, 0, 0, 1, 1, 0, 0]),
        ("truce", [0, 0, 0, 0, 0, 0, 0, 1, 0]),  # not the target's
        ("", [0] * 9),
        (None, [-1] * 9),
    ],
)
def test_evidence_marks_the_tokens_it_overlaps(tokenizer, evidence, marks):
    rows = tokenize(tokenizer, ["we said the truce"], ["the truce"], evidence=[evidence])
    assert rows.evidence.tolist() == marks


def test_evidence_behind_the_cut_is_marked_nowhere(tokenizer):
    rows = tokenize(tokenizer, ["we said " * 20 + "vote"], ["the truce"], evidence=["vote"])
    assert len(rows.evidence) == 16
    assert not rows.evidence.any()
