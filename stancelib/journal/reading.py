"""Reading the record of a run, and whether the run still goes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stancelib.errors import ConfigError
from stancelib.journal.process import host_name, namespace, process_start

EVENTS = "events.jsonl"
Status = Literal["FINISHED", "FAILED", "KILLED"]
Phase = Literal["running", "over", "gone", "elsewhere"]


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


def end_gone_run(folder: Path, error: str) -> bool:
    """End a run whose process is gone as KILLED, as of the last thing it wrote; False if it is going again, or over."""
    path = Path(folder) / EVENTS
    with alone(folder), path.open("ab") as file:
        if run_state(folder).phase in ("running", "over"):
            return False
        *_, (last, _) = read_events(folder)
        line = json.dumps({"event": "end", "time": last["time"], "status": "KILLED", "error": error}).encode() + b"\n"
        file.write(line if path.read_bytes().endswith(b"\n") else b"\n" + line)
        return True


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else ends or resumes the run meanwhile; without effect where files can't be locked."""
    with (Path(folder) / EVENTS).open("rb") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        yield


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
    phase: Phase = "over" if status else process_phase(process)
    return RunState(start["uid"], start["name"], phase, status, process["host"], process["pid"])


def process_phase(process: Mapping[str, Any]) -> Phase:
    """Whether the process of a start or resume event lives."""
    if (process["host"], process["namespace"]) != (host_name(), namespace()):
        return "elsewhere"
    if process["process_start"]:
        return "running" if process_start(process["pid"]) == process["process_start"] else "gone"
    return "running" if process["pid"] == os.getpid() else "elsewhere"
