"""Targets exchanged among statements, and statements that only their targets tell apart."""

from __future__ import annotations

from collections.abc import Hashable

from stancelib.schema import Statements
from stancelib.texts import folded

N_EXCHANGES = 30


def shuffled_targets(statements: Statements, *, seed: int) -> list[str | None]:
    """Another statement's target for each statement, all of them used once more.

    With equal targets side by side, all move on by the length of the longest such run: none keeps its own, unless one
    target holds over half of the statements. Random exchanges that keep it so mix them; whole runs moved together would
    be too few draws for the intervals to be right.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    names = [folded(target or "") for target in statements.targets]
    _, keys, counts = np.unique(np.array(names), return_inverse=True, return_counts=True)
    order = np.argsort(keys, kind="stable")
    source = np.empty_like(order)
    source[order] = np.roll(order, min(int(counts.max()), len(keys) // 2))
    for _ in range(N_EXCHANGES):
        mixed = random.permutation(len(keys) // 2 * 2).reshape(2, -1)
        one, other = mixed[:, (keys[source[mixed]] != keys[mixed[::-1]]).all(axis=0)]
        source[one], source[other] = source[other], source[one]
    return [statements.targets[row] for row in source]


def same_text_sets(statements: Statements) -> list[list[int]]:
    """Rows with one text and different targets, in sets of two or more that bear at least two labels.

    Where a column ``pair`` has values, rows must share one too. Of rows that repeat text and target, the first counts.
    """
    names = [name or None for name in statements.columns.get("pair", ())]
    sets: dict[Hashable, dict[str, int]] = {}
    for row, (text, target) in enumerate(zip(statements.texts, statements.targets, strict=True)):
        if any(names) and names[row] is None:
            continue
        sets.setdefault((names[row] if any(names) else None, text), {}).setdefault(folded(target or ""), row)
    gold = statements.gold
    found = [list(by_target.values()) for by_target in sets.values()]
    return [rows for rows in found if len({int(gold[row]) for row in rows}) > 1]
