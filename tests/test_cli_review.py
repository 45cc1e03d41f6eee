import csv
import json

import pytest

from stancelib.experiment import run_experiment
from stancelib.models.tfidf import Tfidf

from .conftest import make_corpus, make_rows, write_jsonl


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path_factory.mktemp("runs") / "tfidf").folder


@pytest.fixture
def data(tmp_path):
    return f"data.path={{train: {write_jsonl(tmp_path / 'train.jsonl', make_rows(45))}}}"


def corrected(path, label):
    rows = list(csv.DictReader(path.open()))
    rows[0]["corrected_label"] = label
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows[0]


def test_a_queue_goes_out_and_its_corrections_come_back_on_record(cli, run, data, in_tmp):
    assert cli("review", run, "data=files", data, "-n", "4").code == 0
    row = corrected(in_tmp / "review.csv", "propose")
    done = cli("take-back", "review.csv", "--reviewer", "ada", "data=files", data)
    assert done.code == 0
    assert "1 labels reviewed" in done.out
    (change,) = csv.DictReader((in_tmp / "reviewed" / "changes.csv").open())
    assert (change["id"], change["old"], change["new"], change["reviewer"]) == (
        row["id"],
        row["label"],
        "propose",
        "ada",
    )
    rows = [json.loads(line) for line in (in_tmp / "reviewed" / "train.jsonl").open()]
    assert len(rows) == 45
    assert {r["id"]: r["label"] for r in rows}[row["id"]] == "propose"


def test_without_noise_nothing_is_called_mislabelled(cli, run, data, in_tmp):
    assert cli("review", run, "data=files", data, "-n", "3", "--no-noise").code == 0
    reasons = {row["reason"] for row in csv.DictReader((in_tmp / "review.csv").open())}
    assert reasons
    assert not any("mislabelled" in reason for reason in reasons)


def mislabelled(path):
    return [row["id"] for row in csv.DictReader(path.open()) if "mislabelled" in row["reason"]]


def test_the_family_that_looks_for_noise_can_be_chosen(cli, run, data, in_tmp):
    queues = {}
    for name, model in (("tfidf", ()), ("hard", ("model=tfidf", "model.C=0.01")), ("prior", ("model=prior",))):
        assert cli("review", run, "data=files", data, "-n", "8", *model, "-o", f"{name}.csv").code == 0
        queues[name] = mislabelled(in_tmp / f"{name}.csv")
    assert queues["tfidf"]
    assert queues["prior"] != queues["tfidf"] != queues["hard"]


def test_an_unknown_family_is_refused_before_anything_is_fitted(cli, run, data, in_tmp):
    done = cli("review", run, "data=files", data, "model=tfdif")
    assert done.code == 2
    assert "did you mean 'tfidf'" in done.err
    assert not (in_tmp / "review.csv").exists()


def test_an_unknown_label_is_refused_with_its_row(cli, run, data, in_tmp):
    cli("review", run, "data=files", data, "-n", "2", "--no-noise")
    corrected(in_tmp / "review.csv", "rejct")
    done = cli("take-back", "review.csv", "--reviewer", "ada", "data=files", data)
    assert done.code == 2
    assert "did you mean 'reject'" in done.err
    assert not (in_tmp / "reviewed").exists()


def test_a_queue_that_may_hold_answers_is_replaced_only_when_asked(cli, run, data, in_tmp):
    (in_tmp / "review.csv").write_text("mine")
    command = ("review", run, "data=files", data, "-n", "2", "--no-noise")
    done = cli(*command)
    assert (done.code, (in_tmp / "review.csv").read_text()) == (2, "mine")
    assert done.error == "'review.csv' exists already. Name another file, or add --overwrite to replace it."
    assert cli(*command, "--overwrite").code == 0
    assert "corrected_label" in (in_tmp / "review.csv").read_text()


def test_an_earlier_take_back_is_replaced_only_when_asked(cli, run, data, in_tmp):
    assert cli("review", run, "data=files", data, "-n", "2", "--no-noise").code == 0
    command = ("take-back", "review.csv", "--reviewer", "ada", "data=files", data)
    (in_tmp / "reviewed").mkdir()
    (in_tmp / "reviewed" / "notes.txt").write_text("mine")
    assert cli(*command).code == 0  # files that aren't a take-back's are in nobody's way
    (in_tmp / "reviewed" / "train.jsonl").write_text("mine")
    done = cli(*command)
    assert done.code == 2
    assert done.error.endswith("train.jsonl' exists already. Name another folder, or add --overwrite to replace it.")
    assert (in_tmp / "reviewed" / "train.jsonl").read_text() == "mine"
    (in_tmp / "reviewed" / "changes.csv").write_text("of before")
    assert cli(*command, "--overwrite").code == 0
    assert sorted(path.name for path in (in_tmp / "reviewed").iterdir()) == ["notes.txt", "train.jsonl"]
    assert (in_tmp / "reviewed" / "train.jsonl").read_text() != "mine"


def test_faulty_rows_stop_a_review_and_a_take_back_instead_of_going_missing(cli, run, data, in_tmp):
    assert cli("review", run, "data=files", data, "-n", "2", "--no-noise").code == 0
    corrected(in_tmp / "review.csv", "propose")
    faulty = write_jsonl(in_tmp / "faulty.jsonl", [*make_rows(45), {"id": "z", "text": " ", "label": "reject"}])
    for command in (("review", run, "-o", "other.csv"), ("take-back", "review.csv", "--reviewer", "ada")):
        done = cli(*command, "data=files", f"data.path={{train: {faulty}}}")
        assert done.code == 2
        assert "1 row with no text" in done.error
    assert not (in_tmp / "reviewed").exists()
    assert not (in_tmp / "other.csv").exists()


def test_a_take_back_leaves_no_split_of_an_earlier_one(cli, run, data, in_tmp):
    assert cli("review", run, "data=files", data, "-n", "2", "--no-noise").code == 0
    (in_tmp / "reviewed").mkdir()
    (in_tmp / "reviewed" / "validation.jsonl").write_text("of before")
    (in_tmp / "reviewed" / "changes.csv").write_text("of before")
    (in_tmp / "reviewed" / "gold.jsonl").write_text("mine")  # no split that take-back ever writes here
    assert cli("take-back", "review.csv", "--reviewer", "ada", "data=files", data, "--overwrite").code == 0
    assert sorted(path.name for path in (in_tmp / "reviewed").iterdir()) == ["gold.jsonl", "train.jsonl"]


def test_a_queue_that_excel_saved_is_read_in_its_encoding(cli, run, data, in_tmp):
    assert cli("review", run, "data=files", data, "-n", "2", "--no-noise").code == 0
    corrected(in_tmp / "review.csv", "propose")
    text = (in_tmp / "review.csv").read_text().replace("comment", "remark on a café", 1)
    (in_tmp / "review.csv").write_text(text, encoding="cp1252")
    command = ("take-back", "review.csv", "--reviewer", "ada", "data=files", data)
    assert "is not utf-8" in cli(*command).error
    assert cli(*command, "--encoding", "cp1252").code == 0
