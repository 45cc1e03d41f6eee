"""Moments of statements as numbers that can be ordered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from stancelib.errors import DataError
from stancelib.schema import Statements


def seconds(statements: Statements, column: str) -> list[float]:
    """The column as numbers: as they are, or dates as seconds since 1970, in UTC where no zone is given.

    Raises:
        DataError: If a value is neither, or some are numbers and others dates.
    """
    parsed = [_moment(value) for value in statements.column(column)]
    kinds = {kind for kind, _ in parsed if kind}
    for row, (kind, _) in enumerate(parsed):
        if not kind:
            value = statements.column(column)[row]
            raise DataError(
                f"split 'by_time' needs numbers or dates such as 2024-05-31 in column '{column}'; "
                f"{statements.place(row)} has {value!r}."
            )
        if len(kinds) > 1 and kind != parsed[0][0]:
            raise DataError(
                f"split 'by_time' can't order column '{column}': {statements.place(0)} has a {parsed[0][0]}, "
                f"{statements.place(row)} a {kind}. Use one of the two."
            )
    return [number for _, number in parsed]


def cut(moments: Sequence[float], shares: Mapping[str, float]) -> list[str]:
    """The part of each row, in order of time.

    Args:
        moments: When each row was said.
        shares: Share of the rows by name of the part, oldest part first.

    Raises:
        DataError: If there are fewer moments than parts.
    """
    ordered = sorted(moments)
    starts = [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1]]
    names = list(shares)
    first: dict[str, float] = {names[0]: float("-inf")}
    wanted = 0.0
    for n_later, (before, name) in zip(range(len(names) - 2, -1, -1), pairwise(names), strict=True):
        wanted += shares[before] * len(ordered)
        free = [i for i in starts if ordered[i] > first[before]]
        free = free[: len(free) - n_later]
        if not free:
            raise DataError(
                f"split 'by_time' can't make {len(names)} splits: too few moments, once groups and near duplicates "
                "stay together. Set a fraction to 0, or choose another column."
            )
        first[name] = ordered[min(free, key=lambda i: abs(i - wanted))]
    return [next(name for name in reversed(names) if moment >= first[name]) for moment in moments]


def _moment(value: Any) -> tuple[str, float]:
    """Kind and number; the kind is empty where there is none."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        try:
            number = float(value)
        except (TypeError, ValueError):
            pass
        else:
            return ("number", number) if math.isfinite(number) else ("", 0.0)
        try:
            value = datetime.fromisoformat(str(value).strip())
        except ValueError:
            return "", 0.0
    zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
    return "date", zoned.timestamp()
