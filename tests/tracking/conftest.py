"""Databases, servers that misbehave, and runs to track."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

pytest.importorskip("mlflow")

from stancelib.journal import Journal
from stancelib.tracking.store import connect, patience

MLMODEL = "flavors:\n  python_function:\n    loader_module: fake_bundle_loader\n    python_version: 3.11.0\n"
LOADER = (
    "from pathlib import Path\n"
    "class Model:\n"
    "    def __init__(self, label): self.label = label\n"
    "    def predict(self, model_input, params=None): return [self.label] * len(model_input)\n"
    "def _load_pyfunc(path): return Model((Path(path) / 'label.txt').read_text())\n"
)
N_POINTS = 30


@pytest.fixture(autouse=True)
def no_address_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A migrated database without an experiment: migrating anew takes seconds each time."""
    folder = tmp_path_factory.mktemp("database")
    connect(f"sqlite:///{folder / 'first.db'}")
    with contextlib.closing(sqlite3.connect(folder / "first.db")) as database:
        database.execute(f"vacuum into '{folder / 'empty.db'}'")
    return folder / "empty.db"


@pytest.fixture
def uri(empty_database, tmp_path):
    """Address of a database of the test's own."""
    folder = tmp_path / "tracking"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def loadable(tmp_path, monkeypatch):
    """Makes the models of ``fill`` loadable by MLflow."""
    folder = tmp_path / "importable"
    folder.mkdir()
    (folder / "fake_bundle_loader.py").write_text(LOADER)
    monkeypatch.syspath_prepend(str(folder))


def fill(journal, *, steps=range(N_POINTS), label="reject"):
    """Everything a run can hold."""
    journal.params({"model.C": 1.5, "data": "statements", "model.ngrams": [1, 2]})
    journal.tags({"model": "tfidf", "data": "statements", "split": "given", "seed": "7", "git.commit": "abc123"})
    for split, digest in (("train", "11aa"), ("validation", "22bb")):
        journal.dataset(
            name="statements",
            digest=digest,
            split=split,
            source="data/statements",
            n_rows=3,
            label_counts={"reject": 1, "propose": 2},
            protocol="given",
        )
    for step in steps:
        journal.metrics({"train/loss": 1 / (step + 1), "validation/macro_f1": step / 100}, step)
    (journal.folder / "config.yaml").write_text("C: 1.5\n")
    journal.artifact(journal.folder / "config.yaml")
    journal.artifact(journal.folder / "config.yaml", "configs")
    journal.table("predictions", {"text": ["a", "b"], "label": ["reject", "propose"]})
    journal.note("# Result\nfine")
    bundle = journal.folder / "bundle"
    (bundle / "weights").mkdir(parents=True, exist_ok=True)
    (bundle / "MLmodel").write_text(MLMODEL)
    (bundle / "label.txt").write_text(label)
    (bundle / "weights" / "w.json").write_text("[1]")
    journal.model(bundle)


def tracked_run(folder, tracker, *, error=None, **options):
    """A run that a tracker followed to its end, or to an error."""
    with contextlib.suppress(type(error) if error else ()), Journal(folder, name="tfidf C=1.5 s7") as journal:
        tracker.attach(journal)
        fill(journal, **options)
        if error:
            raise error
    tracker.close()
    return journal


def files_of(client, run_id, path=None):
    for file in client.list_artifacts(run_id, path):
        if file.is_dir:
            yield from files_of(client, run_id, file.path)
        else:
            yield file.path


def record_of(uri, experiment="stancelib"):
    """All that MLflow knows about the runs of an experiment, in comparable form."""
    with patience(timeout_seconds=30, n_retries=2):
        client = connect(uri)
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id]) if found else []
        return {run.info.run_id: _record(client, run) for run in runs}


def _record(client, run):
    run_id = run.info.run_id
    datasets = {one.tags[0].value: (one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs}
    history = {
        name: sorted((m.step, m.timestamp, m.value) for m in client.get_metric_history(run_id, name))
        for name in run.data.metrics
    }
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": history,
        "datasets": datasets,
        "files": sorted(files_of(client, run_id)),
        "models": [output.model_id for output in run.outputs.model_outputs],
        "all_models": [
            m.model_id for m in client.search_logged_models([run.info.experiment_id]) if m.source_run_id == run_id
        ],
        "versions": [(v.name, v.version, v.aliases) for v in client.search_model_versions(f"run_id = '{run_id}'")],
    }


def assert_complete(record, *, status="FINISHED", n_points=N_POINTS):
    """The record has everything that ``fill`` wrote."""
    assert record["status"] == status
    assert record["params"] == {"model.C": "1.5", "data": "statements", "model.ngrams": "[1, 2]"}
    assert {"model": "tfidf", "seed": "7", "mlflow.note.content": "# Result\nfine"}.items() <= record["tags"].items()
    for name in ("train/loss", "validation/macro_f1"):
        assert [step for step, _, _ in record["metrics"][name]] == list(range(n_points))
    assert record["datasets"] == {"train": ("statements", "11aa"), "validation": ("statements", "22bb")}
    assert {"config.yaml", "configs/config.yaml", "tables/predictions.json"} <= set(record["files"])
    assert len(record["models"]) == 1
    assert record["models"] == record["all_models"]


class Server:
    """A real ``mlflow server`` with one worker that can be killed and started again on the same port."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--workers",
            "1",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        command += [
            "--backend-store-uri",
            f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination",
            str(self.folder / "artifacts"),
        ]
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **settings}, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return self
            time.sleep(0.2)
        raise TimeoutError((self.folder / "log.txt").read_text())

    def kill(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path, empty_database):
    """A server that isn't started yet."""
    (tmp_path / "server").mkdir()
    shutil.copy(empty_database, tmp_path / "server" / "mlflow.db")
    one = Server(tmp_path / "server")
    yield one
    one.kill()


@pytest.fixture
def hanging_uri():
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        kept = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for connection in kept:
            connection.close()
