import time
from dataclasses import replace

import numpy as np
import pytest

from stancelib.data.cleaning import check_corpus, raise_errors
from stancelib.data.duplicates import near_duplicate_clusters
from stancelib.data.shortcuts import shortcuts
from stancelib.data.statements import FULL, statements
from stancelib.data.summary import summarise
from stancelib.errors import DataError
from stancelib.labels import LabelSet
from stancelib.schema import Corpus, Place, Statements

LABELS = LabelSet(("accept", "reject"))
LONG = "the council would open the road again once the river wall has been checked by both engineers"


def part(*rows: tuple[str, str | None, int], name: str = "d.csv") -> Statements:
    texts, targets, ids = zip(*rows, strict=True) if rows else ((), (), ())
    places = [Place(name, row + 1) for row in range(len(rows))]
    return Statements(texts, targets, LABELS, np.array(ids, dtype=np.int_), places=places)


TRAIN = (("yes", "a", 0), ("aye", "a", 0), ("no", "a", 1), ("nay", "a", 1))


def corpus(**splits: Statements) -> Corpus:
    return Corpus("mine", LABELS, {"train": part(*TRAIN), **splits})


def found(data: Corpus, check: str, **options: bool):
    return [finding for finding in check_corpus(data, **options) if finding.check == check]


def test_a_sound_corpus_yields_nothing():
    assert check_corpus(corpus(test=part(("perhaps", "a", 1))), needs_target=True) == []


def test_the_shipped_corpus_yields_nothing_and_is_checked_in_seconds():
    start = time.process_time()
    assert check_corpus(statements(labels=FULL), needs_target=True) == []
    assert time.process_time() - start < 10


def test_a_missing_target_stops_only_models_that_need_one():
    data = corpus(test=part(("perhaps", None, 1)))
    assert found(data, "missing-target")[0].severity == "warning"
    needed = found(data, "missing-target", needs_target=True)[0]
    assert (needed.severity, needed.n_rows, needed.places) == ("error", 1, (Place("d.csv", 1),))
    without = Corpus("mine", LABELS, {"train": part(*[(text, None, label) for text, _, label in TRAIN])})
    assert check_corpus(without) == []


def test_a_label_with_one_training_row_is_an_error():
    data = Corpus("mine", LABELS, {"train": part(*TRAIN[:3])})
    assert "label 'reject' has 1 row in 'train'" in found(data, "rare-label")[0].message
    with pytest.raises(DataError, match="at least 2 are needed"):
        raise_errors(check_corpus(data))


def test_an_empty_split_is_an_error():
    assert found(corpus(test=part()), "empty-split")[0].severity == "error"


def test_the_same_text_and_target_under_two_labels_is_a_conflict():
    data = corpus(test=part(("NO!", "the a", 0), name="t.csv"))
    conflict = found(data, "conflicting-duplicates")[0]
    assert (conflict.severity, conflict.n_rows) == ("warning", 2)
    assert "'reject' in d.csv row 3 and 'accept' in t.csv row 1" in conflict.message


def test_the_same_text_towards_two_targets_is_no_duplicate():
    data = corpus(test=part((LONG, "b", 0), (LONG, "c", 1)))
    assert check_corpus(data) == []
    assert len(set(near_duplicate_clusters(data.split("test")))) == 2


def test_repeats_of_an_earlier_split_are_warned_of():
    data = corpus(validation=part((LONG, "b", 0)), test=part((LONG + " today", "b", 0), ("Yes.", "a", 0)))
    near = found(data, "near-duplicates-across-splits")[0]
    exact = found(data, "exact-duplicates-across-splits")[0]
    assert (near.severity, near.n_rows, near.places) == ("warning", 1, (Place("d.csv", 1),))
    assert (exact.severity, exact.n_rows, exact.places) == ("warning", 1, (Place("d.csv", 2),))


def test_repeats_within_a_split_are_not_leaks():
    data = corpus(test=part((LONG, "b", 0), (LONG, "b", 0)))
    assert check_corpus(data) == []


def test_errors_come_first_and_are_raised_together():
    data = corpus(test=part(("perhaps", None, 1), ("Yes.", "a", 0)), validation=part())
    findings = check_corpus(data, needs_target=True)
    assert [finding.severity for finding in findings] == ["error", "error", "warning"]
    with pytest.raises(DataError) as caught:
        raise_errors(findings)
    assert str(caught.value).count("\n") == 1
    raise_errors(findings[2:])


def test_near_duplicates_are_chained_and_independent_of_order():
    words = LONG.split()
    texts = [
        LONG,
        " ".join([*words, "soon"]),
        " ".join([*words, "soon", "indeed"]),
        "something else entirely is said here",
    ]
    clusters = near_duplicate_clusters(part(*[(text, "a", 0) for text in texts]))
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3]
    backwards = near_duplicate_clusters(part(*[(text, "a", 0) for text in reversed(texts)]))
    assert backwards == clusters[::-1]


def test_near_duplicates_are_found_among_many_templates():
    rows = [(f"{LONG} {i}", "a", 0) for i in range(200)]
    assert len(set(near_duplicate_clusters(part(*rows)))) == 1


def test_no_statements_have_no_clusters():
    assert near_duplicate_clusters(part()) == []


def test_a_token_that_goes_with_one_label_is_a_shortcut_and_a_balanced_one_is_not():
    rows = [(f"unless word{i} the", "t", 0) for i in range(30)] + [(f"never word{i} the", "t", 1) for i in range(30)]
    tokens = {(cut.value, cut.label): cut for cut in shortcuts(part(*rows))}
    assert set(tokens) == {("unless", "accept"), ("never", "reject")}
    unless = tokens["unless", "accept"]
    assert (unless.n_rows, unless.n_label, unless.expected_fraction, unless.fraction) == (30, 30, 0.5, 1.0)
    assert 0.9 < unless.pmi < 1.0
    assert unless.p_value < 1e-6


def test_a_target_that_goes_with_one_label_is_a_shortcut():
    rows = [(f"w{i}", "peace", 0) for i in range(30)] + [(f"v{i}", "war", 1) for i in range(30)]
    assert {(cut.kind, cut.value, cut.label) for cut in shortcuts(part(*rows))} == {
        ("target", "peace", "accept"),
        ("target", "war", "reject"),
    }


def test_chance_is_no_shortcut():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(200)]
    rows = [(" ".join(rng.choice(words, 10)), "t", int(rng.integers(2))) for _ in range(500)]
    assert shortcuts(part(*rows)) == []


def test_the_summary_counts_labels_words_targets_and_duplicates():
    data = corpus(test=part((LONG, "b", 0), (LONG + " today", "b", 1), ("yes", "a", 1)), validation=part())
    summary = summarise(data)
    assert summary.label_counts == {"train": {"accept": 2, "reject": 2}, "test": {"accept": 1, "reject": 2}}
    assert summary.words["test"][1.0] == 18
    assert summary.words["train"][0.5] == 1
    assert summary.n_targets == {"train": 1, "test": 2}
    duplicates = summary.duplicates
    assert (duplicates.n_exact, duplicates.n_near, duplicates.n_conflicting) == (1, 1, 2)
    assert (duplicates.n_exact_across, duplicates.n_near_across) == (1, 0)
    assert summary.digest == data.digest


def test_a_group_in_two_splits_is_warned_of_once_a_row_of_the_later_one():
    def grouped(groups, *rows):
        return replace(part(*rows), columns={"group": groups})

    train = grouped(["a", "b", None, " "], *TRAIN)
    test = grouped(["b", "c", None], ("perhaps", "a", 1), ("why not", "a", 1), ("who knows", "a", 0))
    (found_one,) = check_corpus(Corpus("mine", LABELS, {"train": train, "test": test}))
    assert (found_one.severity, found_one.check, found_one.n_rows) == ("warning", "divided-group", 1)
