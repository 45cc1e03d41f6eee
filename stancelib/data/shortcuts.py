"""What gives a label away: tokens and targets that go with one label far more often than chance allows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from stancelib.schema import Statements
from stancelib.texts import folded

_TOKEN = re.compile(r"\w+(?:['’]\w+)?|[?!…]")
_SIGNIFICANT = 0.01


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A token or target that gives a label away.

    Args:
        kind: ``token`` of the text, or the whole ``target``.
        value: The token or target, case folded.
        label: The label that it goes with.
        n_rows: Rows that hold it.
        n_label: Those among them that bear the label.
        expected_fraction: Share of the label among all rows.
        pmi: Pointwise mutual information in bits, with one row's weight of the expected share added.
        p_value: Chance of so many under independence, times the number of tests.
    """

    kind: Literal["token", "target"]
    value: str
    label: str
    n_rows: int
    n_label: int
    expected_fraction: float
    pmi: float
    p_value: float

    @property
    def fraction(self) -> float:
        """Share of the label among the rows that hold the value."""
        return self.n_label / self.n_rows


def shortcuts(statements: Statements, *, min_rows: int = 5, limit: int = 20) -> list[Shortcut]:
    """Tokens and targets that predict a label by themselves.

    An exact binomial test with Bonferroni correction, at 0.01, keeps chance out.

    Args:
        statements: Labelled statements, usually the train split.
        min_rows: Rows that a token or target must be in.
        limit: How many of each kind to return.

    Returns:
        Tokens, then targets, each with the least probable by chance first.
    """
    tokens = [set(_TOKEN.findall(text.casefold())) for text in statements.texts]
    targets = [[] if target is None else [folded(target)] for target in statements.targets]
    return [
        *_associated("token", tokens, statements, min_rows)[:limit],
        *_associated("target", targets, statements, min_rows)[:limit],
    ]


def _associated(
    kind: Literal["token", "target"], values: Sequence[Iterable[str]], statements: Statements, min_rows: int
) -> list[Shortcut]:
    import numpy as np
    from scipy.stats import binom

    assert statements.labels is not None
    gold = statements.gold.tolist()
    n_rows = Counter(value for row in values for value in row)
    kept = {value: i for i, value in enumerate(sorted(value for value, n in n_rows.items() if n >= min_rows))}
    counts = np.zeros((len(kept), len(statements.labels)), dtype=np.int_)
    for row, label in zip(values, gold, strict=True):
        for value in row:
            if value in kept:
                counts[kept[value], label] += 1
    totals = np.array([n_rows[value] for value in kept], dtype=np.int_)[:, None]
    expected = np.bincount(gold, minlength=len(statements.labels)) / max(len(gold), 1)
    p_values = np.minimum(binom.sf(counts - 1, totals, expected) * counts.size, 1.0)
    pmi = np.log2((counts + expected) / (totals + 1) / np.maximum(expected, 1e-12) + 1e-12)
    names = list(kept)
    excess = counts - totals * expected
    found = np.argwhere(p_values < _SIGNIFICANT).tolist()
    return [
        Shortcut(
            kind=kind,
            value=names[i],
            label=statements.labels.names[k],
            n_rows=int(totals[i, 0]),
            n_label=int(counts[i, k]),
            expected_fraction=float(expected[k]),
            pmi=float(pmi[i, k]),
            p_value=float(p_values[i, k]),
        )
        for i, k in sorted(found, key=lambda at: (p_values[at[0], at[1]], -excess[at[0], at[1]]))
    ]
