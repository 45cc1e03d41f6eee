"""Is one model better than another? Paired comparisons on the same statements.

Shapes: N statements, G clusters, P permutations, D sums.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stancelib.errors import DataError
from stancelib.evaluation.intervals import ClusterSums, Interval, resamples
from stancelib.schema import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POWER = 0.8


@dataclass(frozen=True, slots=True)
class Difference:
    """One score of two models on the same statements.

    Args:
        name: Of the score.
        first: The first model's score.
        second: The second model's.
        interval: Second minus first, with the ends of its bootstrap interval.
        p_value: Of the permutation test: chance of a difference this large between models that are alike.
        detectable: The smallest true difference that such a test set would show four times out of five.
    """

    name: str
    first: float
    second: float
    interval: Interval
    p_value: float
    detectable: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same statements.

    Args:
        differences: By score name; the headline and every other score.
        mcnemar_p: Exact McNemar test on the rows where only one model is right; it takes rows as independent.
        only_first: Rows that only the first model gets right.
        only_second: Rows that only the second model gets right.
        n_clusters: Independent clusters among the statements.
    """

    differences: dict[str, Difference]
    mcnemar_p: float
    only_first: list[int]
    only_second: list[int]
    n_clusters: int


def compare(
    first: Predictions,
    second: Predictions,
    clusters: Sequence[Hashable],
    *,
    skip_labels: Sequence[str] = (),
    level: float = 0.95,
    n_resamples: int = 2000,
    n_permutations: int = 5000,
    seed: int = 0,
) -> Comparison:
    """Compare two models' predictions of the same statements, in the same order.

    The permutation test swaps the models' answers on whole clusters: under the null hypothesis the two are
    interchangeable there. The interval resamples clusters, keeping both models' answers together.

    Args:
        first: Labelled predictions.
        second: Those of the other model.
        clusters: What each statement stands or falls with; see ``clusters_of``.
        skip_labels: Labels left out of ``f_avg``.
        level: Of the intervals.
        n_resamples: Of the bootstrap.
        n_permutations: Of the test; the smallest p-value is 1 / (n_permutations + 1).
        seed: Of both.

    Raises:
        DataError: If the two aren't about the same labelled statements.

    References:
        Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses; McNemar (1947); Bloom (1995), Minimum
        Detectable Effects.
    """
    import numpy as np

    _same_statements(first, second)
    sums = [ClusterSums.of(said, clusters, skip_labels) for said in (first, second)]
    whole = [one.whole() for one in sums]
    drawn = _drawn_differences(sums, n_resamples, seed)
    swapped = _swapped_differences(sums, n_permutations, seed)
    differences = {}
    for name in whole[0]:
        observed = float(whole[1][name][0] - whole[0][name][0])
        low, high = np.quantile(drawn[name], [(1 - level) / 2, (1 + level) / 2])
        extreme = int(np.sum(abs(swapped[name]) >= abs(observed) - 1e-12))
        differences[name] = Difference(
            name=name,
            first=float(whole[0][name][0]),
            second=float(whole[1][name][0]),
            interval=Interval(observed, float(low), float(high)),
            p_value=(extreme + 1) / (n_permutations + 1),
            detectable=detectable_difference(float(drawn[name].std()), level=level),
        )
    gold = first.statements.gold
    right = [said.label_ids == gold for said in (first, second)]
    only_first, only_second = np.flatnonzero(right[0] & ~right[1]), np.flatnonzero(right[1] & ~right[0])
    return Comparison(
        differences=differences,
        mcnemar_p=mcnemar(len(only_first), len(only_second)),
        only_first=only_first.tolist(),
        only_second=only_second.tolist(),
        n_clusters=len(sums[0].sums),
    )


def _same_statements(first: Predictions, second: Predictions) -> None:
    if first.labels.names != second.labels.names:
        raise DataError(f"the models differ in labels: {', '.join(first.labels)} and {', '.join(second.labels)}.")
    if first.statements.digest != second.statements.digest:
        raise DataError(
            f"the predictions are not about the same statements: {len(first.statements)} rows with digest "
            f"{first.statements.digest[:12]} and {len(second.statements)} with {second.statements.digest[:12]}. "
            "Compare models that were scored on the same split of the same data."
        )


def _drawn_differences(sums: Sequence[ClusterSums], n_resamples: int, seed: int) -> dict[str, NDArray[np.float64]]:
    import numpy as np

    chunks = resamples(len(sums[0].sums), n_resamples, seed)
    scores = [one.scores(np.concatenate([drawn @ one.sums for drawn in chunks])) for one in sums]
    return {name: scores[1][name] - scores[0][name] for name in scores[0]}


def _swapped_differences(sums: Sequence[ClusterSums], n_permutations: int, seed: int) -> dict[str, NDArray[np.float64]]:
    import numpy as np

    first, second = sums[0].sums, sums[1].sums
    random = np.random.default_rng(seed + 1)
    moved = []
    for start in range(0, n_permutations, 256):
        swaps = random.integers(2, size=(min(256, n_permutations - start), len(first))).astype(np.float64)
        moved.append(swaps @ (second - first))
    moved_PD = np.concatenate(moved)
    one, other = sums[0].scores(first.sum(axis=0) + moved_PD), sums[1].scores(second.sum(axis=0) - moved_PD)
    return {name: other[name] - one[name] for name in one}


def mcnemar(n_only_first: int, n_only_second: int) -> float:
    """Two-sided exact p-value for equal numbers of rows that only one model gets right."""
    from scipy.stats import binomtest

    n = n_only_first + n_only_second
    return float(binomtest(n_only_first, n).pvalue) if n else 1.0


def detectable_difference(standard_error: float, *, level: float = 0.95, power: float = POWER) -> float:
    """The true difference that a two-sided test at ``1 - level`` finds with this power."""
    from scipy.special import ndtri

    return float(standard_error * (ndtri((1 + level) / 2) + ndtri(power)))


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
