"""What a difference means: tests and their corrections, and what could have been found."""

from __future__ import annotations

import math
from collections.abc import Sequence

POWER = 0.8


def mcnemar(n_only_first: int, n_only_second: int) -> float:
    """Two-sided exact p-value for equal numbers of rows that only one model gets right."""
    from scipy.stats import binomtest

    n = n_only_first + n_only_second
    return float(binomtest(n_only_first, n).pvalue) if n else 1.0


def detectable_difference(
    standard_error: float, n_clusters: int, *, level: float = 0.95, power: float = POWER
) -> float:
    """The true difference that a two-sided test at ``1 - level`` finds with this power.

    Args:
        standard_error: The standard deviation of the difference over resamples of the clusters.
        n_clusters: How many there are; with a single one, no difference is large enough: infinity.
        level: One minus the significance level, in (0, 1).
        power: Chance of finding it, in (0, 1).

    References:
        Bloom (1995), Minimum Detectable Effects: with Student's t for the number of clusters.
    """
    from scipy.special import stdtrit

    if n_clusters < 2:
        return math.inf
    multiples = stdtrit(n_clusters - 1, (1 + level) / 2) + stdtrit(n_clusters - 1, power)
    return float(standard_error * math.sqrt(n_clusters / (n_clusters - 1)) * multiples)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for testing several hypotheses, in the given order.

    References:
        Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted
