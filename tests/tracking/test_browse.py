"""Recent runs, links, models to load, the UI."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import stancelib
from stancelib.errors import BundleError, ConfigError
from stancelib.journal import Journal
from stancelib.tracking import MlflowTracker, download_model, recent_runs, runs_url, serve_ui, sync, view
from stancelib.tracking.store import connect, patience

from .conftest import tracked_run


def test_recent_runs_say_what_a_reader_compares(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker)
    (row,) = recent_runs(uri)
    assert (row.run_id, row.name, row.status) == (tracker.run_id, "tfidf C=1.5 s7", "FINISHED")
    assert (row.model, row.data, row.split, row.seed) == ("tfidf", "statements", "given", "7")
    assert row.metrics == {"train/loss": pytest.approx(1 / 30), "validation/macro_f1": 0.29}
    assert row.duration_seconds >= 0


def test_recent_runs_come_newest_first_or_best_first(uri, tmp_path):
    for i, score in enumerate((0.5, 0.9, 0.7)):
        with Journal(tmp_path / "runs" / str(i), name=str(score)) as journal:
            journal.metrics({"validation/macro_f1": score})
        time.sleep(0.002)  # starts are kept in milliseconds
    sync(tmp_path / "runs", uri=uri)
    assert [row.name for row in recent_runs(uri, order_by="validation/macro_f1")] == ["0.9", "0.7", "0.5"]
    with pytest.raises(ConfigError, match=r"has the metric 'validation/makro_f1'; did you mean 'validation/macro_f1'"):
        recent_runs(uri, order_by="validation/makro_f1")
    assert [row.name for row in recent_runs(uri, limit=2)] == ["0.7", "0.9"]


def test_an_unknown_experiment_is_named_with_the_ones_there_are(uri):
    with pytest.raises(ConfigError, match=r"there is no experiment 'nope' on sqlite.*; there are Default"):
        recent_runs(uri, "nope")


def test_looking_creates_no_database(tmp_path):
    for look in (recent_runs, lambda uri: download_model("runs:/abc", tracking_uri=uri), serve_ui):
        with pytest.raises(ConfigError, match="there are no tracked runs at"):
            look(f"sqlite:///{tmp_path / 'none' / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_one_sentence(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=r"the tracking server http://127\.0\.0\.1:9 failed: connection refused"):
        download_model("models:/stance@champion", tracking_uri="http://127.0.0.1:9")


def test_a_model_is_found_by_run_alias_version_and_id(uri, tmp_path):
    tracker = MlflowTracker(uri=uri, registered_model="stance", alias="newest")
    tracked_run(tmp_path / "run", tracker, label="propose")
    (model,) = connect(uri).search_logged_models([tracker.experiment_id])
    addresses = [f"runs:/{tracker.run_id}", f"runs:/{tracker.run_id}/model", f"models:/{model.model_id}"]
    addresses += ["models:/stance@newest", "models:/stance/1", "models:/stance/latest"]
    for address in addresses:
        folder = download_model(address, tracking_uri=uri)
        assert (folder / "label.txt").read_text() == "propose"
        assert sorted(path.name for path in folder.iterdir()) == ["MLmodel", "label.txt", "weights"]


@pytest.mark.parametrize(
    "address",
    ["runs:/0123456789abcdef0123456789abcdef", "models:/stance@champion", "models:/stance/3", "models:/m-12345678"],
)
def test_a_model_that_is_not_there_is_named(uri, address):
    with pytest.raises(BundleError, match=f"there is no model {address}"):
        download_model(address, tracking_uri=uri)


def test_a_run_without_model_is_named(uri, tmp_path):
    with Journal(tmp_path / "run", name="any"):
        pass
    sync(tmp_path, uri=uri)
    (row,) = recent_runs(uri)
    with pytest.raises(BundleError, match=f"there is no model runs:/{row.run_id}"):
        download_model(f"runs:/{row.run_id}", tracking_uri=uri)


@pytest.mark.parametrize("address", ["runs:/", "model:/stance", "stance"])
def test_what_is_no_model_address_is_refused(address):
    with pytest.raises(ConfigError, match="is no model address; expected runs:/<run id>"):
        download_model(address)


def test_the_link_opens_the_table_of_runs_best_first():
    assert runs_url("http://me:pw@host:5000/", "7") == (
        "http://host:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=stancelib"
    )


def test_an_experiment_has_the_view_that_the_link_opens_and_an_older_one_gets_it(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker)
    client = connect(uri)
    older = client.create_experiment("older")
    view.add_to(client, older)
    for experiment_id in (tracker.experiment_id, older):
        shown = json.loads(client.get_experiment(experiment_id).tags["mlflow.sharedViewState.stancelib"])
        assert (shown["orderByKey"], shown["orderByAsc"]) == ("metrics.`validation/macro_f1`", False)
        assert shown["selectedColumns"][:2] == ["metrics.`validation/macro_f1`", "metrics.`validation/macro_f1_low`"]
        assert set(shown["selectedColumns"]) < set(shown["columnOrder"])


def test_where_the_server_may_only_be_read_the_link_has_no_view(uri, monkeypatch):
    from mlflow.exceptions import MlflowException

    client = connect(uri)
    other = client.create_experiment("other")

    def refuse(*_):
        raise MlflowException("Permission denied")

    monkeypatch.setattr(client, "set_experiment_tag", refuse)
    assert not view.add_to(client, other)
    assert runs_url("http://host", other, has_view=False).endswith("/runs?workflowType=machine_learning")


def test_a_view_that_somebody_changed_is_left_alone(uri):
    client = connect(uri)
    own = client.create_experiment("own", tags={view.TAG: "{}"})
    view.add_to(client, own)
    assert client.get_experiment(own).tags[view.TAG] == "{}"


def test_patience_leaves_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before = dict(os.environ)
    with patience(timeout_seconds=5, n_retries=0):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
        with patience(timeout_seconds=9, n_retries=9):
            assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert dict(os.environ) == before


def test_a_taken_port_is_named(uri):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is taken"):
            serve_ui(uri, port=port)


@pytest.mark.slow
def test_the_ui_prints_a_link_that_works_and_stops_with_ctrl_c(uri, tmp_path):
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from stancelib.tracking import serve_ui\n"
        f"sys.exit(serve_ui({uri!r}, port={port}, announce=lambda link: print(link, flush=True)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(stancelib.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    link = process.stdout.readline().decode()
    assert link.startswith(f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=machine_learning")
    with urllib.request.urlopen(link.partition("#")[0], timeout=10) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Warning" not in said.decode()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.parametrize(
    "name",
    [
        "validation/log_loss",
        "test/ece_uncalibrated",
        "train/loss",
        "perf/fit_seconds",
        "test/noise_drop",
        "perf/bundle_mib",
    ],
)
def test_the_best_of_losses_and_seconds_is_the_lowest(uri, tmp_path, name):
    for value in (0.5, 0.9, 0.7):
        with Journal(tmp_path / "runs" / str(value), name=str(value)) as journal:
            journal.metrics({name: value})
    with Journal(tmp_path / "runs" / "none", name="none"):
        pass
    sync(tmp_path / "runs", uri=uri)
    assert [row.name for row in recent_runs(uri, order_by=name)] == ["0.5", "0.7", "0.9", "none"]
