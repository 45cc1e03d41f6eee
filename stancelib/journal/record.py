"""Writing the record of a run."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from stancelib.errors import ConfigError
from stancelib.journal.process import stop_requested, this_process, user_name
from stancelib.journal.reading import EVENTS, Status, alone, run_state


class Journal:
    """The record of one run, used as a context manager.

    Leaving the block ends the run: FINISHED, KILLED after Ctrl-C or a signal (see
    ``signals_as_exceptions``), FAILED after any other exception.

    Args:
        folder: Where the run lives; made if it isn't there.
        name: What people call the run.
        parent: The uid of the run that this one is a part of, such as one seed of several.

    Raises:
        ConfigError: If the folder already holds a run.
    """

    def __init__(self, folder: Path, *, name: str, parent: str = "") -> None:
        self._open(folder, uuid.uuid4().hex, name, mode="xb")
        program = Path(sys.argv[0] or "python").name
        self._write(
            "start", uid=self.uid, name=name, parent=parent, user=user_name(), program=program, **this_process()
        )

    @classmethod
    def reopen(cls, folder: Path) -> Journal:
        """Continue the run in a folder, under its old uid.

        Raises:
            ConfigError: If there is no run in the folder, or another process is still at it.
        """
        run_state(folder)  # says where there is no run
        with alone(folder):
            state = run_state(folder)
            is_ours = state.phase == "running" and state.pid == os.getpid()
            if state.phase in ("running", "elsewhere") and not is_ours:
                raise ConfigError(f"the run in {folder} is still going (process {state.pid} on {state.host}).")
            journal = cls.__new__(cls)
            journal._open(folder, state.uid, state.name, mode="ab")
            journal._write("resume", user=user_name(), **this_process())
        return journal

    def _open(self, folder: Path, uid: str, name: str, *, mode: Literal["xb", "ab"]) -> None:
        self.folder, self.uid, self.name = Path(folder).absolute(), uid, name
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / EVENTS
        try:
            self._file = path.open(mode, buffering=0)
        except FileExistsError:
            raise ConfigError(
                f"{folder} already holds a run; choose another folder, or go on with that run: resume=true."
            ) from None
        self._torn = mode == "ab" and not path.read_bytes().endswith(b"\n")
        self._lock = threading.Lock()

    def meant_for(self, experiment: str) -> None:
        """The experiment that the run belongs to, wherever its record is copied later."""
        self._write("experiment", name=experiment)

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
    stopped = stop_requested.is_set()
    cause: BaseException | None = error
    while cause is not None and not stopped:  # what fails while a run is being stopped is part of the stop
        stopped = isinstance(cause, KeyboardInterrupt) or (
            isinstance(cause, SystemExit) and cause.code in (129, 130, 143)
        )
        cause = cause.__context__
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
