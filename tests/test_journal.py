"""The journal: what is written comes back, whatever ends the run."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stancelib
from stancelib.errors import ConfigError
from stancelib.journal import (
    EVENTS,
    Journal,
    JournalOnly,
    SystemMetrics,
    Tracker,
    end_gone_run,
    read_events,
    run_folders,
    run_state,
    signals_as_exceptions,
)


def events_of(folder, kind=None):
    return [event for event, _ in read_events(folder) if kind in (None, event["event"])]


def child(folder, body):
    """A process that opens a journal, says so, and goes on with ``body``."""
    code = textwrap.dedent(
        """
        import signal, sys, time
        from stancelib.journal import Journal, signals_as_exceptions
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup
        with signals_as_exceptions(), Journal({folder!r}, name="child") as journal:
            journal.metrics({{"train/loss": 0.5}}, step=1)
            print("ready", flush=True)
            {body}
        """
    ).format(folder=str(folder), body=body)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None)
@given(
    params=st.dictionaries(st.text(), json_values, max_size=4),
    metrics=st.dictionaries(st.text(), st.floats(), min_size=1, max_size=4),
    step=st.integers(min_value=0, max_value=2**40),
    note=st.text(st.characters()),
    cut=st.integers(min_value=0, max_value=40),
)
def test_everything_written_comes_back_even_after_a_torn_line(tmp_path_factory, params, metrics, step, note, cut):
    folder = tmp_path_factory.mktemp("run")
    with Journal(folder, name="any") as journal:
        journal.params(params)
        journal.metrics(metrics, step)
        journal.note(note)
        whole = (folder / EVENTS).read_bytes()
        (folder / EVENTS).write_bytes(whole + whole[:cut].rstrip(b"\n"))

    events = events_of(folder)
    assert [event["event"] for event in events][:4] == ["start", "params", "metrics", "note"]
    assert events[1]["values"] == params
    back = {name: float(value) for name, value in events[2]["values"].items()}
    assert back.keys() == metrics.keys()
    assert all(back[name] == value or (math.isnan(value) and math.isnan(back[name])) for name, value in metrics.items())
    assert events[2]["step"] == step
    assert events[3]["text"] == note


def test_reading_can_stop_and_go_on_at_any_event(tmp_path):
    with Journal(tmp_path, name="any") as journal:
        for step in range(5):
            journal.metrics({"train/loss": step}, step)

    whole = list(read_events(tmp_path))
    for i, (_, offset) in enumerate(whole):
        assert list(read_events(tmp_path, offset)) == whole[i + 1 :]


def test_an_event_is_on_disk_before_the_call_returns(tmp_path):
    journal = Journal(tmp_path, name="any")
    journal.metrics({"train/loss": 1.0}, step=3)
    assert events_of(tmp_path, "metrics")[0]["step"] == 3


def test_a_torn_last_line_is_left_out_and_does_not_hurt_what_follows(tmp_path):
    with Journal(tmp_path, name="any") as journal:
        journal.metrics({"train/loss": 1.0})
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"event": "metrics", "values": {"tr')
    assert [event["event"] for event in events_of(tmp_path)] == ["start", "metrics", "end"]

    with Journal.reopen(tmp_path) as journal:
        journal.metrics({"test/macro_f1": 0.5})
    assert [event["event"] for event in events_of(tmp_path)] == ["start", "metrics", "end", "resume", "metrics", "end"]


def test_array_scalars_are_written_as_numbers(tmp_path):
    np = pytest.importorskip("numpy")
    with Journal(tmp_path, name="any") as journal:
        journal.params({"C": np.float32(0.5), "n": np.int64(3), "on": np.bool_(True), "path": tmp_path})
        journal.metrics({"train/loss": np.float64(0.25)}, step=np.int64(2))
    values = events_of(tmp_path, "params")[0]["values"]
    assert values == {"C": 0.5, "n": 3, "on": True, "path": str(tmp_path)}
    assert events_of(tmp_path, "metrics")[0]["values"] == {"train/loss": 0.25}


def test_a_table_is_written_as_pandas_split_json(tmp_path):
    with Journal(tmp_path, name="any") as journal:
        journal.table("predictions", {"text": ["a", "b"], "confidence": [0.5, float("nan")]})
    table = json.loads((tmp_path / "tables" / "predictions.json").read_text())
    assert table == {"columns": ["text", "confidence"], "data": [["a", 0.5], ["b", None]]}
    assert events_of(tmp_path, "table")[0]["path"] == "tables/predictions.json"


def test_a_table_with_columns_of_different_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="shorter"), Journal(tmp_path, name="any") as journal:
        journal.table("predictions", {"text": ["a", "b"], "confidence": [0.5]})


def test_artifacts_must_be_files_inside_the_run_folder(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    with Journal(tmp_path / "run", name="any") as journal:
        with pytest.raises(ConfigError, match="must lie inside the run folder"):
            journal.artifact(outside)
        with pytest.raises(ConfigError, match="is not a file"):
            journal.artifact(tmp_path / "run" / "missing.png")
        with pytest.raises(ConfigError, match="is not a folder"):
            journal.model(tmp_path / "run" / "missing")


def test_a_folder_holds_one_run(tmp_path):
    with Journal(tmp_path, name="first"):
        pass
    with pytest.raises(ConfigError, match="already holds a run"):
        Journal(tmp_path, name="second")


def test_run_folders_are_found_at_any_depth(tmp_path):
    for name in ("b/2", "a/1"):
        with Journal(tmp_path / name, name=name):
            pass
    assert run_folders(tmp_path) == [tmp_path / "a" / "1", tmp_path / "b" / "2"]
    assert run_folders(tmp_path / "b" / "2") == [tmp_path / "b" / "2"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (None, "FINISHED", ""),
        (ValueError("two\nlines"), "FAILED", "ValueError: two lines"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (SystemExit(130), "KILLED", "SystemExit: 130"),
        (SystemExit(143), "KILLED", "SystemExit: 143"),
        (SystemExit(3), "FAILED", "SystemExit: 3"),
        (SystemExit(0), "FINISHED", ""),
    ],
)
def test_how_the_block_is_left_decides_the_status(tmp_path, error, status, reason):
    try:
        with Journal(tmp_path, name="any"):
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error  # noqa: PT017
    end = events_of(tmp_path, "end")
    assert [(event["status"], event["error"]) for event in end] == [(status, reason)]
    assert run_state(tmp_path).phase == "over"


def test_a_second_end_has_no_effect(tmp_path):
    with Journal(tmp_path, name="any") as journal:
        journal.end("FAILED", "out of memory")
    assert [event["status"] for event in events_of(tmp_path, "end")] == ["FAILED"]


def test_a_reopened_run_keeps_its_uid_and_name(tmp_path):
    with Journal(tmp_path, name="first") as journal:
        uid = journal.uid
    with Journal.reopen(tmp_path) as journal:
        assert (journal.uid, journal.name) == (uid, "first")
        assert run_state(tmp_path).phase == "running"
    assert run_state(tmp_path).status == "FINISHED"


def test_a_folder_without_a_run_cannot_be_reopened(tmp_path):
    with pytest.raises(ConfigError, match="there is no run in"):
        Journal.reopen(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_as_killed(tmp_path, number):
    process = child(tmp_path, "time.sleep(60)")
    process.send_signal(number)
    process.communicate(timeout=20)
    assert run_state(tmp_path).status == "KILLED"
    assert process.returncode in (128 + number, -number)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_as_exceptions():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_killed_process_leaves_its_points_and_a_run_that_is_gone(tmp_path):
    process = child(tmp_path, "time.sleep(60)")
    assert run_state(tmp_path).phase == "running"
    with pytest.raises(ConfigError, match="is still going"):
        Journal.reopen(tmp_path)
    process.kill()
    process.communicate()

    assert run_state(tmp_path).phase == "gone"
    assert events_of(tmp_path, "metrics")[0]["values"] == {"train/loss": 0.5}
    last = events_of(tmp_path)[-1]["time"]
    end_gone_run(tmp_path, "its process is gone")
    state = run_state(tmp_path)
    assert (state.phase, state.status) == ("over", "KILLED")
    assert events_of(tmp_path, "end")[0]["time"] == last


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="another process can't be told apart here")
def test_of_two_resumes_at_once_the_second_is_refused(tmp_path):
    """The second waits where the first decides, and then sees that the run is going again."""
    from concurrent.futures import ThreadPoolExecutor

    from stancelib.journal.reading import alone

    Journal(tmp_path, name="any")
    line = json.loads((tmp_path / EVENTS).read_text())
    (tmp_path / EVENTS).write_text(json.dumps(line | {"process_start": "earlier 1"}) + "\n")
    with child(tmp_path / "other", "time.sleep(60)") as first, ThreadPoolExecutor() as pool:
        with alone(tmp_path):
            second = pool.submit(Journal.reopen, tmp_path)
            time.sleep(0.2)
            assert not second.done()
            start = events_of(tmp_path / "other", "start")[0]
            with (tmp_path / EVENTS).open("a") as file:
                file.write(json.dumps(start | {"event": "resume"}) + "\n")
        with pytest.raises(ConfigError, match=f"still going .process {first.pid}"):
            second.result()
        first.kill()


def test_another_process_with_the_same_id_is_not_the_run(tmp_path):
    Journal(tmp_path, name="any")
    line = json.loads((tmp_path / EVENTS).read_text())
    assert run_state(tmp_path).phase == "running"
    (tmp_path / EVENTS).write_text(json.dumps(line | {"process_start": "earlier 1"}) + "\n")
    assert run_state(tmp_path).phase == "gone"


@pytest.mark.parametrize("field", ["host", "namespace"])
def test_a_run_of_another_host_or_container_is_not_taken_for_dead(tmp_path, field):
    Journal(tmp_path, name="any")
    line = json.loads((tmp_path / EVENTS).read_text())
    (tmp_path / EVENTS).write_text(json.dumps(line | {field: "another", "pid": 2**22 + 1}) + "\n")
    assert run_state(tmp_path).phase == "elsewhere"


def test_even_a_short_run_has_system_metrics(tmp_path):
    pytest.importorskip("psutil")
    with Journal(tmp_path, name="any") as journal, SystemMetrics(journal, interval_seconds=60):
        pass
    values = events_of(tmp_path, "metrics")[0]["values"]
    assert values["system/process_memory_usage_megabytes"] > 1
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= values.keys()


def test_system_metrics_are_sampled_while_the_run_goes(tmp_path):
    pytest.importorskip("psutil")
    with Journal(tmp_path, name="any") as journal, SystemMetrics(journal, interval_seconds=0.02):
        deadline = time.monotonic() + 10
        while len(events_of(tmp_path, "metrics")) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [event["step"] for event in events_of(tmp_path, "metrics")][:3] == [0, 1, 2]


def test_the_journal_needs_the_standard_library_alone(tmp_path):
    code = (
        "import sys; sys.modules['psutil'] = None\n"
        "from stancelib.journal import Journal, SystemMetrics\n"
        f"with Journal({str(tmp_path)!r}, name='any') as journal, SystemMetrics(journal): journal.metrics({{'a': 1}})\n"
        "roots = {name.partition('.')[0] for name, module in sys.modules.items() if module is not None}\n"
        "print(sorted(roots - sys.stdlib_module_names - {'stancelib', '__main__'}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(stancelib.__file__).parents[1])},
    )
    assert done.stdout == "[]\n", done.stderr
    assert run_state(tmp_path).status == "FINISHED"


def test_journal_only_is_a_tracker_with_nothing_to_say(tmp_path):
    tracker: Tracker = JournalOnly()
    with Journal(tmp_path, name="any") as journal:
        tracker.attach(journal)
    tracker.close()
    assert (tracker.complete, tracker.message, tracker.url) == (True, "", "")
    assert [path.name for path in tmp_path.iterdir()] == [EVENTS]


def test_what_fails_while_a_run_is_being_stopped_leaves_it_killed(tmp_path):
    def stop():
        try:
            raise KeyboardInterrupt
        finally:
            raise NameError("half an import")

    with pytest.raises(NameError), Journal(tmp_path, name="x"):
        stop()
    assert run_state(tmp_path).status == "KILLED"


def test_a_run_of_another_host_is_not_taken_for_ours_because_its_process_has_our_number(tmp_path):
    with Journal(tmp_path, name="any"):
        pass
    first = (tmp_path / EVENTS).read_text().splitlines()[0]
    (tmp_path / EVENTS).write_text(json.dumps(json.loads(first) | {"host": "another"}) + "\n")
    with pytest.raises(ConfigError, match=f"still going .process {os.getpid()} on another"):
        Journal.reopen(tmp_path)
