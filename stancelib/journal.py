"""What a run did, appended to disk as it happens.

A run is a folder; its journal is ``events.jsonl`` in it, one JSON object per line, handed to the
operating system event by event: what was written survives a killed process. A line that was torn by a
full disk or a power cut is skipped by the reader. Trackers copy the journal elsewhere; nothing here
knows where. Times are milliseconds since 1970.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import math
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Protocol, Self

from stancelib.errors import ConfigError

EVENTS = "events.jsonl"
Status = Literal["FINISHED", "FAILED", "KILLED"]
Phase = Literal["running", "over", "gone", "elsewhere"]


class Journal:
    """The record of one run, used as a context manager.

    Leaving the block ends the run: FINISHED, KILLED after Ctrl-C or a signal (see
    ``signals_as_exceptions``), FAILED after any other exception.

    Args:
        folder: Where the run lives; made if it isn't there.
        name: What people call the run.

    Raises:
        ConfigError: If the folder already holds a run.
    """

    def __init__(self, folder: Path, *, name: str) -> None:
        self._open(folder, uuid.uuid4().hex, name, mode="xb")
        program = Path(sys.argv[0] or "python").name
        self._write("start", uid=self.uid, name=name, user=_user(), program=program, **_this_process())

    @classmethod
    def reopen(cls, folder: Path) -> Journal:
        """Continue the run in a folder, under its old uid.

        Raises:
            ConfigError: If there is no run in the folder, or another process is still at it.
        """
        state = run_state(folder)
        if state.phase in ("running", "elsewhere") and state.pid != os.getpid():
            raise ConfigError(f"the run in {folder} is still going (process {state.pid} on {state.host}).")
        journal = cls.__new__(cls)
        journal._open(folder, state.uid, state.name, mode="ab")
        journal._write("resume", user=_user(), **_this_process())
        return journal

    def _open(self, folder: Path, uid: str, name: str, *, mode: Literal["xb", "ab"]) -> None:
        self.folder, self.uid, self.name = Path(folder).absolute(), uid, name
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / EVENTS
        try:
            self._file = path.open(mode, buffering=0)
        except FileExistsError:
            raise ConfigError(f"{folder} already holds a run; choose another folder, or resume that run.") from None
        self._torn = mode == "ab" and not path.read_bytes().endswith(b"\n")
        self._lock = threading.Lock()

    def params(self, values: Mapping[str, object]) -> None:
        """What identifies the run: flat names, and values that JSON can hold (others are kept as strings)."""
        self._write("params", values=values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Short strings to filter and group runs by."""
        self._write("tags", values=values)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Measurements at a step.

        NaN and infinities are kept, as the strings ``NaN``, ``Infinity`` and ``-Infinity``, which JSON
        lacks; ``float()`` reads them back.
        """
        self._write("metrics", values={name: float(value) for name, value in values.items()}, step=int(step))

    def dataset(
        self,
        *,
        name: str,
        digest: str,
        split: str,
        source: str,
        n_rows: int,
        label_counts: Mapping[str, int],
        protocol: str,
    ) -> None:
        """One split that the run used; ``digest`` is of its content, ``protocol`` says how it was made."""
        values = {"name": name, "digest": digest, "split": split, "source": source, "n_rows": n_rows}
        self._write("dataset", **values, label_counts=label_counts, protocol=protocol)

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file of the run folder that belongs to the record, under ``folder`` there.

        Raises:
            ConfigError: If it is no file, or lies outside the run folder.
        """
        if not Path(path).is_file():
            raise ConfigError(f"artifact {path} is not a file.")
        self._write("artifact", path=self._inside(path), folder=folder)

    def table(self, name: str, columns: Mapping[str, Sequence[object]]) -> None:
        """A table, kept as ``tables/<name>.json`` in the form of pandas' ``orient="split"``; NaN becomes null.

        Raises:
            ValueError: If the columns differ in length.
        """
        rows = [
            [None if _is_not_finite(value) else _plain(value) for value in row]
            for row in zip(*columns.values(), strict=True)
        ]
        path = self.folder / "tables" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"columns": list(columns), "data": rows}, allow_nan=False))
        self._write("table", path=self._inside(path))

    def note(self, markdown: str) -> None:
        """What a reader should know first; a later note replaces an earlier one."""
        self._write("note", text=markdown)

    def model(self, folder: Path) -> None:
        """The bundle that came out: a folder inside the run folder.

        Raises:
            ConfigError: If it is no folder, or lies outside the run folder.
        """
        if not Path(folder).is_dir():
            raise ConfigError(f"model {folder} is not a folder.")
        self._write("model", path=self._inside(folder))

    def end(self, status: Status, error: str = "") -> None:
        """Close the run. Nothing can be added afterwards, and a second end has no effect."""
        if not self._file.closed:
            self._write("end", status=status, error=error)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(*_outcome(error))

    def _inside(self, path: Path) -> str:
        """The path relative to the run folder."""
        try:
            return Path(path).resolve().relative_to(self.folder.resolve()).as_posix()
        except ValueError:
            raise ConfigError(f"{path} must lie inside the run folder {self.folder}.") from None

    def _write(self, event: str, **fields: object) -> None:
        line = json.dumps({"event": event, "time": time.time_ns() // 1_000_000, **_plain(fields)}).encode() + b"\n"
        with self._lock:
            rest = b"\n" + line if self._torn else line
            self._torn = True
            while rest:
                rest = rest[self._file.write(rest) :]
            self._torn = False


def read_events(folder: Path, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """The events of a run from a byte offset on, each with the offset after it.

    A last line without its line break is still being written, or never will be: it is left out. So is
    a line that holds no JSON object.
    """
    with (Path(folder) / EVENTS).open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    yield event, offset


def run_folders(root: Path) -> list[Path]:
    """Every run folder at or below ``root``, sorted."""
    return sorted(path.parent for path in Path(root).rglob(EVENTS))


def end_gone_run(folder: Path, error: str) -> None:
    """End a run whose process is gone as KILLED, as of the last thing it wrote."""
    *_, (last, _) = read_events(folder)
    path = Path(folder) / EVENTS
    line = json.dumps({"event": "end", "time": last["time"], "status": "KILLED", "error": error}).encode() + b"\n"
    with path.open("ab") as file:
        file.write(line if path.read_bytes().endswith(b"\n") else b"\n" + line)


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands.

    Args:
        uid: Its unique name.
        name: What people call it.
        phase: ``over`` if it was ended, ``running``, ``gone`` if its process vanished without ending it,
            ``elsewhere`` if that process can't be seen from here: another host or container.
        status: How it ended, empty if it wasn't.
        host: Where its process runs or ran.
        pid: Its last process.
    """

    uid: str
    name: str
    phase: Phase
    status: str
    host: str
    pid: int


def run_state(folder: Path) -> RunState:
    """Whether the run in a folder is over, and if not, whether its process lives.

    Raises:
        ConfigError: If there is no run in the folder.
    """
    start: dict[str, Any] = {}
    process: dict[str, Any] = {}
    status = ""
    if (Path(folder) / EVENTS).is_file():
        for event, _ in read_events(folder):
            if event["event"] in ("start", "resume"):
                start, process, status = start or event, event, ""
            elif event["event"] == "end":
                status = event["status"]
    if "uid" not in start:
        raise ConfigError(f"there is no run in {folder}: it has no {EVENTS}, or an empty one.")
    phase: Phase = "over" if status else _phase(process)
    return RunState(start["uid"], start["name"], phase, status, process["host"], process["pid"])


class Tracker(Protocol):
    """Copies a journal to where people compare runs.

    ``close`` comes after the journal's end and returns within seconds whatever the other side does. From
    then on ``url`` links to the run, and ``message`` says what is missing there and how to complete it.
    """

    url: str
    message: str
    complete: bool

    def attach(self, journal: Journal) -> None:
        """Start following a journal; never blocks, never raises because of the other side."""

    def close(self) -> None:
        """Copy what is left."""


class JournalOnly:
    """Keeps the journal and copies it nowhere."""

    url = ""
    message = ""
    complete = True

    def attach(self, journal: Journal) -> None:
        """Nothing to follow."""

    def close(self) -> None:
        """Nothing to copy."""


class SystemMetrics:
    """Writes the machine's and the process's load to a journal while its block runs.

    Names are MLflow's own. The last sample is taken on leaving, so short runs have one too. Without
    psutil nothing is written.

    Args:
        journal: Where to write.
        interval_seconds: Time between samples.
    """

    def __init__(self, journal: Journal, *, interval_seconds: float = 10.0) -> None:
        self._journal = journal
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)
        self._n_samples = 0

    def __enter__(self) -> Self:
        try:
            import psutil
        except ImportError:
            return self
        self._process = psutil.Process()
        psutil.cpu_percent()
        self._process.cpu_percent()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._thread.ident is not None:
            self._stop.set()
            self._thread.join()
            self._sample()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self._sample()

    def _sample(self) -> None:
        import psutil

        memory = psutil.virtual_memory()
        values = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_cpu_utilization_percentage": self._process.cpu_percent(),
            "system/process_memory_usage_megabytes": self._process.memory_info().rss / 1e6,
        }
        self._journal.metrics(values, step=self._n_samples)
        self._n_samples += 1


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Turn SIGTERM, SIGHUP and SIGINT into exceptions inside the block, so that runs end KILLED.

    A signal the process was told to ignore (``nohup``, a background job) stays ignored. Outside the main
    thread Python can't handle signals, and the block changes nothing.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names] if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _outcome(error: BaseException | None) -> tuple[Status, str]:
    """Status and one-line reason for how a block was left."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "FINISHED", ""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:500].removesuffix(":")
    stopped = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code in (129, 130, 143))
    return ("KILLED" if stopped else "FAILED"), reason


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _plain(value: Any) -> Any:
    """The value in JSON's types: array scalars unwrapped, non-finite floats and anything foreign as strings."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else json.dumps(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return _plain(value.item())
    return str(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, as in many containers
        return "unknown"


def _this_process() -> dict[str, object]:
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "namespace": _namespace(), "process_start": _process_start(pid)}


def _namespace() -> str:
    """Process ids mean something only inside one of these: containers on a host have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """When a living process began, in a form only good for comparing; empty if there is none or no way to know."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return "" if fields[0] in ("Z", "X") else f"{boot} {fields[19]}"
    except OSError:
        pass
    try:
        import psutil

        return str(psutil.Process(pid).create_time())
    except Exception:  # psutil missing, or no such process
        return ""


def _phase(process: Mapping[str, Any]) -> Phase:
    """Whether the process that wrote a start or resume event lives."""
    if (process["host"], process["namespace"]) != (socket.gethostname(), _namespace()):
        return "elsewhere"
    if process["process_start"]:
        return "running" if _process_start(process["pid"]) == process["process_start"] else "gone"
    return "running" if process["pid"] == os.getpid() else "elsewhere"
