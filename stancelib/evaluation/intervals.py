"""How sure a score is: intervals by resampling whole clusters of statements.

Statements about one thing stand or fall together, so clusters are drawn, not rows. Every score here is a function of
sums over rows; the sums are taken once per cluster, and a resample is a matrix product. Shapes: N statements,
G clusters, K labels, R resamples, D sums.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from stancelib.evaluation.metrics import N_BINS, end_name
from stancelib.schema import Predictions, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["percentile", "bca"]
Scores = dict[str, "NDArray[np.float64]"]
CHUNK = 2**20  # draws at once: 8 MiB
FEW = 10  # clusters; with fewer, nobody knows how much clusters differ


@dataclass(frozen=True, slots=True)
class Interval:
    """A score with its confidence interval.

    Args:
        value: The score on all statements.
        low: Lower end; NaN where a single cluster leaves nothing to resample.
        high: Upper end, likewise.
    """

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there was anything to resample."""
        return not math.isnan(self.low)


def clusters_of(statements: Statements) -> list[Hashable]:
    """What each statement stands or falls with: its ``group``, without such a column its target, else itself.

    Fewer than ``FEW`` targets are not drawn: they are the targets that one wants to know about, and an interval holds
    for further statements towards these.
    """
    names: Sequence[Hashable | None] = statements.groups if "group" in statements.columns else statements.targets
    if "group" not in statements.columns and len(set(names) - {None}) < FEW:
        names = [None] * len(statements)
    return [row if name is None else name for row, name in enumerate(names)]


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """All that the scores need, summed over the rows of each cluster.

    Args:
        sums: Shape (n_clusters, n_sums): confusion counts, then calibration bins, squared error and log loss, or
            nothing.
        names: The label names.
        skip: Label ids left out of ``f_avg``; empty for no ``f_avg``.
    """

    sums: NDArray[np.float64]
    names: tuple[str, ...]
    skip: frozenset[int]

    @classmethod
    def of(cls, predictions: Predictions, clusters: Sequence[Hashable], skip_labels: Sequence[str] = ()) -> ClusterSums:
        """Sums of labelled predictions by cluster."""
        import numpy as np

        gold, said, n_labels = predictions.statements.gold, predictions.probabilities, len(predictions.labels)
        rows = np.arange(len(gold))
        confidence, right = said.max(axis=1), said.argmax(axis=1) == gold
        bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
        columns = np.zeros((len(gold), n_labels**2 + 2 * N_BINS + 2))
        columns[rows, gold * n_labels + predictions.label_ids] = 1
        columns[rows, n_labels**2 + bins] = confidence
        columns[rows, n_labels**2 + N_BINS + bins] = right
        columns[:, -2] = ((said - np.eye(n_labels)[gold]) ** 2).sum(axis=1)
        columns[:, -1] = -np.log(said[rows, gold].clip(1e-15, 1))
        order = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
        sums = np.zeros((len(order), columns.shape[1]))
        np.add.at(sums, [order[cluster] for cluster in clusters], columns)
        skip = frozenset(predictions.labels.id_of(name) for name in skip_labels)
        return cls(sums, predictions.labels.names, skip)

    def without_probabilities(self) -> ClusterSums:
        """The sums that scores of labels need; ``scores`` has no others then."""
        return replace(self, sums=self.sums[:, : len(self.names) ** 2])

    def _counts_GK(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # noqa: N802
        """Statements and answers of each label in each cluster, shape (n_clusters, n_labels)."""
        n_labels = len(self.names)
        counts_GKK = self.sums[:, : n_labels**2].reshape(-1, n_labels, n_labels)
        return counts_GKK.sum(axis=2), counts_GKK.sum(axis=1)

    def scores(self, totals_RD: NDArray[np.float64]) -> Scores:
        """The scores of each row of totals, by name, arrays of shape (n_resamples,).

        Of a label that a resample has drawn no statement of, recall and F1 are NaN, and the mean over labels leaves it
        out; precision is NaN where it has drawn none with that answer. What no statement has at all counts as 0.
        """
        import numpy as np

        n_labels = len(self.names)
        counts_RKK = totals_RD[:, : n_labels**2].reshape(-1, n_labels, n_labels)
        n = np.maximum(counts_RKK.sum(axis=(1, 2)), 1e-12)
        hits_RK = np.einsum("rkk->rk", counts_RKK)
        predicted_RK, gold_RK = counts_RKK.sum(axis=1), counts_RKK.sum(axis=2)
        f1_RK = 2 * hits_RK / np.maximum(predicted_RK + gold_RK, 1e-12)
        occur_K, answered_K = (counts_GK.sum(axis=0) > 0 for counts_GK in self._counts_GK())
        counted_RK = (gold_RK > 0) | ~occur_K  # by gold alone, so that it is the same for all models
        found: Scores = {"macro_f1": _mean_of(f1_RK, counted_RK)}
        if self.skip:
            kept = [label for label in range(n_labels) if label not in self.skip]
            found["f_avg"] = _mean_of(f1_RK[:, kept], counted_RK[:, kept])
        found |= {
            "accuracy": hits_RK.sum(axis=1) / n,
            "mcc": _matthews(hits_RK.sum(axis=1), predicted_RK, gold_RK, n),
        }
        if totals_RD.shape[1] > n_labels**2:
            bins = totals_RD[:, n_labels**2 : n_labels**2 + 2 * N_BINS]
            found["log_loss"], found["brier"] = totals_RD[:, -1] / n, totals_RD[:, -2] / n
            found["ece"] = abs(bins[:, :N_BINS] - bins[:, N_BINS:]).sum(axis=1) / n
        for k, name in enumerate(self.names):
            precision = hits_RK[:, k] / np.maximum(predicted_RK[:, k], 1e-12)
            found[f"precision.{name}"] = np.where((predicted_RK[:, k] > 0) | ~answered_K[k], precision, np.nan)
            recall = hits_RK[:, k] / np.maximum(gold_RK[:, k], 1e-12)
            found[f"recall.{name}"] = np.where(counted_RK[:, k], recall, np.nan)
            found[f"f1.{name}"] = np.where(counted_RK[:, k], f1_RK[:, k], np.nan)
        return found

    def whole(self) -> Scores:
        """The scores on all statements, arrays of shape (1,)."""
        return self.scores(self.sums.sum(axis=0, keepdims=True))

    def n_clusters_of(self, name: str) -> int:
        """How many clusters a score rests on: those that hold its label, for precision as an answer; else all."""
        measure, _, label = name.partition(".")
        if label not in self.names:
            return len(self.sums)
        counts_GK = self._counts_GK()[measure == "precision"]
        return int((counts_GK[:, self.names.index(label)] > 0).sum())


def _mean_of(f1_RK: NDArray[np.float64], counted_RK: NDArray[np.bool_]) -> NDArray[np.float64]:
    import numpy as np

    mean: NDArray[np.float64] = (f1_RK * counted_RK).sum(axis=1) / np.maximum(counted_RK.sum(axis=1), 1)
    return mean


def _matthews(
    hits: NDArray[np.float64], predicted_RK: NDArray[np.float64], gold_RK: NDArray[np.float64], n: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gorodkin's R_K for several labels."""
    import numpy as np

    covariance = hits * n - (predicted_RK * gold_RK).sum(axis=1)
    spread = (n**2 - (predicted_RK**2).sum(axis=1)) * (n**2 - (gold_RK**2).sum(axis=1))
    correlation: NDArray[np.float64] = np.where(spread > 0, covariance / np.sqrt(np.maximum(spread, 1e-12)), 0.0)
    return correlation


def resampled_totals(sums: Sequence[NDArray[np.float64]], n_resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """Totals of each table of sums in the same resamples of its clusters.

    Args:
        sums: Tables of shape (n_clusters, n_sums); those of several models are drawn together.
        n_resamples: How many.
        seed: Of the draws.

    Returns:
        For each table, shape (n_resamples, n_sums).
    """
    import numpy as np

    whole, ends = np.concatenate(sums, axis=1), np.cumsum([one.shape[1] for one in sums])[:-1]
    n_clusters, random = len(whole), np.random.default_rng(seed)
    size, totals = max(1, CHUNK // n_clusters), []
    for start in range(0, n_resamples, size):
        drawn = random.integers(n_clusters, size=(min(size, n_resamples - start), n_clusters))
        drawn += np.arange(len(drawn))[:, None] * n_clusters
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        totals.append(counts.astype(np.float64) @ whole)
    return np.split(np.concatenate(totals), ends, axis=1)


def intervals(
    predictions: Predictions,
    clusters: Sequence[Hashable],
    *,
    skip_labels: Sequence[str] = (),
    level: float = 0.95,
    n_resamples: int = 2000,
    method: Method = "percentile",
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of every score.

    Args:
        predictions: Labelled predictions.
        clusters: What each statement is drawn with, n of them; see ``clusters_of``.
        skip_labels: Labels left out of ``f_avg``.
        level: Share of such intervals that hold the true score, in (0, 1).
        n_resamples: Resamples; 2,000 fix the ends to about a tenth of the interval's half width.
        method: ``percentile``, or ``bca``, which corrects bias and skewness.
        seed: Of the draws.

    Returns:
        An interval per score, by name. With a single cluster nothing can be resampled: the ends are NaN.

    Raises:
        ValueError: If ``level`` is not in (0, 1).

    References:
        Efron, Tibshirani (1993), An Introduction to the Bootstrap; Davison, Hinkley (1997), section 3.8 on clusters;
        Hesterberg (2015), What Teachers Should Know About the Bootstrap, on few clusters.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be above 0 and below 1, got {level}.")
    sums = ClusterSums.of(predictions, clusters, skip_labels)
    value = sums.whole()
    (totals,) = resampled_totals([sums.sums], n_resamples, seed)
    drawn_scores = sums.scores(totals)
    outer = tails(level, len(sums.sums))
    corrected = _corrected(sums, value, drawn_scores, outer) if method == "bca" and len(sums.sums) > 1 else {}
    found = {}
    for name in value:
        low, high = quantiles(drawn_scores[name], corrected.get(name, outer))
        found[name] = Interval(float(value[name][0]), exact_end(low, level, sums.n_clusters_of(name)), high)
    return found


class Ends(NamedTuple):
    """Where an interval ends: two quantiles of the bootstrap distribution, in (0, 1)."""

    low: float
    high: float


def tails(level: float, n_clusters: int) -> Ends:
    """The two quantiles of the bootstrap distribution that hold the true score with this probability.

    They lie further out than ``(1 ± level) / 2`` the fewer clusters there are, as Student's t does: clusters drawn from
    a few differ less than those that weren't seen. With a single cluster they are NaN.

    References:
        Hesterberg (2015), What Teachers Should Know About the Bootstrap: the expanded percentile interval.
    """
    from scipy.special import ndtr, stdtrit

    if n_clusters < 2:
        return Ends(math.nan, math.nan)
    spread = math.sqrt(n_clusters / (n_clusters - 1)) * stdtrit(n_clusters - 1, (1 + level) / 2)
    return Ends(float(ndtr(-spread)), float(ndtr(spread)))


def quantiles(drawn: NDArray[np.float64], ends: Ends) -> Ends:
    """What lies at the two quantiles of the drawn scores; resamples that lack the score are left out."""
    import numpy as np

    if math.isnan(ends.low):
        return ends
    low, high = map(float, np.quantile(drawn[~np.isnan(drawn)], ends))
    return Ends(low, high)


def exact_end(low: float, level: float, n_clusters: int) -> float:
    """The lower end of a share's interval; where that is 1, the end of an exact interval.

    Resamples of clusters without an error hold none, which says nothing about how many there are elsewhere.

    References:
        Clopper, Pearson (1934), The Use of Confidence or Fiducial Limits.
    """
    is_one = low >= 1 - 1e-12
    return float(((1 - level) / 2) ** (1 / n_clusters)) if is_one else low


def _corrected(sums: ClusterSums, value: Scores, drawn: Scores, outer: Ends) -> dict[str, Ends]:
    """The quantiles that BCa takes instead of the plain ones, where it is defined."""
    import numpy as np
    from scipy.special import ndtr, ndtri

    left_out = sums.scores(sums.sums.sum(axis=0) - sums.sums)
    low = float(ndtri(outer.low))
    found = {}
    for name in value:
        known, others = (scores[name][~np.isnan(scores[name])] for scores in (drawn, left_out))
        below = (np.sum(known < value[name]) + 0.5 * np.sum(known == value[name])) / len(known)
        bias = ndtri(np.clip(below, 1e-6, 1 - 1e-6))
        spread = others.mean() - others
        cubed, squared = (spread**3).sum(), (spread**2).sum()
        skew = cubed / (6 * squared**1.5) if squared > 0 else 0.0
        ends = [bias + low, bias - low]
        if all(skew * end < 1 for end in ends):
            found[name] = Ends(*(float(ndtr(bias + end / (1 - skew * end))) for end in ends))
    return found


def with_bounds(found: Mapping[str, Interval]) -> dict[str, float]:
    """Interval ends as metrics: ``macro_f1_low``, ``f1_high.<label>`` and so on; none where they are NaN."""
    known = {name: interval for name, interval in found.items() if interval.known}
    low = {end_name(name, "low"): interval.low for name, interval in known.items()}
    return low | {end_name(name, "high"): interval.high for name, interval in known.items()}
