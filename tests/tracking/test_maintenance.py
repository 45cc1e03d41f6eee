"""Sync and reap: which runs they touch, and what they say."""

import json
import shutil
import subprocess
import sys

import pytest

from stancelib.errors import ConfigError
from stancelib.journal import EVENTS, Journal, JournalOnly, run_state
from stancelib.tracking import MlflowTracker, reap, reap_orphans, recent_runs, sync
from stancelib.tracking.link import Destination, Link, exclusive
from stancelib.tracking.store import connect

from .conftest import record_of, tracked_run


def abandon(folder, **changes):
    """A run whose process is gone, or looks like one from elsewhere."""
    journal = Journal(folder, name=folder.name)
    journal.metrics({"train/loss": 0.5}, 1)
    first, _, rest = (folder / EVENTS).read_text().partition("\n")
    (folder / EVENTS).write_text(json.dumps(json.loads(first) | {"process_start": "earlier 1"} | changes) + "\n" + rest)


def test_sync_goes_through_every_run_below_a_folder(uri, tmp_path):
    for name in ("a", "sub/b"):
        tracked_run(tmp_path / "runs" / name, JournalOnly())
    seen = []
    results = sync(tmp_path / "runs", uri=uri, on_progress=seen.append)
    assert [(result.folder.name, result.outcome) for result in results] == [("a", "completed"), ("b", "completed")]
    assert seen == results
    assert len(record_of(uri)) == 2


def test_sync_brings_a_run_without_tracker_into_the_experiment_that_it_was_meant_for(uri, tmp_path):
    tracked_run(tmp_path / "run", JournalOnly(experiment="ladder"))
    assert [result.outcome for result in sync(tmp_path, uri=uri)] == ["completed"]
    assert len(recent_runs(uri, "ladder")) == 1


def test_sync_leaves_a_running_run_to_its_own_tracker(uri, tmp_path):
    with Journal(tmp_path / "run", name="any"):
        (result,) = sync(tmp_path, uri=uri)
    assert result.outcome == "running"
    assert record_of(uri) == {}


def test_sync_brings_what_a_dead_process_left_and_leaves_closing_to_reap(uri, tmp_path):
    abandon(tmp_path / "run")
    assert [result.outcome for result in sync(tmp_path, uri=uri)] == ["completed"]
    (record,) = record_of(uri).values()
    assert record["status"] == "RUNNING"
    assert record["metrics"]["train/loss"][0][2] == 0.5


def test_one_failing_run_does_not_keep_the_others_from_their_record(uri, tmp_path):
    for name in ("a", "b"):
        tracked_run(tmp_path / "runs" / name, JournalOnly())
    Link(Destination("http://127.0.0.1:9")).save(tmp_path / "runs" / "a")
    Link(Destination(uri)).save(tmp_path / "runs" / "b")
    first, second = sync(tmp_path / "runs")
    assert (first.outcome, second.outcome) == ("failed", "completed")
    assert first.message == "not mirrored to http://127.0.0.1:9: connection refused"


def test_sync_waits_for_its_turn(uri, tmp_path, monkeypatch):
    monkeypatch.setattr("stancelib.tracking.maintenance.BUSY_SECONDS", 0.1)
    tracked_run(tmp_path / "run", JournalOnly())
    with exclusive(tmp_path / "run", timeout_seconds=1):
        (result,) = sync(tmp_path, uri=uri)
    assert result.outcome == "failed"
    assert "is being mirrored by another process" in result.message


def test_a_folder_without_runs_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match="there is no run at or below"):
        sync(tmp_path)


def test_reap_needs_no_tracker(tmp_path):
    abandon(tmp_path / "run")
    (result,) = reap(tmp_path)
    assert (result.closed, result.sync.outcome) == (True, "untracked")
    assert run_state(tmp_path / "run").status == "KILLED"


def test_reap_leaves_finished_and_running_runs_alone(tmp_path):
    tracked_run(tmp_path / "finished", JournalOnly())
    with Journal(tmp_path / "running", name="any"):
        assert reap(tmp_path) == []


def test_reap_leaves_a_run_alone_that_is_resumed_while_it_looks(tmp_path, monkeypatch):
    def look(folder):
        state = run_state(folder)
        Journal.reopen(folder)
        return state

    abandon(tmp_path / "run")
    monkeypatch.setattr("stancelib.tracking.maintenance.run_state", look)
    assert reap(tmp_path) == []
    assert run_state(tmp_path / "run").phase == "running"


def test_reap_ends_runs_of_other_hosts_only_when_told_how_long_silence_may_last(tmp_path):
    abandon(tmp_path / "run", host="another")
    (result,) = reap(tmp_path)
    assert not result.closed
    assert "on another can't be seen from here" in result.message
    (result,) = reap(tmp_path, silent_hours=1)
    assert not result.closed
    (result,) = reap(tmp_path, silent_hours=0)
    assert result.closed


def test_a_running_mlflow_run_without_process_and_folder_is_closed(uri, tmp_path):
    abandon(tmp_path / "dead")
    abandon(tmp_path / "elsewhere", host="another")
    sync(tmp_path / "dead", uri=uri)
    Link(Destination(uri)).save(tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere"
    (folder / EVENTS).write_text(
        (folder / EVENTS).read_text() + '{"event":"end","time":1,"status":"FINISHED","error":""}\n'
    )
    sync(folder)
    with Journal(tmp_path / "alive", name="alive") as journal:
        tracker = MlflowTracker(uri=uri)
        tracker.attach(journal)
        assert reap_orphans(uri) == []
        shutil.rmtree(tmp_path / "dead")
        assert reap_orphans(uri) == ["dead"]
    tracker.close()
    states = {record["name"]: record["status"] for record in record_of(uri).values()}
    assert states == {"dead": "KILLED", "elsewhere": "FINISHED", "alive": "FINISHED"}


def test_importing_the_package_does_not_import_mlflow():
    code = "import sys, stancelib.tracking; print([m for m in ('mlflow', 'filelock', 'psutil') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_journal_of_a_future_version_is_read_past_what_is_unknown(uri, tmp_path):
    with Journal(tmp_path / "run", name="any") as journal:
        journal._write("hologram", depth=3)
        journal.metrics({"train/loss": 1.0})
    assert [result.outcome for result in sync(tmp_path, uri=uri)] == ["completed"]
    assert connect(uri).search_experiments(filter_string="name = 'stancelib'")
