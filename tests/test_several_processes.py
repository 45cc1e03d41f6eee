"""A training in several processes: the main one keeps the record, the others leave nothing behind."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import stancelib
from stancelib.experiment import run_experiment
from stancelib.journal import is_main_process, read_events
from stancelib.models.prior import Prior

from .conftest import make_corpus, make_rows, write_jsonl

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("data=files", "data.path=mine.jsonl", "split=random", "model=prior", "tracking=none")


@pytest.fixture
def second(monkeypatch):
    """This process is the second of two."""
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_rank_without_a_launcher_means_nothing(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert is_main_process()


def test_the_second_process_fits_and_ends_quietly_without_a_run(second, tmp_path):
    fitted = []

    class Seen(Prior):
        def fit(self, *arguments, **options):
            fitted.append(self)
            return super().fit(*arguments, **options)

    with pytest.raises(SystemExit) as end:
        run_experiment(corpus=make_corpus(), model=Seen(), folder=tmp_path / "run")
    assert (end.value.code, len(fitted)) == (0, 1)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "arguments", [(), ("seeds=2",), ("-m", "seed=0,1"), ("hydra.run.dir=mine",)], ids=["one", "seeds", "grid", "named"]
)
def test_the_second_process_of_a_command_leaves_nothing_and_says_nothing(arguments, second, cli, in_tmp):
    write_jsonl(in_tmp / "mine.jsonl", make_rows(60))
    done = cli("train", *arguments, *QUICK)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert files(in_tmp) == ["mine.jsonl"]


def test_a_grid_of_several_processes_stops_at_its_first_failure(second, cli, in_tmp):
    write_jsonl(in_tmp / "mine.jsonl", make_rows(60))
    done = cli("train", "-m", *QUICK, "model.smoothing=-1,-2")
    assert (done.code, done.error) == (2, "model=prior: smoothing must be at least 0, got -1.0.")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_one_run_with_one_record_and_one_bundle(in_tmp):
    from .training.tiny_bert import make_statements, make_tiny_encoder

    make_tiny_encoder(in_tmp / "encoder")
    said = make_statements(90)
    labels = said.labels.decode(said.label_ids)
    rows = [
        {"text": text, "target": target or "the vote", "label": label, "condition": text.split()[0]}
        for text, target, label in zip(said.texts, said.targets, labels, strict=True)
    ]
    write_jsonl(in_tmp / "mine.jsonl", rows)
    options = ["data=files", "data.path=mine.jsonl", "split=random", "model=cross_encoder"]
    options += ["model.encoder.name=encoder", "model.encoder.max_tokens=32", "model.loop.epochs=2"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launcher, "-m", "stancelib", "train", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("macro_f1 ") == 1
    assert [path.name for path in in_tmp.glob("runs*")] == ["runs"]
    (run,) = in_tmp.glob("runs/*/*")
    ends = [event["status"] for event, _ in read_events(run) if event["event"] == "end"]
    assert ends == ["FINISHED"]
    with contextlib.closing(sqlite3.connect(in_tmp / "mlflow.db")) as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
    model = stancelib.load(run)
    assert model.predict("we agreed", "the vote")[0].label in said.labels
    assert json.loads((run / "model" / "manifest.json").read_text())["scores"]["validation"]
