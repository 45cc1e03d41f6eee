import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stancelib
from stancelib.errors import BundleError, DataError
from stancelib.inference import answer_columns
from stancelib.schema import Place, Predictions, Statements
from stancelib.scoring import RowColumns, score_rows

from .conftest import LABELS


@pytest.fixture(scope="module")
def model(tfidf_bundle):
    return stancelib.load(tfidf_bundle)


def rows(n, **changes):
    return [(Place("f.jsonl", i + 1), {"text": f"we agree if {i}", "target": "a plan"} | changes) for i in range(n)]


def test_one_text_gives_one_prediction_with_every_probability_by_name(model):
    (said,) = model.predict("no, never the fence today", targets="the plan")
    assert said.label == "reject"
    assert list(said.probabilities) == list(LABELS)
    assert said.confidence == said.probabilities["reject"] == max(said.probabilities.values())
    assert sum(said.probabilities.values()) == pytest.approx(1)


def test_one_target_serves_all_statements(model):
    texts = ["we agree if it rains", "let us start"]
    assert np.array_equal(model.predict_proba(texts, "a plan"), model.predict_proba(texts, ["a plan", "a plan"]))


def test_each_statement_may_have_its_own_target_or_none(model):
    together = model.predict_proba(["we agree"] * 2, ["the fence", None])
    assert np.allclose(together[0], model.predict_proba("we agree", "the fence"))
    assert np.allclose(together[1], model.predict_proba("we agree"))


def test_predictions_do_not_depend_on_the_company_of_a_statement(model, statements):
    together = model.judge(statements).probabilities
    alone = [model.judge(statements.take([row])).probabilities[0] for row in range(len(statements))]
    assert np.allclose(together, alone)


def test_nothing_to_predict_gives_nothing(model):
    assert model.predict([]) == []
    assert model.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("texts", "targets", "message"),
    [
        (["a", "b"], ["x"], "there are 2 statements but 1 targets; give one target, or one for each"),
        (["a", None], None, "statement 2 must be a string, got None"),
        ([3], None, "statement 1 must be a string, got 3"),
        (["a"], [5], "target 1 must be a string or None, got 5"),
        (
            pd.DataFrame({"text": ["a"]}),
            None,
            "statements is a frame; give one of its columns, or the frame to predict_frame",
        ),
        ({"text": ["a"]}, None, "statements must be a string or a list of strings, got a dict"),
        ({"a"}, None, "got a set"),
        (None, None, "got a NoneType"),
        (["a"], 5, "targets must be a string or a list of strings, got a int"),
    ],
)
def test_what_is_no_statement_is_refused_by_position(model, texts, targets, message):
    with pytest.raises(DataError, match=message):
        model.predict(texts, targets)


def test_a_frame_keeps_its_index_and_columns_and_gains_answers(model):
    frame = pd.DataFrame({"text": ["we agree if", "no, never"], "target": ["a", None], "x": [1, 2]}, index=[7, 3])
    found = model.predict_frame(frame)
    assert list(found.index) == [7, 3]
    assert list(found.columns) == ["text", "target", "x", "label", "confidence", *(f"p_{name}" for name in LABELS)]
    assert found["label"].tolist() == [said.label for said in model.predict(frame["text"].tolist(), ["a", None])]
    assert list(frame.columns) == ["text", "target", "x"]


def test_columns_that_a_frame_has_already_are_not_overwritten(model):
    found = model.predict_frame(pd.DataFrame({"text": ["no, never"], "label": ["propose"]}))
    assert found[["label", "predicted_label"]].to_numpy().tolist() == [["propose", "reject"]]


def test_a_frame_of_other_column_names_is_read_by_name(model):
    frame = pd.DataFrame({"said": ["we agree"], "about": ["the fence"]})
    found = model.predict_frame(frame, text="said", target="about")
    assert found["confidence"].iloc[0] == model.predict("we agree", "the fence")[0].confidence


def test_a_frame_without_the_text_column_is_refused(model):
    with pytest.raises(DataError, match="the frame has no column 'text'; it has said"):
        model.predict_frame(pd.DataFrame({"said": ["a"]}))


def test_an_empty_frame_gains_columns_and_no_rows(model):
    found = model.predict_frame(pd.DataFrame({"text": [], "target": []}))
    assert found.shape == (0, 4 + len(LABELS))


def test_a_run_folder_is_loaded_by_the_bundle_in_it(tfidf_bundle, tmp_path):
    shutil.copytree(tfidf_bundle, tmp_path / "run" / "model")
    assert stancelib.load(tmp_path / "run").labels == LABELS
    assert stancelib.load(str(tmp_path / "run")).bundle.folder == tmp_path / "run" / "model"


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="no stancelib bundle"):
        stancelib.load(tmp_path)


@given(st.integers(0, 40), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_batches_keep_every_row_in_order_with_the_answers_of_the_whole(tfidf_bundle, n_rows, batch_size):
    model = stancelib.load(tfidf_bundle)
    batches = list(score_rows(model, iter(rows(n_rows)), batch_size=batch_size))
    found = [row for batch in batches for row in batch]
    assert [row["text"] for row in found] == [row["text"] for _, row in rows(n_rows)]
    assert all(len(batch) == batch_size for batch in batches[:-1])
    wanted = model.predict([row["text"] for _, row in rows(n_rows)], "a plan")
    assert [row["label"] for row in found] == [said.label for said in wanted]
    assert np.allclose([row["confidence"] for row in found], [said.confidence for said in wanted])


def test_rows_are_read_only_as_they_are_scored(model):
    read = []

    def endless():
        for i in range(10**9):
            read.append(i)
            yield rows(1)[0]

    batches = score_rows(model, endless(), batch_size=8)
    assert len(next(batches)) == 8
    assert len(read) == 8
    next(batches)
    assert len(read) == 16


def test_a_fixed_target_wins_over_the_column(model):
    (found,) = score_rows(model, rows(1, target="the ferry"), RowColumns(fixed_target="the fence"))
    assert found[0]["confidence"] == model.predict("we agree if 0", "the fence")[0].confidence
    assert found[0]["target"] == "the ferry"


def test_a_row_without_text_is_refused_by_place(model):
    bad = [*rows(2), (Place("f.jsonl", 3), {"text": " ", "target": "a"})]
    with pytest.raises(DataError, match=r"f.jsonl row 3 has no text: 'text' is ' '. Mend it, or pass --keep-going"):
        list(score_rows(model, bad))


def test_a_row_without_text_can_be_left_unanswered(model):
    bad = [*rows(1), (Place("f.jsonl", 2), {"text": None, "target": "a"})]
    (found,) = score_rows(model, bad, RowColumns(keep_going=True))
    assert found[0]["label"] == "conditional-accept"
    assert found[1] == {"text": None, "target": "a", "label": None, "confidence": None} | {
        f"p_{name}": None for name in LABELS
    }


def test_a_row_without_the_text_column_is_refused_even_when_going_on(model):
    with pytest.raises(
        DataError, match=r"f.jsonl row 1 has no column 'said'; it has text, target. Name .*--text-column"
    ):
        list(score_rows(model, rows(1), RowColumns(text="said", keep_going=True)))


def test_answer_columns_avoid_names_that_are_taken():
    said = Predictions(Statements(["a"], [None]), LABELS, np.array([[0.5, 0.3, 0.2]]))
    assert list(answer_columns(said, taken=["label", "p_reject"])) == [
        "predicted_label",
        "confidence",
        "p_conditional-accept",
        "predicted_p_reject",
        "p_propose",
    ]


def test_a_model_says_what_it_is(model):
    assert repr(model) == "<StanceModel tfidf small s0: conditional-accept, reject, propose>"


def test_statements_and_targets_may_come_one_by_one(model):
    found = model.predict((text for text in ["we agree", "no, never"]), (target for target in ["the fence", None]))
    assert found == model.predict(pd.Series(["we agree", "no, never"], index=[4, 4]), np.array(["the fence", None]))


def test_half_of_a_character_is_read_as_one_that_could_not_be_read(model):
    assert model.predict("no, never \ud83d", "a \ude00") == model.predict(["no, never \ufffd"], ["a \ufffd"])


def test_a_frame_without_the_target_column_that_is_named_is_refused(model):
    with pytest.raises(DataError, match="the frame has no column 'topik'; it has text, topic"):
        model.predict_frame(pd.DataFrame({"text": ["a"], "topic": ["b"]}), target="topik")


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT])
def test_missing_targets_of_a_frame_are_no_targets(missing, model):
    """What ``read_csv`` makes of an empty field."""
    said = model.predict_proba(["we agree"] * 2, pd.Series(["the fence", missing], dtype=object))
    assert np.array_equal(said, model.predict_proba(["we agree"] * 2, ["the fence", None]))
