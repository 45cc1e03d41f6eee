"""Which statements the protocol ``leave_out`` leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stancelib.data.dealing import deal
from stancelib.data.parts import Tally
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.schema import TEST, Finding, Statements
from stancelib.texts import folded


def wanted_values(values: Any, present: Sequence[str], column: str) -> list[str]:
    """The values to leave out as text, in the spelling that statements have; case and blanks don't count.

    Raises:
        ConfigError: If there are none, or no statement has one of them.
    """
    listed = listed_values(values)
    there = list(dict.fromkeys(present))
    spelling = {folded(value): value for value in there}
    for value in listed:
        if folded(str(value)) not in spelling:
            some = ", ".join(there[:10]) + (f" and {len(there) - 10:,} more" if len(there) > 10 else "")
            hint = nearest(str(value), there)
            raise ConfigError(f"split 'leave_out': no statement has {column} {str(value)!r}; there are {some}{hint}")
    return [spelling[folded(str(value))] for value in listed]


def listed_values(values: Any) -> list[Any]:
    """One value or several as a list.

    Raises:
        ConfigError: If there are none, or they have names.
    """
    if isinstance(values, Mapping):
        raise ConfigError(f"split 'leave_out': values must be a value or a list of values, got {dict(values)!r}.")
    listed = [values] if isinstance(values, (str, int, float)) else list(values)
    if not listed:
        raise ConfigError("split 'leave_out': values is empty; name at least one, or set it to null to use folds.")
    return listed


def in_fold(parts: Sequence[int], pooled: Statements, column: str, fold: int, n_folds: int, seed: int) -> list[bool]:
    """Whether each statement is in this fold of ``parts``, which are dealt whole.

    Raises:
        ConfigError: If there is no such fold.
        DataError: If there are fewer parts than folds.
    """
    check_fold(fold, n_folds)
    n_parts = len(set(parts))
    if n_parts < n_folds:
        raise DataError(
            f"split 'leave_out' by {column} can't make {n_folds} folds: only {n_parts} sets of values share no group "
            "and no near duplicate. Set n_folds to fewer, or name values."
        )
    shares = {str(i): 1 / n_folds for i in range(1, n_folds + 1)}
    dealt = deal(parts, pooled.gold.tolist(), shares, seed=seed)
    return [part == str(fold) for part in dealt]


def check_fold(fold: int, n_folds: int) -> None:
    """Refuse a fold that there can't be.

    Raises:
        ConfigError: If it is out of range.
    """
    if n_folds < 2 or not 1 <= fold <= n_folds:
        raise ConfigError(
            f"split 'leave_out': fold must be from 1 to n_folds, and n_folds at least 2; got {fold} of {n_folds}."
        )


def tied_to_left_out(pooled: Statements, parts: Sequence[str], chosen: Sequence[bool], column: str) -> list[Finding]:
    """A warning where statements went to test that were not chosen."""
    tally = Tally()
    for row, (part, is_chosen) in enumerate(zip(parts, chosen, strict=True)):
        if part == TEST and not is_chosen:
            tally.add(pooled.place(row))
    return tally.warning(
        "tied-to-left-out",
        f"of another {column} share a group with left-out rows or nearly repeat them, and are in 'test' {{first}}.",
    )
