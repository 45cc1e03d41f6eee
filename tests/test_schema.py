from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.errors import DataError
from stancelib.labels import LabelSet
from stancelib.schema import Corpus, Place, Predictions, Statements

LABELS = LabelSet(("yes", "no"))


def three(**changes):
    columns = {
        "texts": ["a", "b", "c"],
        "targets": ["t", None, "u"],
        "labels": LABELS,
        "label_ids": np.array([0, 1, 0]),
        "columns": {"group": [7, 8, 9]},
        "places": [Place("f.csv", 4), Place("f.csv", 5), Place("f.csv", 9)],
    }
    return Statements(**columns | changes)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("targets", {"targets": ["t"]}),
        ("ids", {"ids": ["1"]}),
        ("label_ids", {"label_ids": np.array([0])}),
        ("group", {"columns": {"group": [1]}}),
        ("places", {"places": [Place("f.csv", 1)]}),
    ],
)
def test_columns_of_different_length_are_refused(name, column):
    with pytest.raises(DataError, match=f"column '{name}' has 1 rows, but there are 3 texts"):
        three(**column)


def test_statements_without_ids_are_numbered_from_one():
    assert list(three().ids) == ["1", "2", "3"]


@given(st.lists(st.integers(0, 2)))
def test_take_moves_every_column_alike(rows):
    taken = three().take(rows)
    assert [taken.texts, taken.targets] == [["abc"[row] for row in rows], [["t", None, "u"][row] for row in rows]]
    assert list(taken.column("label")) == [["yes", "no", "yes"][row] for row in rows]
    assert taken.columns["group"] == [7 + row for row in rows]
    assert [taken.place(i).row for i in range(len(rows))] == [[4, 5, 9][row] for row in rows]
    assert taken.ids == [str(row + 1) for row in rows]


def test_place_of_statements_made_in_memory_is_their_row_number():
    assert str(three(places=()).place(1)) == "statements row 2"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text", ["a", "b", "c"]),
        ("target", ["t", None, "u"]),
        ("id", ["1", "2", "3"]),
        ("label", ["yes", "no", "yes"]),
        ("group", [7, 8, 9]),
    ],
)
def test_any_column_is_found_by_name(name, values):
    assert list(three().column(name)) == values


def test_an_unknown_column_is_refused_with_the_names_there_are():
    with pytest.raises(DataError, match="no column 'author'; the columns are id, text, target, label, group"):
        three().column("author")


def test_unlabelled_statements_have_no_gold_and_no_label_column():
    unlabelled = three(label_ids=None, labels=None)
    assert "label" not in unlabelled.column_names
    with pytest.raises(DataError, match="carry no labels"):
        _ = unlabelled.gold


def test_concatenation_keeps_order_and_fills_missing_columns_with_none():
    joined = Statements.concatenate([three(), three(columns={"author": ["x", "y", "z"]})])
    assert joined.texts == ["a", "b", "c"] * 2
    assert joined.columns == {"group": [7, 8, 9, None, None, None], "author": [None, None, None, "x", "y", "z"]}
    assert np.array_equal(joined.gold, [0, 1, 0, 0, 1, 0])


def test_labelled_and_unlabelled_statements_cannot_be_joined():
    with pytest.raises(DataError, match="labelled and unlabelled"):
        Statements.concatenate([three(), three(label_ids=None)])


def test_nothing_cannot_be_concatenated():
    with pytest.raises(DataError, match="nothing to concatenate"):
        Statements.concatenate([])


@pytest.mark.parametrize(
    "change",
    [
        {"texts": ["a", "b", "d"]},
        {"targets": ["t", "", "u"]},
        {"label_ids": np.array([0, 1, 1])},
        {"ids": ["1", "2", "4"]},
    ],
)
def test_digest_changes_with_any_text_target_label_or_id(change):
    assert three(**change).digest != three().digest


def test_digest_depends_on_label_names_and_not_on_their_ids():
    swapped = three(labels=LabelSet(("no", "yes")), label_ids=np.array([1, 0, 1]))
    assert swapped.digest == three().digest


def test_digest_depends_on_the_order_of_rows():
    assert three().take([1, 0, 2]).digest != three().digest


def test_corpus_digest_changes_when_a_row_moves_to_another_split():
    one = Corpus("c", LABELS, {"train": three().take([0, 1]), "test": three().take([2])})
    other = Corpus("c", LABELS, {"train": three().take([0]), "test": three().take([1, 2])})
    assert one.digest != other.digest
    assert one.digest == replace(one, name="d").digest


def test_a_missing_split_is_refused_with_those_there_are():
    with pytest.raises(DataError, match="corpus 'c' has no split 'test'; it has train"):
        Corpus("c", LABELS, {"train": three()}).split("test")


def test_predicted_label_is_the_most_probable_one():
    said = Predictions(three(), LABELS, np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]]))
    assert said.label_ids.tolist() == [0, 1, 0]
    assert said.confidence.tolist() == [0.9, 0.7, 0.6]


def test_columns_of_pandas_and_numpy_are_taken_by_position_whatever_their_index():
    frame = pd.DataFrame({"text": ["a", "b", "c"], "target": ["t", "u", "v"], "group": [1, 2, 3]}, index=[2, 0, 1])
    made = Statements(
        frame["text"],
        frame["target"],
        LABELS,
        pd.Series([0, 1, 0], index=[2, 0, 1]),
        ids=np.array(["x", "y", "z"]),
        columns={"group": frame["group"]},
    )
    last = made.take([2, 1])
    assert (last.texts, last.targets, last.ids) == (["c", "b"], ["v", "u"], ["z", "y"])
    assert (last.groups, last.label_ids.tolist()) == (["3", "2"], [0, 1])
    listed = Statements(["a", "b", "c"], ["t", "u", "v"], LABELS, np.array([0, 1, 0]), ids=["x", "y", "z"])
    assert made.digest == listed.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "label_ids are given without the labels"),
        ({"label_ids": [0, 1, 2]}, "label_ids must be from 0 to 1, as there are 2 labels; got 2"),
        ({"label_ids": [0, -1, 1]}, "got -1"),
        ({"label_ids": [0.0, 1.0, 0.0]}, "label_ids must be whole numbers in one dimension, got float64"),
        ({"texts": ["a", None, "c"]}, "statement 2 must be a string, got None"),
        ({"targets": ["t", "u", float("nan")]}, "target 3 must be a string or None, got nan"),
        ({"texts": ["a", "b \ud83d", "c"]}, "statement 2 holds half of a character"),
        ({"targets": ["\ude00", None, "u"]}, "target 1 holds half of a character"),
    ],
)
def test_columns_that_are_not_what_they_should_be_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        three(**changes)


TURNED = LabelSet(tuple(reversed(LABELS.names)))


def test_labels_in_another_order_are_matched_by_name():
    """By number, right answers would have counted as wrong ones, and nobody would have been told."""
    said = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    plain = Predictions(three(), LABELS, said)
    turned = Predictions(three().with_labels(TURNED), LABELS, said)
    assert turned.statements.labels == LABELS
    assert turned.statements.gold.tolist() == plain.statements.gold.tolist()
    with pytest.raises(DataError, match=r"the statements have the label 'yes', which is none of x, y"):
        Predictions(three(), LabelSet(("x", "y")), said)


def test_splits_with_the_labels_of_another_corpus_are_refused():
    for labels in (TURNED, LabelSet(("x", "y"))):
        with pytest.raises(DataError, match=r"split 'train' has the labels .*, and the corpus 'c' .*: give all splits"):
            Corpus("c", labels, {"train": three()})


def test_statements_without_targets_need_none_to_be_given():
    assert Statements(["a", "b"]).targets == [None, None]
    with pytest.raises(DataError, match="column 'targets' has 0 rows"):
        Statements(["a", "b"], [])


def test_a_corpus_is_told_in_a_line():
    corpus = Corpus("c", LABELS, {"train": three()})
    told = [repr(one) for one in (corpus, three(), Predictions(three(), LABELS, np.full((3, 2), 0.5)))]
    assert told[0] == f"<Corpus c: train 3; labels {', '.join(LABELS)}>"
    assert told[1].startswith("<Statements: 3, columns id, text, target, label")
    assert told[2] == f"<Predictions: 3 statements, labels {', '.join(LABELS)}>"


def test_the_names_of_a_label_set_may_be_a_list():
    assert LabelSet(["a", "b"]) == LabelSet(("a", "b"))
