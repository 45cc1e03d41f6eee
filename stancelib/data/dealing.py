"""Dealing whole units of rows into parts, so that every part has its share of every label."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from stancelib.errors import ConfigError
from stancelib.schema import TRAIN, Finding


def deal(units: Sequence[int], labels: Sequence[int], shares: Mapping[str, float], *, seed: int) -> list[str]:
    """Assign every row to a part; rows of one unit stay together.

    Each unit, largest first, draws a part at random, with chances that grow with the places still free there
    for its labels. Single rows thus fill every part's share of every label to within a row; large units as
    closely as they allow.

    Args:
        units: The unit of each row.
        labels: The label id of each row.
        shares: Share of the rows by name of the part; they sum to 1.
        seed: Fixes the draw.

    Returns:
        The part of each row.
    """
    rng = random.Random(seed)  # noqa: S311
    totals = Counter(labels)
    free = {part: {label: share * n for label, n in totals.items()} for part, share in shares.items()}
    contents: dict[int, Counter[int]] = {}
    for unit, label in zip(units, labels, strict=True):
        contents.setdefault(unit, Counter())[label] += 1
    order = list(contents)
    rng.shuffle(order)
    order.sort(key=lambda unit: -contents[unit].total())
    part_of: dict[int, str] = {}
    for unit in order:
        part = _draw(free, contents[unit], rng)
        part_of[unit] = part
        for label, n in contents[unit].items():
            free[part][label] -= n
    return [part_of[unit] for unit in units]


def _draw(free: Mapping[str, Mapping[int, float]], content: Counter[int], rng: random.Random) -> str:
    """The part that a unit goes to: one with room for it, the likelier the more; without any, the least overfull one.

    Shares of a label are no whole numbers of rows, so half a row too little is room enough.
    """
    room = {
        part: sum(n * max(places[label], 0.0) for label, n in content.items())
        for part, places in free.items()
        if all(places[label] >= n - 0.5 for label, n in content.items())
    }
    if any(room.values()):
        return rng.choices(list(room), list(room.values()))[0]
    left = {part: sum(n * places[label] for label, n in content.items()) for part, places in free.items()}
    most = max(left.values())
    return rng.choice([part for part, value in left.items() if value >= most - 1e-9])  # the same but for rounding


class Forest:
    """Disjoint sets of the numbers 0 to n - 1, joined pair by pair."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, i: int) -> int:
        """The number that stands for the set of ``i``."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        """Make the sets of ``i`` and ``j`` one."""
        self._parent[self.root(j)] = self.root(i)

    def numbers(self) -> list[int]:
        """The set of each number, counted from 0 in order of first appearance."""
        names: dict[int, int] = {}
        return [names.setdefault(self.root(i), len(names)) for i in range(len(self._parent))]


def joined(*columns: Sequence[Hashable | None]) -> list[int]:
    """Units of rows that share a value in any of the columns, directly or through other rows.

    Args:
        columns: Values per row, all of one length; rows with None share nothing.

    Returns:
        A unit number per row, counted from 0 in order of first appearance.
    """
    forest = Forest(len(columns[0]))
    for column in columns:
        first: dict[Hashable, int] = {}
        for row, value in enumerate(column):
            if value is not None and (other := first.setdefault(value, row)) != row:
                forest.join(other, row)
    return forest.numbers()


def short_splits(parts: Sequence[str], shares: Mapping[str, float]) -> list[Finding]:
    """A warning for every split with less than half of the rows that its share asks for."""
    findings = []
    for name, share in shares.items():
        n_rows = parts.count(name)
        if n_rows < share * len(parts) / 2:
            message = (
                f"split '{name}' has {n_rows:,} of {len(parts):,} rows, though {share:.0%} were asked for: rows are "
                "few, or groups and near duplicates hold them together. Choose another column, fraction or protocol."
            )
            findings.append(Finding("warning", "short-split", message, n_rows))
    return findings


def checked_shares(split: str, **fractions: float) -> dict[str, float]:
    """Shares by name of the split, without those that are 0."""
    for name, value in fractions.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ConfigError(f"split '{split}': {name}_fraction must be at least 0 and below 1, got {value!r}.")
    train = 1 - sum(fractions.values())
    if train <= 1e-9:
        raise ConfigError(f"split '{split}': the fractions leave nothing for train; they must sum to less than 1.")
    return {TRAIN: train} | {name: value for name, value in fractions.items() if value > 0}
