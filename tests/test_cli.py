"""The command line: what each command prints and writes, and with which exit code it ends."""

import contextlib
import csv
import importlib.util
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stancelib import __version__
from stancelib.bundle import save_bundle
from stancelib.journal import read_events
from stancelib.models.prior import Prior
from stancelib.schema import Statements

from .conftest import LABELS, make_rows, write_jsonl

STANCELIB = [sys.executable, "-c", "from stancelib.cli import main; main()"]
QUICK = ("data=files", "data.path=mine.jsonl", "split=random", "model=prior", "tracking=none")
ANSWERS = ["label", "confidence", *(f"p_{name}" for name in LABELS)]
SLOW_FAMILY = """
import time
from stancelib.models.prior import Prior
class Slow(Prior):
    def fit(self, train, validation=None, *, report=None):
        print("fitting", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def mine(in_tmp):
    return write_jsonl(in_tmp / "mine.jsonl", make_rows(60))


@pytest.fixture
def model(tfidf_bundle):
    return str(tfidf_bundle)


def unlabelled(n=6):
    return [{name: row[name] for name in ("id", "text", "target")} for row in make_rows(n, start=500)]


def runs_in(folder):
    return sorted(path.parent for path in folder.rglob("events.jsonl"))


def status(folder):
    return [event["status"] for event, _ in read_events(folder) if event["event"] == "end"]


def test_training_shows_scores_run_and_model_and_writes_them(cli, mine, in_tmp):
    answer = cli("train", *QUICK, "split.validation_fraction=0.25")
    assert answer.code == 0
    assert answer.err == ""
    (run,) = runs_in(in_tmp)
    assert re.fullmatch(r"runs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-[0-9a-f]{6}", run.relative_to(in_tmp).as_posix())
    assert re.search(r"^macro_f1 +\d\.\d{4}\b", answer.out, re.MULTILINE)
    assert f"run     {run}" in answer.out
    assert f"model   {run / 'model'}" in answer.out
    assert {"events.jsonl", "config.json", "model", "figures", "tables", ".hydra"} <= {p.name for p in run.iterdir()}
    assert (run / "model" / "manifest.json").is_file()


def test_the_run_is_named_after_what_differs_from_the_defaults(cli, mine, in_tmp):
    cli("train", *QUICK, "model.smoothing=2", "seed=5")
    (start,) = [event for event, _ in read_events(runs_in(in_tmp)[0]) if event["event"] == "start"]
    assert start["name"] == "prior files mine.jsonl random smoothing=2 s5"


def test_the_note_tells_the_command_that_was_run(cli, mine, in_tmp):
    cli("train", *QUICK)
    (note,) = [event for event, _ in read_events(runs_in(in_tmp)[0]) if event["event"] == "note"]
    assert f"stancelib train {' '.join(QUICK)}" in note["text"]


def test_the_seed_reaches_split_and_model(cli, mine, in_tmp):
    cli("train", *QUICK, "seed=7", "model=tfidf")
    config = json.loads((runs_in(in_tmp)[0] / "config.json").read_text())
    assert (config["seed"], config["split"]["seed"], config["model"]["seed"]) == (7, 7, 7)


def test_the_test_split_is_scored_only_when_asked_for(cli, mine):
    one = cli("train", *QUICK).out
    both = cli("train", *QUICK, "evaluation.splits=[validation,test]").out
    assert re.search(r"^ +validation$", one, re.MULTILINE)
    assert re.search(r"^ +validation +test$", both, re.MULTILINE)


def test_a_grid_makes_one_run_for_each_point(cli, mine, in_tmp):
    answer = cli("train", "-m", *QUICK, "model.smoothing=0,1", "seed=0,1")
    assert answer.code == 0
    configs = [json.loads((run / "config.json").read_text()) for run in runs_in(in_tmp)]
    assert {(config["model"]["smoothing"], config["seed"]) for config in configs} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(re.findall(r"^macro_f1 ", answer.out, re.MULTILINE)) == 4


def test_flags_may_stand_between_overrides(cli, mine, in_tmp):
    assert cli("train", *QUICK[:3], "-m", *QUICK[3:], "seed=0,1").code == 0
    assert len(runs_in(in_tmp)) == 2


def test_a_failing_job_of_a_grid_does_not_stop_the_others(cli, mine, in_tmp):
    answer = cli("train", "-m", *QUICK, "model.smoothing=1,-1,2")
    assert answer.code == 2
    assert answer.error == "model=prior: smoothing must be at least 0, got -1.0."
    assert [status(run) for run in runs_in(in_tmp)] == [["FINISHED"], ["FINISHED"]]


def test_a_primary_config_of_ones_own_runs_an_experiment(cli, mine, in_tmp):
    folder = in_tmp / "experiments" / "0003_x"
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text(
        "# What the experiment asks\n"
        "defaults:\n  - train\n  - override data: files\n  - override model: prior\n  - override split: random\n"
        "  - override tracking: none\n  - _self_\n"
        "data:\n  path: mine.jsonl\nmodel:\n  smoothing: 3.0\n"
    )
    answer = cli("train", "-cd", str(folder), "-cn", "experiment", "seed=4")
    assert answer.code == 0, answer.err
    (run,) = runs_in(in_tmp)
    config = json.loads((run / "config.json").read_text())
    assert (config["model"]["smoothing"], config["seed"]) == (3.0, 4)


def test_an_experiment_may_bring_options_of_its_own(cli, mine, in_tmp):
    (in_tmp / "x" / "model").mkdir(parents=True)
    (in_tmp / "x" / "model" / "smooth.yaml").write_text(
        "# A prior\n_target_: stancelib.models.prior.Prior\nper_target: false\nsmoothing: 9.0\n"
    )
    (in_tmp / "x" / "experiment.yaml").write_text("defaults:\n  - train\n  - override model: smooth\n  - _self_\n")
    assert cli("train", "-cd", "x", "-cn", "experiment", *QUICK[:3], "tracking=none").code == 0
    assert json.loads((runs_in(in_tmp)[0] / "config.json").read_text())["model"]["smoothing"] == 9.0


def test_cfg_job_prints_the_composed_configuration_and_runs_nothing(cli, in_tmp):
    answer = cli("train", "--cfg", "job", "model=prior")
    assert answer.code == 0
    assert "_target_: stancelib.models.prior.Prior" in answer.out
    assert runs_in(in_tmp) == []


def test_evaluating_scores_a_model_on_files_and_makes_a_run(cli, model, mine, in_tmp):
    answer = cli("evaluate", model, "data=files", "data.path=mine.jsonl", "tracking=none", "--split", "train")
    assert answer.code == 0, answer.err
    assert re.search(r"^accuracy +(0\.9\d+|1\.0000)\b", answer.out, re.MULTILINE)
    (run,) = runs_in(in_tmp)
    assert status(run) == ["FINISHED"]
    assert not (run / "model").exists()


def test_an_evaluation_lies_in_the_folder_that_is_named_and_says_which_overrides_change_nothing(
    cli, model, mine, in_tmp, caplog
):
    given = ("data=files", "data.path=mine.jsonl", "tracking=none", "model=prior", "hydra.run.dir=there")
    answer = cli("evaluate", model, *given, "--split", "train", "-o", "here")
    assert answer.code == 0, answer.err
    assert status(in_tmp / "here") == ["FINISHED"]
    assert not (in_tmp / "there").exists()
    told = " ".join(f"{answer.err} {caplog.text}".split())
    assert "model has no effect on an evaluation: the trained model is named first" in told
    assert "hydra.run.dir has no effect on an evaluation: name the run folder with --output" in told


def test_one_statement_is_answered_with_all_labels_the_likeliest_first(cli, model):
    answer = cli("predict", model, "no, never the fence", "--target", "the plan for the fence")
    assert answer.code == 0
    shown = [line.split()[0] for line in answer.out.splitlines()]
    assert shown[0] == "reject"
    assert set(shown) == set(LABELS)


def test_an_answer_can_be_had_as_json(cli, model):
    answer = cli("predict", model, "no, never the fence", "--target", "x", "--json")
    said = json.loads(answer.out)
    assert said["label"] == "reject"
    assert sum(said["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("thresholds", "min_confidence", "reasons"),
    [
        ((0.9, 0.9, 0.9), 0, "no label is likely enough to be in the prediction set"),
        ((0.2, 0.9, 0.2), 0, "can't rule out conditional-accept, propose"),
        ((), 0.6, "conditional-accept has a probability of 0.5, and an answer needs 0.6"),
        ((0.9, 0.9, 0.2), 0.6, "propose has a probability of 0.25, and an answer needs 0.6"),
        (
            (0.2, 0.9, 0.2),
            0.6,
            "can't rule out conditional-accept, propose; "
            "conditional-accept has a probability of 0.5, and an answer needs 0.6",
        ),
        ((0.9, 0.9, 0.2), 0.2, None),
        ((), 0, None),
    ],
)
def test_an_abstention_gives_its_true_reason(thresholds, min_confidence, reasons, cli, in_tmp):
    gold = np.arange(40) % 4 % 3  # a half, a quarter, a quarter
    train = Statements([f"text {i}" for i in range(40)], ["x"] * 40, LABELS, gold)
    decision = {"thresholds": dict(zip(LABELS, thresholds, strict=False)), "min_confidence": min_confidence}
    save_bundle(in_tmp / "model", model=Prior().fit(train), labels=LABELS, facts={"name": "x", "decision": decision})
    last = cli("predict", "model", "no, never").out.splitlines()[-1]
    assert last == f"abstains: {reasons}" if reasons else "abstains" not in last


def test_a_model_that_needs_a_target_asks_for_one_and_answers_all_the_same(cli, model):
    answer = cli("predict", model, "no, never", "--json")
    assert answer.code == 0
    assert "give one with --target" in answer.err
    assert json.loads(answer.out)["label"] == "reject"


def read_scored(path):
    if path.suffix == ".parquet":
        return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def write_unscored(path, rows):
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        write_jsonl(path, rows)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize("output", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("source", ["csv", "tsv", "jsonl", "parquet"])
def test_a_file_of_any_format_is_scored_into_any_other(source, output, cli, model, in_tmp):
    rows = unlabelled()
    write_unscored(in_tmp / f"in.{source}", rows)
    answer = cli("predict", model, f"in.{source}", "-o", f"out.{output}")
    assert answer.code == 0, answer.err
    assert f"6 rows scored into out.{output}" in answer.err
    found = read_scored(in_tmp / f"out.{output}")
    assert list(found[0]) == ["id", "text", "target", *ANSWERS]
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [row["label"] for row in found] == [row["label"] for row in make_rows(6, start=500)]


def test_standard_input_is_scored_onto_standard_output(cli, model):
    stdin = "".join(json.dumps(row) + "\n" for row in unlabelled()).encode()
    answer = cli("predict", model, "-", stdin=stdin)
    assert answer.code == 0
    found = [json.loads(line) for line in answer.out.splitlines()]
    assert [row["id"] for row in found] == [row["id"] for row in unlabelled()]
    assert set(ANSWERS) <= set(found[0])


def test_standard_input_may_be_csv(cli, model):
    answer = cli("predict", model, "-", "--format", "csv", stdin=b"text,target\nno never the fence,x\n")
    assert [row["label"] for row in csv.DictReader(io.StringIO(answer.out))] == ["reject"]


def test_columns_of_other_names_are_read_by_option(cli, model, in_tmp):
    write_jsonl(in_tmp / "in.jsonl", [{"said": row["text"], "about": row["target"]} for row in unlabelled()])
    write_jsonl(in_tmp / "usual.jsonl", unlabelled())
    other = cli("predict", model, "in.jsonl", "--text-column", "said", "--target-column", "about").out
    usual = cli("predict", model, "usual.jsonl").out
    assert [json.loads(a)["confidence"] for a in other.splitlines()] == [
        json.loads(b)["confidence"] for b in usual.splitlines()
    ]


def test_one_target_can_serve_a_whole_file(cli, model, in_tmp):
    write_jsonl(in_tmp / "in.jsonl", [{"text": row["text"]} for row in unlabelled()])
    with_target = cli("predict", model, "in.jsonl", "--target", "the plan for two buses").out
    assert with_target != cli("predict", model, "in.jsonl").out


@pytest.mark.parametrize("source", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("output", ["csv", "tsv", "jsonl", "parquet"])
def test_a_file_without_rows_is_scored_into_one_with_all_columns_and_no_rows(source, output, cli, model, in_tmp):
    if source == "parquet":
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"label": ["x"], "text": ["y"]}).slice(0, 0), in_tmp / "in.parquet")
    else:
        (in_tmp / f"in.{source}").write_text("label,text\n".replace(",", "\t" if source == "tsv" else ","))
    answer = cli("predict", model, f"in.{source}", "-o", f"out.{output}")
    assert (answer.code, answer.err) == (0, f"0 rows scored into out.{output}\n")
    columns = ["label", "text", "predicted_label", *ANSWERS[1:]]
    found = (in_tmp / f"out.{output}").read_bytes()
    if output == "parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(in_tmp / "out.parquet")
        assert (table.column_names, table.num_rows) == (columns, 0)
        assert str(table.schema.field("confidence").type) == "double"
    else:
        wanted = {"csv": ",".join(columns) + "\n", "tsv": "\t".join(columns) + "\n", "jsonl": ""}
        assert found.decode() == wanted[output]


def test_a_header_alone_is_scored_from_standard_input_too(cli, model):
    answer = cli("predict", model, "-", "--format", "csv", stdin=b"text,target\n")
    assert answer.out == ",".join(["text", "target", *ANSWERS]) + "\n"


def test_an_output_that_exists_is_replaced_only_when_asked(cli, model, in_tmp):
    write_jsonl(in_tmp / "in.jsonl", unlabelled())
    (in_tmp / "out.csv").write_text("mine")
    answer = cli("predict", model, "in.jsonl", "-o", "out.csv")
    assert (answer.code, (in_tmp / "out.csv").read_text()) == (2, "mine")
    assert answer.error == "'out.csv' exists already. Name another file, or add --overwrite to replace it."
    assert cli("predict", model, "in.jsonl", "-o", "out.csv", "--overwrite").code == 0
    assert len(read_scored(in_tmp / "out.csv")) == 6


def test_rows_without_text_are_left_unanswered_when_asked(cli, model, in_tmp):
    rows = unlabelled()
    rows[2]["text"] = ""
    write_jsonl(in_tmp / "in.jsonl", rows)
    answer = cli("predict", model, "in.jsonl", "-o", "out.jsonl", "--keep-going")
    assert answer.code == 0
    assert "6 rows scored into out.jsonl; 1 had no text and no answer" in answer.err
    assert [row["label"] is None for row in read_scored(in_tmp / "out.jsonl")] == [False, False, True, *[False] * 3]


def test_a_text_that_is_none_counts_as_unanswered(cli, model, in_tmp):
    write_jsonl(in_tmp / "in.jsonl", [*unlabelled(2), {"text": 5}, {"text": None}])
    answer = cli("predict", model, "in.jsonl", "--keep-going")
    assert "4 rows scored into standard output; 2 had no text and no answer" in answer.err


def test_a_file_without_any_target_is_scored_with_a_warning(cli, model, in_tmp):
    write_jsonl(in_tmp / "in.jsonl", [{"text": row["text"], "target ": row["target"]} for row in unlabelled()])
    answer = cli("predict", model, "in.jsonl", "-o", "out.jsonl")
    assert answer.code == 0
    assert "No row has a target in the column 'target'" in answer.err
    for options in (("--target", "x"), ("--target-column", "target ")):
        assert "No row has" not in cli("predict", model, "in.jsonl", *options).err


def test_a_file_in_another_encoding_is_scored_when_that_is_named(cli, model, in_tmp):
    (in_tmp / "in.csv").write_text("text,target\nno, never at the café,x\n".replace("no,", "no"), encoding="cp1252")
    assert "set encoding (Excel often writes cp1252)" in cli("predict", model, "in.csv").error
    answer = cli("predict", model, "in.csv", "--encoding", "cp1252")
    assert "no never at the café" in answer.out


def test_a_label_column_of_the_file_is_kept(cli, model, in_tmp):
    write_jsonl(in_tmp / "in.jsonl", make_rows(3, start=500))
    found = [json.loads(line) for line in cli("predict", model, "in.jsonl").out.splitlines()]
    assert [row["label"] for row in found] == [row["predicted_label"] for row in found]


def test_checking_summarises_a_sound_corpus_and_exits_with_0(cli, mine):
    answer = cli("check", *QUICK[:3])
    assert answer.code == 0
    assert re.search(r"^all +42 +6 +12$", answer.out, re.MULTILINE)
    assert "0 errors" in answer.out


def test_checking_shows_every_finding_and_exits_with_2(cli, in_tmp):
    rows = make_rows(60)
    rows[3]["text"], rows[4]["id"] = "", "r0"
    write_jsonl(in_tmp / "mine.jsonl", rows)
    answer = cli("check", *QUICK[:3])
    assert answer.code == 2
    assert "error missing-text 1 row with no text in column 'text' (first: mine.jsonl row 4)" in answer.out
    assert "error duplicate-id" in answer.out
    assert "2 errors" in answer.out


def test_version(cli):
    assert cli("--version").out == f"stancelib {__version__}\n"


def test_help_lists_every_command(cli):
    answer = cli("--help")
    assert answer.code == 0
    for command in ("train", "evaluate", "predict", "check", "runs", "ui", "sync", "reap"):
        assert re.search(rf"\b{command}\b", answer.out)


@pytest.mark.parametrize("command", ["evaluate", "predict", "check", "runs", "sync"])
def test_help_of_a_command_has_an_example(command, cli):
    answer = cli(command, "--help")
    assert answer.code == 0
    assert f"stancelib {command} " in answer.out.replace("Usage: stancelib", "")


def test_help_of_train_lists_every_option_with_what_it_is(cli):
    from stancelib.options import COMPONENTS, options

    answer = cli("train", "--help")
    assert answer.code == 0
    for group, choices in ((group, options()[group]) for group in COMPONENTS):
        assert f"{group}=" in answer.out
        for option, line in choices.items():
            assert re.search(rf"\b{option}\b", answer.out)
            assert line.split(":")[0][:30] in answer.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_common_shells(shell, in_tmp):
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([*STANCELIB, "--show-completion", shell], capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert "COMPLETE" in done.stdout


def test_debug_shows_the_traceback_instead_of_one_sentence(in_tmp):
    done = subprocess.run([*STANCELIB, "predict", "nowhere", "x", "--debug"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "BundleError: there is no folder 'nowhere'" in done.stderr


def test_a_job_that_fails_exits_with_1_and_names_the_exception(cli, mine, in_tmp, monkeypatch):
    (in_tmp / "failing_family.py").write_text(
        "from stancelib.models.prior import Prior\n"
        "class Failing(Prior):\n"
        "    def fit(self, train, validation=None, *, report=None):\n"
        "        raise MemoryError('no room')\n"
    )
    monkeypatch.syspath_prepend(str(in_tmp))
    answer = cli("train", *QUICK, "model._target_=failing_family.Failing")
    assert answer.code == 1
    assert answer.error == "MemoryError: no room"
    assert "Add --debug" in answer.err
    assert status(runs_in(in_tmp)[0]) == ["FAILED"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_ends_killed(number, mine, in_tmp):
    (in_tmp / "slow_family.py").write_text(SLOW_FAMILY)
    environment = {**os.environ, "PYTHONPATH": str(in_tmp)}
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background job ignores it
    code = f"{listen}; from stancelib.cli import main; main()"
    command = [sys.executable, "-c", code, "train", *QUICK, "model._target_=slow_family.Slow"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "fitting\n"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    (run,) = runs_in(in_tmp)
    (end,) = [event for event, _ in read_events(run) if event["event"] == "end"]
    assert end["status"] == "KILLED", end
    assert process.returncode in (128 + number, -number)
    assert "Traceback" not in stderr
    assert number != signal.SIGINT or stderr == "Interrupted.\n"
    assert not (run / "model").exists()


@pytest.mark.slow
def test_runs_are_tracked_listed_and_loaded_by_address(cli, mine, in_tmp):
    quick = [argument for argument in QUICK if not argument.startswith("tracking")]
    trained = cli("train", *quick)
    assert trained.code == 0, trained.err
    listed = cli("runs").out
    assert "prior files mine.jsonl random s0" in listed
    assert "finished" in listed
    with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
        (uid,) = database.execute("select run_uuid from runs").fetchone()
    assert json.loads(cli("predict", f"runs:/{uid}", "no", "--json").out)["label"] in LABELS


def test_labels_that_mlflow_takes_no_metric_name_from_are_tracked_whole(cli, in_tmp):
    rows = [row | {"label": f"{row['label']}, (so to say)"} for row in make_rows(60)]
    write_jsonl(in_tmp / "mine.jsonl", rows)
    answer = cli("train", *(argument for argument in QUICK if not argument.startswith("tracking")))
    assert (answer.code, "not mirrored" in answer.out + answer.err) == (0, False)
    with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        keys = {key for (key,) in database.execute("select key from latest_metrics")}
    assert "validation/f1.reject_ _so to say_" in keys


def test_a_family_whose_packages_are_missing_is_refused_before_a_run_begins(cli, in_tmp, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))
    answer = cli("train", "tracking=none")
    assert answer.code == 2
    assert answer.error == (
        "model=cross_encoder needs the package 'torch', which is not installed. "
        "Run: pip install 'stancelib[torch,offline]', or take model=tfidf."
    )
    assert not list(in_tmp.iterdir())


@pytest.mark.slow
def test_the_shipped_corpus_trains_in_seconds_without_torch(cli, in_tmp):
    answer = cli("train", "model=tfidf", "tracking=none")
    assert answer.code == 0, answer.err
    score = float(re.search(r"^macro_f1 +(\d\.\d+)\b", answer.out, re.MULTILINE)[1])
    assert score > 0.6


@pytest.mark.slow
def test_scoring_a_long_file_takes_no_more_memory_than_a_short_one(model, in_tmp):
    """Peak memory over 120,000 rows stays within a fifth of that over 12,000."""
    peaks = []
    for n_rows in (12_000, 120_000):
        with (in_tmp / "in.jsonl").open("w") as file:
            file.writelines(
                f'{{"id": {i}, "text": "we agree if it rains {i % 97}", "target": "a plan"}}\n' for i in range(n_rows)
            )
        code = (
            "import resource, sys; from stancelib.cli import main\n"
            "try: main()\n"
            "except SystemExit as stop: assert not stop.code\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, "predict", model, "in.jsonl", "-o", "out.jsonl", "--overwrite"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert Path("out.jsonl").read_bytes().count(b"\n") == n_rows
        peaks.append(int(done.stdout))
    assert peaks[1] <= 1.2 * peaks[0]


@pytest.mark.slow
def test_four_trainings_at_once_do_not_disturb_each_other(mine, in_tmp):
    processes = [
        subprocess.Popen([*STANCELIB, "train", *QUICK, f"seed={seed}"], stdout=subprocess.DEVNULL) for seed in range(4)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    assert [status(run) for run in runs_in(in_tmp)] == [["FINISHED"]] * 4
