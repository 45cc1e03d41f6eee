"""Servers that are down, die or hang, processes that are killed: no point is lost and nobody waits long."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import stancelib
from stancelib.journal import Journal, run_state
from stancelib.tracking import MlflowTracker, reap, sync
from stancelib.tracking.store import connect

from .conftest import assert_complete, fill, record_of, tracked_run

LONGEST_DELAY_SECONDS = 15.0


def only(records):
    (record,) = records.values()
    return record


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def assert_sync_completes(folder, uri, tracker):
    """One sync completes the record, a second changes nothing."""
    assert not tracker.complete
    assert tracker.message.endswith(f"run `stancelib sync {folder}`")
    (result,) = sync(folder)
    assert (result.outcome, result.message) == ("completed", "")
    records = record_of(uri)
    assert_complete(only(records))
    assert [again.outcome for again in sync(folder)] == ["unchanged"]
    assert record_of(uri) == records


def child(folder, body, **settings):
    """A process that tracks a run and says so once it writes points."""
    code = textwrap.dedent(
        """
        import signal, sys, time
        from stancelib.journal import Journal, signals_as_exceptions
        from stancelib.tracking import MlflowTracker
        signal.signal(signal.SIGINT, signal.default_int_handler)
        tracker = MlflowTracker()
        try:
            with signals_as_exceptions(), Journal({folder!r}, name="child") as journal:
                tracker.attach(journal)
                journal.metrics({{"train/loss": 0.5}}, step=1)
                print("ready", flush=True)
                {body}
        finally:
            tracker.close()
            print(tracker.message, flush=True)
        """
    ).format(folder=str(folder), body=body)
    environment = {**os.environ, "PYTHONPATH": str(Path(stancelib.__file__).parents[1]), **settings}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )


def wait_for_point(uri):
    deadline = time.monotonic() + 120
    while not (records := record_of(uri)) or not only(records)["metrics"]:
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_a_refused_connection_delays_the_run_by_seconds_and_keeps_every_point(tmp_path):
    tracker = MlflowTracker(uri=closed_port())
    with Journal(tmp_path / "run", name="any") as journal:
        start = time.monotonic()
        tracker.attach(journal)
        fill(journal)
        assert time.monotonic() - start < 1.0
    start = time.monotonic()
    tracker.close()
    assert time.monotonic() - start < LONGEST_DELAY_SECONDS
    assert run_state(tmp_path / "run").status == "FINISHED"
    assert not tracker.complete
    assert "connection refused; run `stancelib sync" in tracker.message


def test_secrets_in_an_address_are_not_shown(tmp_path):
    tracker = MlflowTracker(uri=closed_port().replace("//", "//me:hunter2@"), flush_seconds=0.1)
    tracked_run(tmp_path / "run", tracker)
    assert "hunter2" not in tracker.message
    assert "hunter2" not in tracker.url


@pytest.mark.slow
def test_a_hanging_server_delays_the_run_by_15_seconds_at_most_and_sync_completes_it(tmp_path, hanging_uri, server):
    tracker = MlflowTracker(uri=hanging_uri)
    start = time.monotonic()
    with Journal(tmp_path / "run", name="any") as journal:
        tracker.attach(journal)
        fill(journal)
    assert time.monotonic() - start < 1.0
    tracker.close()
    assert time.monotonic() - start < LONGEST_DELAY_SECONDS + 1.0
    assert "no answer in time" in tracker.message

    server.start()
    (result,) = sync(tmp_path / "run", uri=server.uri)
    assert result.outcome == "completed"
    assert_complete(only(record_of(server.uri)))


@pytest.mark.slow
def test_a_hanging_server_does_not_keep_the_process_from_ending(tmp_path, hanging_uri):
    start = time.monotonic()
    process = child(tmp_path / "run", "pass", MLFLOW_TRACKING_URI=hanging_uri)
    out, _ = process.communicate(timeout=60)
    assert time.monotonic() - start < LONGEST_DELAY_SECONDS + 10.0  # 10 s for starting Python on a busy machine
    assert process.returncode == 0
    assert "run `stancelib sync" in out


@pytest.mark.slow
def test_a_server_that_is_down_at_the_start_gets_the_record_by_sync(tmp_path, server):
    tracker = MlflowTracker(uri=server.uri)
    start = time.monotonic()
    tracked_run(tmp_path / "run", tracker)
    assert time.monotonic() - start < LONGEST_DELAY_SECONDS
    server.start()
    assert_sync_completes(tmp_path / "run", server.uri, tracker)


@pytest.mark.slow
def test_a_server_that_dies_midway_and_returns_has_the_whole_record_at_the_end(tmp_path, server):
    server.start()
    tracker = MlflowTracker(uri=server.uri)
    with Journal(tmp_path / "run", name="any") as journal:
        tracker.attach(journal)
        fill(journal, steps=range(10))
        wait_for_point(server.uri)
        server.kill()
        for step in range(10, 20):
            journal.metrics({"train/loss": 1.0, "validation/macro_f1": 0.5}, step)
        time.sleep(2)
        server.start()
        for step in range(20, 30):
            journal.metrics({"train/loss": 1.0, "validation/macro_f1": 0.5}, step)
    tracker.close()
    assert (tracker.complete, tracker.message) == (True, "")
    assert tracker.url == f"{server.uri}/#/experiments/{tracker.experiment_id}/runs/{tracker.run_id}"
    assert_complete(only(record_of(server.uri)))


@pytest.mark.slow
def test_a_server_that_dies_midway_for_good_gets_the_rest_by_sync(tmp_path, server):
    server.start()
    tracker = MlflowTracker(uri=server.uri)
    with Journal(tmp_path / "run", name="any") as journal:
        tracker.attach(journal)
        journal.metrics({"train/loss": 1.0, "validation/macro_f1": 0.0}, 0)
        wait_for_point(server.uri)
        server.kill()
        fill(journal, steps=range(1, 30))
        start = time.monotonic()
    tracker.close()
    assert time.monotonic() - start < LONGEST_DELAY_SECONDS
    server.start()
    assert only(record_of(server.uri))["status"] == "RUNNING"
    assert_sync_completes(tmp_path / "run", server.uri, tracker)


@pytest.mark.slow
def test_a_frozen_server_delays_the_end_by_15_seconds_at_most(tmp_path, server):
    server.start()
    tracker = MlflowTracker(uri=server.uri)
    with Journal(tmp_path / "run", name="any") as journal:
        tracker.attach(journal)
        journal.metrics({"train/loss": 1.0, "validation/macro_f1": 0.0}, 0)
        wait_for_point(server.uri)
        os.killpg(server.process.pid, signal.SIGSTOP)
        fill(journal, steps=range(1, 30))
        start = time.monotonic()
    tracker.close()
    assert time.monotonic() - start < LONGEST_DELAY_SECONDS + 1.0
    os.killpg(server.process.pid, signal.SIGCONT)
    (result,) = sync(tmp_path / "run")
    assert (result.outcome, result.message) == ("completed", "")
    assert_complete(only(record_of(server.uri)))


@pytest.mark.slow
def test_the_model_comes_back_from_a_server(tmp_path, server, loadable, monkeypatch):
    from stancelib.tracking import download_model

    server.start()
    tracker = MlflowTracker(uri=server.uri, registered_model="stance", alias="newest")
    tracked_run(tmp_path / "run", tracker, label="propose")
    assert tracker.complete
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    for address in (f"runs:/{tracker.run_id}", "models:/stance@newest"):
        folder = download_model(address)
        assert (folder / "label.txt").read_text() == "propose"
        assert (folder / "weights" / "w.json").read_text() == "[1]"
    import mlflow

    for address in (f"runs:/{tracker.run_id}/model", "models:/stance@newest"):
        assert mlflow.pyfunc.load_model(address).predict([{"text": "a"}]) == ["propose"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_mlflow_run_as_killed(tmp_path, uri, number):
    process = child(tmp_path / "run", "time.sleep(300)", MLFLOW_TRACKING_URI=uri)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert out == "\n"
    assert only(record_of(uri))["status"] == "KILLED"


@pytest.mark.slow
def test_reap_closes_the_run_of_a_killed_process_here_and_in_mlflow(tmp_path, uri):
    process = child(tmp_path / "run", "time.sleep(300)", MLFLOW_TRACKING_URI=uri)
    assert process.stdout.readline() == "ready\n"
    wait_for_point(uri)
    assert reap(tmp_path) == []
    process.kill()
    process.communicate()
    assert only(record_of(uri))["status"] == "RUNNING"

    (result,) = reap(tmp_path)
    assert (result.closed, result.sync.outcome) == (True, "completed")
    record = only(record_of(uri))
    assert record["status"] == "KILLED"
    assert record["times"][1] == record["metrics"]["train/loss"][-1][1]
    assert reap(tmp_path) == []


@pytest.mark.slow
def test_four_processes_at_once_on_a_fresh_folder_all_succeed(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    processes = [child(tmp_path / f"run{i}", "pass", MLFLOW_TRACKING_URI=uri) for i in range(4)]
    outputs = [process.communicate(timeout=280) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert [out for out, _ in outputs] == ["ready\n\n"] * 4
    records = record_of(uri)
    assert [record["status"] for record in records.values()] == ["FINISHED"] * 4
    assert len(connect(uri).search_experiments()) == 2  # MLflow's default and ours


@pytest.mark.slow
def test_four_processes_at_once_on_a_fresh_server_all_succeed(tmp_path, server):
    server.start()
    processes = [child(tmp_path / f"run{i}", "pass", MLFLOW_TRACKING_URI=server.uri) for i in range(4)]
    outputs = [process.communicate(timeout=280) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    for result in sync(tmp_path):  # four processes on two cores may need more than the 15 s they have
        assert result.outcome in ("completed", "unchanged"), result
    assert [record["status"] for record in record_of(server.uri).values()] == ["FINISHED"] * 4
