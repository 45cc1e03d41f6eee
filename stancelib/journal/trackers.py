"""What a run expects of whoever follows its journal."""

from __future__ import annotations

from typing import Protocol

from stancelib.journal.record import Journal


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

    def scorings_before(self, digest: str) -> int | None:
        """How many other runs scored the test split with this digest; None if nobody counts or the answer takes long.

        Called between ``attach`` and ``close``.
        """

    def close(self) -> None:
        """Copy what is left."""


class JournalOnly:
    """Keeps the journal and copies it nowhere.

    Args:
        experiment: The experiment that a later ``stancelib sync --uri …`` brings the run into.
    """

    url = ""
    message = ""
    complete = True

    def __init__(self, *, experiment: str = "stancelib") -> None:
        self.experiment = experiment

    def attach(self, journal: Journal) -> None:
        """Nothing to follow; the experiment is noted."""
        journal.meant_for(self.experiment)

    def scorings_before(self, digest: str) -> int | None:
        """Nobody counts."""
        return None

    def close(self) -> None:
        """Nothing to copy."""
