"""Which MLflow run a run folder belongs to, and how much of the journal it has: ``mirror.json``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from stancelib.errors import ConfigError
from stancelib.journal import EVENTS, write_atomically

SIDECAR = "mirror.json"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a run is to be found in MLflow.

    Args:
        uri: The tracking address.
        experiment: Name of the experiment.
        registered_model: Name under which the model of a finished run is registered; None registers nothing.
        alias: Alias given to that version; it never moves back to an older run.
    """

    uri: str
    experiment: str = "stancelib"
    registered_model: str | None = None
    alias: str | None = None


@dataclass(slots=True)
class Link:
    """How far a run folder is mirrored.

    Args:
        destination: Where to.
        experiment_id: Id of the experiment there.
        run_id: Id of the run there, empty while there is none.
        model_id: Id of its model there, empty while there is none.
        offset: Bytes of the journal that MLflow has.
        left_out: What MLflow can't hold or refused, a line each.
    """

    destination: Destination
    experiment_id: str = ""
    run_id: str = ""
    model_id: str = ""
    offset: int = 0
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Link | None:
        """The link of a run folder; None where there is none, or it can't be read."""
        try:
            values = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
            destination = Destination(**values.pop("destination"))
            return cls(destination, **values)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def save(self, folder: Path) -> None:
        """Write it beside the journal."""
        write_atomically(folder / SIDECAR, json.dumps(asdict(self), indent=1) + "\n")

    def restart(self) -> None:
        """Forget the MLflow side, and start over at the beginning of the journal."""
        fresh = Link(self.destination)
        for one in fields(self):
            setattr(self, one.name, getattr(fresh, one.name))

    def at(self, uri: str) -> Link:
        """The link itself, or a fresh one if it led to another address."""
        return self if self.destination.uri == uri else Link(replace(self.destination, uri=uri))

    def is_complete(self, folder: Path) -> bool:
        """Whether MLflow has the journal as it is now."""
        return bool(self.run_id) and self.offset >= (folder / EVENTS).stat().st_size


@contextlib.contextmanager
def exclusive(folder: Path, *, timeout_seconds: float) -> Iterator[None]:
    """Be the only one who mirrors this run folder.

    Raises:
        ConfigError: If another process or thread still is after the timeout.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".mirror.lock", timeout=timeout_seconds):
            yield
    except Timeout:
        raise ConfigError(f"{folder} is being mirrored by another process; try again when it is done.") from None
