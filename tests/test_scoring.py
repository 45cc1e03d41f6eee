import pytest

import stancelib
from stancelib.errors import DataError
from stancelib.schema import Place
from stancelib.scoring import RowColumns, score_rows


@pytest.fixture
def model(tfidf_bundle):
    return stancelib.load(tfidf_bundle)


def placed(rows):
    return [(Place("x.jsonl", number), row) for number, row in enumerate(rows, start=1)]


def test_a_column_that_only_later_rows_have_is_kept_and_moves_the_answer(model):
    rows = [{"text": "no, never"}, {"text": "let us start", "label": "GOLD"}]
    (found,) = score_rows(model, placed(rows))
    assert found[1]["label"] == "GOLD"
    assert [row["predicted_label"] for row in found] == ["reject", "propose"]


def test_a_prediction_made_before_is_kept(model):
    (found,) = score_rows(model, placed([{"text": "no, never", "label": "a", "predicted_label": "b"}]))
    assert (found[0]["label"], found[0]["predicted_label"]) == ("a", "b")
    assert found[0]["predicted_predicted_label"] == "reject"


def test_a_row_whose_column_comes_too_late_is_refused_by_its_place(model):
    rows = [{"text": "no, never"}, {"text": "let us start", "label": "GOLD"}]
    with pytest.raises(DataError, match=r"x.jsonl row 2 has a column 'label'"):
        list(score_rows(model, placed(rows), batch_size=1))


def test_a_target_that_is_no_number_is_no_target(model):
    rows = [{"text": "no, never", "target": target} for target in (float("nan"), "  ", None)]
    (found,) = score_rows(model, placed(rows))
    assert len({row["confidence"] for row in found}) == 1


def test_a_target_column_that_was_named_and_is_nowhere_is_refused(model):
    rows = placed([{"text": "no, never", "topic": "x"}])
    with pytest.raises(DataError, match=r"row 1 has no column 'topik'; it has text, topic; did you mean 'topic'\?"):
        list(score_rows(model, rows, RowColumns(target="topik")))


def test_rows_may_lack_a_target_that_others_have(model):
    rows = placed([{"text": "no, never"}, {"text": "no, never", "about": "x"}])
    (found,) = score_rows(model, rows, RowColumns(target="about"))
    assert found[0]["confidence"] == model.predict("no, never")[0].confidence


def test_half_of_a_character_is_scored_and_kept(model):
    row = {"text": "no, never \ud83d", "target": "x \ude00"}
    (found,) = score_rows(model, placed([row]))
    assert found[0] | row == found[0]
    assert found[0]["label"] == "reject"
