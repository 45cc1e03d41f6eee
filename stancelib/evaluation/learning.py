"""How much data is enough: the score of models that were fitted on growing shares of the training statements."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stancelib.errors import ConfigError, DataError
from stancelib.evaluation.intervals import ClusterSums, Interval, clusters_of, resampled_totals
from stancelib.evaluation.metrics import range_of
from stancelib.schema import Judge, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fit = Callable[[Statements], Judge]
"""Fits a fresh model on labelled statements."""

FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """The score at one size.

    Args:
        fraction: Share of the training statements that was asked for.
        n_statements: Statements that the models were fitted on, the mean over the draws.
        scores: Score of each draw.
        interval: Mean score, with an interval for the choice of training and of test statements.
    """

    fraction: float
    n_statements: float
    scores: tuple[float, ...]
    interval: Interval

    @property
    def sd(self) -> float:
        """Standard deviation over the draws; 0 for all statements, where nothing is drawn."""
        mean = sum(self.scores) / len(self.scores)
        return math.sqrt(sum((score - mean) ** 2 for score in self.scores) / max(len(self.scores) - 1, 1))


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Scores by size.

    Args:
        score: Name of the score.
        points: From the smallest share to the largest.
    """

    score: str
    points: tuple[LearningPoint, ...] = field(default_factory=tuple)

    def columns(self) -> dict[str, list[float]]:
        """One row per size, for a table or a chart."""
        return {
            "fraction": [point.fraction for point in self.points],
            "statements": [point.n_statements for point in self.points],
            "draws": [len(point.scores) for point in self.points],
            self.score: [point.interval.value for point in self.points],
            "sd": [point.sd for point in self.points],
            "low": [point.interval.low for point in self.points],
            "high": [point.interval.high for point in self.points],
        }


def learning_curve(
    train: Statements,
    test: Statements,
    fit: Fit,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seeds: Sequence[int] = (0, 1, 2),
    score: str = "macro_f1",
    skip_labels: Sequence[str] = (),
    level: float = 0.95,
    n_resamples: int = 1000,
) -> LearningCurve:
    """Fit on growing shares of the training statements and score each model on the same test statements.

    Shares grow by whole groups, hold every label in its proportion, and contain the smaller ones of the same seed. The
    interval adds up two variances: that of the mean over the draws, and that of the test statements, by the cluster
    bootstrap; Satterthwaite's degrees of freedom allow for how few draws there are.

    Args:
        train: Labelled statements to draw from.
        test: Labelled statements to score on, validation rather than test.
        fit: Fits a fresh model.
        fractions: Shares of ``train``, each above 0 and at most 1.
        seeds: One draw each; all statements are fitted once.
        score: Any score of ``intervals``.
        skip_labels: Labels left out of ``f_avg``.
        level: Of the intervals.
        n_resamples: Of the bootstrap.

    Raises:
        ConfigError: If a fraction, the seeds, the score or the resamples can't be used.
        DataError: If a share lacks a label.

    References:
        Figueroa et al. (2012), Predicting Sample Size Required for Classification Performance; Satterthwaite (1946), An
        Approximate Distribution of Estimates of Variance Components.
    """
    options = {"skip_labels": skip_labels, "level": level, "n_resamples": n_resamples}
    points = learning_points(train, test, fit, fractions=fractions, seeds=seeds, score=score, **options)  # type: ignore[arg-type]
    return LearningCurve(score, tuple(points))


def learning_points(
    train: Statements,
    test: Statements,
    fit: Fit,
    *,
    fractions: Sequence[float],
    seeds: Sequence[int],
    score: str,
    skip_labels: Sequence[str] = (),
    level: float = 0.95,
    n_resamples: int = 1000,
) -> Iterator[LearningPoint]:
    """The points of ``learning_curve``, each as soon as its models are fitted."""
    check_sizes(fractions, seeds, n_resamples)
    shares = {fraction: _shares(train, fraction, seeds) for fraction in sorted(set(fractions))}
    clusters = clusters_of(test)
    for fraction, drawn in shares.items():
        sums = [ClusterSums.of(fit(train.take(rows))(test), clusters, skip_labels) for rows in drawn]
        values, tested = _scored(sums, score, n_resamples)
        n_statements = sum(map(len, drawn)) / len(drawn)
        yield LearningPoint(fraction, n_statements, tuple(values), _interval(values, tested, level, range_of(score)))


def check_sizes(fractions: Sequence[float], seeds: Sequence[int], n_resamples: int = 1000) -> None:
    """Refuse what no curve can be made of, before anything is fitted.

    Raises:
        ConfigError: If a fraction or the resamples are out of range, or the seeds are none or repeat.
    """
    if not fractions:
        raise ConfigError("fractions is empty; name at least one share of the training statements, such as 0.5.")
    if bad := [fraction for fraction in fractions if not 0 < fraction <= 1]:
        raise ConfigError(f"fractions must be above 0 and at most 1, got {bad[0]}.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be one or more different numbers, got {list(seeds)}.")
    if n_resamples < 2:
        raise ConfigError(f"n_resamples must be at least 2 for the intervals of a learning curve, got {n_resamples}.")


def n_fits(fractions: Sequence[float], n_draws: int) -> int:
    """How many models a curve takes: all statements are fitted once."""
    return sum(1 if fraction == 1 else n_draws for fraction in set(fractions))


def group_positions(statements: Statements, *, seed: int) -> NDArray[np.float64]:
    """A random place in [0, 1) for each statement, one for the whole group, such that every stretch holds every label.

    Statements below 0.3 are a stratified three tenths of them, those from 0.4 to 0.6 a stratified fold. Groups are the
    column ``group``, else equal texts. They are dealt evenly within those whose most frequent label is the same.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    pairs = zip(statements.groups, statements.texts, strict=True)
    names = [("text", text) if group is None else ("group", group) for group, text in pairs]
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int_)
    n_labels = len(statements.labels or ())
    counts = np.bincount(group * n_labels + statements.gold, minlength=len(numbers) * n_labels)
    stratum = counts.reshape(-1, n_labels).argmax(axis=1)
    place = np.empty(len(numbers))
    for label in np.unique(stratum):
        inside = random.permutation(np.flatnonzero(stratum == label))
        place[inside] = (np.arange(len(inside)) + random.random()) / len(inside)
    return np.asarray(place[group])


def _shares(train: Statements, fraction: float, seeds: Sequence[int]) -> list[NDArray[np.int_]]:
    """The rows of a share, one array per draw."""
    import numpy as np

    if fraction == 1:
        return [np.arange(len(train))]
    drawn = [np.flatnonzero(group_positions(train, seed=seed) < fraction) for seed in seeds]
    assert train.labels is not None
    for rows in drawn:
        counts = np.bincount(train.gold[rows], minlength=len(train.labels))
        if not counts.all():
            raise DataError(
                f"the learning curve's share of {fraction:g} of {len(train):,} statements has none with label "
                f"'{train.labels.names[int(counts.argmin())]}'; start with a larger share."
            )
    return drawn


def _scored(sums: Sequence[ClusterSums], score: str, n_resamples: int) -> tuple[list[float], NDArray[np.float64]]:
    """The score of each model, and their mean on each resample of the test clusters."""
    import numpy as np

    values = [one.whole() for one in sums]
    if score not in values[0]:
        raise ConfigError(f"score must be one of {', '.join(values[0])}, got {score!r}.")
    totals = resampled_totals([one.sums for one in sums], n_resamples, seed=0)
    drawn = [one.scores(total)[score] for one, total in zip(sums, totals, strict=True)]
    return [float(value[score][0]) for value in values], np.mean(drawn, axis=0)


def _interval(
    values: Sequence[float], tested: NDArray[np.float64], level: float, within: tuple[float, float]
) -> Interval:
    import numpy as np
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    of_draws = float(np.var(values, ddof=1)) / n if n > 1 else 0.0
    of_test = float(np.nanvar(tested))
    freedom = (of_draws + of_test) ** 2 * (n - 1) / of_draws**2 if of_draws else math.inf
    half = float(stdtrit(min(freedom, 1e6), (1 + level) / 2)) * math.sqrt(of_draws + of_test)
    return Interval(mean, max(within[0], mean - half), min(within[1], mean + half))
