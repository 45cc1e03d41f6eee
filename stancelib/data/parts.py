"""What a source is while it is read: raw values in columns, and tallies of the rows that checks object to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from stancelib.schema import Finding, Place

N_PLACES = 20


@dataclass(slots=True)
class Tally:
    """Rows that a check objects to: how many, and the first places."""

    n_rows: int = 0
    places: list[Place] = field(default_factory=list)

    def add(self, place: Place) -> None:
        """Count one row."""
        self.n_rows += 1
        if len(self.places) < N_PLACES:
            self.places.append(place)

    def error(self, check: str, sentence: str) -> list[Finding]:
        """An error that says ``N rows <sentence>``, or nothing where no row was counted."""
        return self._finding("error", check, sentence)

    def warning(self, check: str, sentence: str) -> list[Finding]:
        """A warning that says ``N rows <sentence>``, or nothing where no row was counted."""
        return self._finding("warning", check, sentence)

    def _finding(self, severity: Literal["error", "warning"], check: str, sentence: str) -> list[Finding]:
        if not self.n_rows:
            return []
        rows = "1 row " if self.n_rows == 1 else f"{self.n_rows:,} rows "
        message = rows + sentence.replace("{first}", f"(first: {self.places[0]})")
        return [Finding(severity, check, message, self.n_rows, tuple(self.places))]


@dataclass(slots=True)
class Part:
    """One split while it is read: raw values in columns."""

    texts: list[str] = field(default_factory=list)
    targets: list[str | None] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    records: list[Mapping[str, Any]] = field(default_factory=list)

    def keep(self, kept: Sequence[bool]) -> None:
        """Leave out the rows that are not kept."""
        if all(kept):
            return
        for column in fields(self):
            values = getattr(self, column.name)
            setattr(self, column.name, [value for value, keep in zip(values, kept, strict=True) if keep])
