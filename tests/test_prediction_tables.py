import numpy as np
import pytest

from stancelib.data.writing import write_rows
from stancelib.errors import DataError
from stancelib.experiment import run_experiment
from stancelib.inference import load
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.prediction_tables import prediction_columns, read_predictions
from stancelib.schema import Place
from stancelib.scoring import score_rows

from .conftest import make_corpus, make_rows, write_jsonl

GOOD = {"text": "a", "gold": "yes", "p_yes": 0.2, "p_no": 0.8}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path_factory.mktemp("runs") / "tfidf")


def test_a_runs_predictions_are_read_as_they_were_made(run):
    made, read = run.predictions["validation"], read_predictions(str(run.folder), "validation")
    assert read.statements.digest == made.statements.digest
    assert read.label_ids.tolist() == made.label_ids.tolist()
    np.testing.assert_allclose(read.probabilities, made.probabilities)


@pytest.mark.parametrize("part", [".", "model", "tables/predictions_validation.json"])
def test_run_bundle_and_table_lead_to_the_same_predictions(run, part):
    assert len(read_predictions(str(run.folder / part)).statements) == 12


def test_other_columns_of_the_data_are_kept(run):
    kept = {"domain": "x", "right": "mine", "data.right": "too", "text": "another", "p_reject": "p"}
    said = run.predictions["validation"]
    statements = type(said.statements)(
        said.statements.texts,
        said.statements.targets,
        said.labels,
        said.statements.label_ids,
        columns={name: [value] * 12 for name, value in kept.items()},
    )
    columns = prediction_columns(type(said)(statements, said.labels, said.probabilities))
    assert columns["domain"] == ["x"] * 12
    assert columns["right"][0] in (True, False)
    assert columns["text"] == said.statements.texts
    others = {"data.data.right": "mine", "data.right": "too", "data.text": "another", "data.p_reject": "p"}
    assert {name: columns[name][0] for name in others} == others


def test_rows_of_a_file_are_read_without_a_run(tmp_path):
    rows = [
        {"text": "a", "gold": "no", "p_yes": 0.2, "p_no": 0.8},
        {"text": "b", "gold": "yes", "p_yes": 0.3, "p_no": 0.7},
    ]
    read = read_predictions(str(write_jsonl(tmp_path / "said.jsonl", rows)))
    assert list(read.labels) == ["yes", "no"]
    assert (read.label_ids == read.statements.gold).tolist() == [True, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "p_yes": 0.2, "p_no": 0.8}], "no column 'gold'"),
        ([{"text": "a", "gold": "yes", "p_yes": 1.0}], "no two columns p_<label>"),
        ([{"text": "a", "gold": "yes", "p_yes": 0.2, "p_no": 0.2}], r"row 1: its probabilities sum to 0.400"),
        ([{"text": "a", "gold": "yes", "p_yes": 1.2, "p_no": -0.2}], r"row 1 has 1.2 where a probability belongs"),
        ([{"text": "a", "gold": "yes", "p_yes": "nan", "p_no": 1}], r"row 1 has 'nan' where a probability belongs"),
        ([GOOD, {"text": "a", "p_yes": 0.2, "p_no": 0.8}], r"row 2 has None where its gold belongs"),
        ([GOOD, GOOD | {"text": 5}], r"row 2 has 5 where its text belongs"),
        ([], "holds no predictions"),
    ],
)
def test_tables_that_hold_no_predictions_are_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_predictions(str(write_jsonl(tmp_path / "said.jsonl", rows)))


def test_a_split_that_was_not_scored_is_named(run):
    with pytest.raises(DataError, match="has no predictions for test: give a run folder"):
        read_predictions(str(run.folder), "test")


def test_json_that_is_no_table_is_refused(tmp_path):
    for content in ("[1]", '{"columns": ['):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(DataError, match="is no prediction table"):
            read_predictions(str(tmp_path / "x.json"))


def test_compare_shows_differences_and_writes_flips_and_page(run, tmp_path, cli):
    other = run_experiment(corpus=make_corpus(), model=Prior(), folder=tmp_path / "prior")
    flips, page = tmp_path / "flips.csv", tmp_path / "page.html"
    done = cli("compare", str(run.folder), str(other.folder), "--flips", str(flips), "--html", str(page))
    assert done.code == 0
    assert "only A right: 8, only B right: 0" in page.read_text()
    assert flips.read_text().count("\n") == 9
    done = cli("compare", str(run.folder), str(other.folder))
    assert "macro_f1" in done.out
    assert "12 statements in " in done.out


def test_comparing_runs_on_other_data_is_refused(run, tmp_path, cli):
    other = run_experiment(corpus=make_corpus(n_validation=15), model=Prior(), folder=tmp_path / "prior")
    done = cli("compare", str(run.folder), str(other.folder))
    assert done.code == 2
    assert "not about the same statements: 12 rows with digest" in done.err


def test_one_run_is_nothing_to_compare(run, cli):
    done = cli("compare", str(run.folder))
    assert (done.code, "compare needs at least two runs" in done.err) == (2, True)


def test_what_predict_makes_of_labelled_rows_can_be_compared(tmp_path, tfidf_bundle):
    model, rows = load(tfidf_bundle), make_rows(12)
    places = [(Place("f.csv", number), row) for number, row in enumerate(rows, 1)]
    with write_rows(tmp_path / "scored.csv") as write:
        for batch in score_rows(model, places):
            write(batch)
    said = read_predictions(str(tmp_path / "scored.csv"))
    assert said.statements.column("label") == [row["label"] for row in rows]
    answers = model.predict([row["text"] for row in rows], [row["target"] for row in rows])
    assert said.labels.decode(said.label_ids) == [one.label for one in answers]


def test_the_parent_of_several_seeds_names_them(tmp_path):
    (tmp_path / "s" / "seed-0").mkdir(parents=True)
    with pytest.raises(DataError, match=r"is the parent of 1 seeds; give one of its runs, such as .*s/seed-0"):
        read_predictions(str(tmp_path / "s"))
