"""Is one model better than another, and where? Paired comparisons on the same statements."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stancelib.errors import ConfigError, DataError, nearest
from stancelib.evaluation.intervals import ClusterSums, Interval, quantiles, tails
from stancelib.evaluation.metrics import LOWER_IS_BETTER, OF_PROBABILITIES
from stancelib.evaluation.paired import drawn_differences, swapped_differences
from stancelib.evaluation.significance import detectable_difference, holm, mcnemar
from stancelib.evaluation.slices import SliceRule, rows_by_slice, shared_score, take
from stancelib.labels import LabelSet
from stancelib.schema import Predictions


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

    @property
    def second_is_better(self) -> bool:
        """Whether the difference speaks for the second model; of losses the lower one is better."""
        return self.interval.value != 0 and (self.interval.value < 0) == (self.name in LOWER_IS_BETTER)


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """The difference between two models on one part of the statements.

    Args:
        kind: What it is a part by, as of ``Slice``.
        value: Which part.
        n_statements: Statements in it.
        n_clusters: Independent clusters in it.
        difference: Of the score that was asked for, or of ``accuracy`` for every slice of a kind where one lacks a
            label; None where the slice is too small to judge.
        adjusted_p: The p-value after Holm's correction over all judged slices; 1 where there is none.
        reason: Why there is no difference; empty where there is one.
    """

    kind: str
    value: str
    n_statements: int
    n_clusters: int
    difference: Difference | None
    adjusted_p: float = 1.0
    reason: str = ""


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

    second = aligned(second, first)
    sums = [ClusterSums.of(said, clusters, skip_labels) for said in (first, second)]
    options = {"level": level, "n_resamples": n_resamples, "n_permutations": n_permutations, "seed": seed}
    differences = _differences(sums, list(sums[0].whole()), **options)  # type: ignore[arg-type]
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


def compare_slices(
    first: Predictions,
    second: Predictions,
    clusters: Sequence[Hashable],
    *,
    score: str = "macro_f1",
    skip_labels: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    training_targets: Collection[str | None] | None = None,
    rule: SliceRule | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    n_permutations: int = 5000,
    seed: int = 0,
) -> list[SliceDifference]:
    """Compare two models on every slice, each by the tests of ``compare`` within it.

    The slices are those of ``slice_scores``, without any that holds all statements. Where ``rule`` has too few
    statements or clusters nothing is tested; how wide an interval is doesn't matter, as the p-value allows for it.

    Args:
        first: Labelled predictions.
        second: Those of the other model.
        clusters: What each statement stands or falls with; see ``clusters_of``.
        score: Of the differences.
        skip_labels: Labels left out of ``f_avg``.
        columns: Columns to slice by; None takes those of ``slices.COLUMNS`` that there are.
        training_targets: Targets of the training statements; without them there is no ``target in training``.
        rule: When a slice is too small to judge.
        level: Of the intervals.
        n_resamples: Of the bootstrap.
        n_permutations: Of the test.
        seed: Of both.

    Returns:
        A difference per slice, by kind. Slices overlap, and the adjusted p-values hold nevertheless.

    Raises:
        ConfigError: If there is no such score.
        DataError: If the two aren't about the same labelled statements, or there is no such column.
    """
    second = aligned(second, first)
    check_score(score, first, skip_labels)
    n, rule, found = len(first.statements), rule or SliceRule(), []
    gold, n_labels = first.statements.gold, len(first.labels)
    options = {"level": level, "n_resamples": n_resamples, "n_permutations": n_permutations, "seed": seed}
    for kind, by_value in rows_by_slice(first.statements, columns, training_targets).items():
        parts = {value: rows for value, rows in by_value.items() if len(rows) < n}
        sizes = {value: (len(rows), len({clusters[row] for row in rows})) for value, rows in parts.items()}
        reasons = {value: rule.too_few(*sizes[value]) for value in parts}
        shared = shared_score(score, [parts[value] for value in parts if not reasons[value]], gold, n_labels)
        for value, rows in parts.items():
            one = None if reasons[value] else _on_rows((first, second), clusters, rows, shared, skip_labels, options)
            found.append(SliceDifference(kind, value, *sizes[value], one, reason=reasons[value]))
    return _with_holm(found)


def check_score(score: str, predictions: Predictions, skip_labels: Sequence[str] = ()) -> None:
    """Refuse a score that a comparison of such predictions doesn't have.

    Raises:
        ConfigError: If it is unknown, or ``f_avg`` without labels to skip.
    """
    names = list(ClusterSums.of(predictions, [0] * len(predictions.statements), skip_labels).whole())
    if score == "f_avg" and not skip_labels:
        raise ConfigError("the score f_avg needs the labels that its mean leaves out: name them with --skip-label.")
    if score not in names:
        whole = ", ".join(name for name in names if "." not in name)
        raise ConfigError(
            f"there is no score '{score}'; there are {whole}, and precision, recall and f1 of a label, such as "
            f"{names[-1]}{nearest(score, names)}"
        )


def _with_holm(found: Sequence[SliceDifference]) -> list[SliceDifference]:
    adjusted = iter(holm([one.difference.p_value for one in found if one.difference]))
    return [replace(one, adjusted_p=next(adjusted)) if one.difference else one for one in found]


def _on_rows(
    models: tuple[Predictions, Predictions],
    clusters: Sequence[Hashable],
    rows: Sequence[int],
    score: str,
    skip_labels: Sequence[str],
    options: Mapping[str, Any],
) -> Difference:
    inside = [clusters[row] for row in rows]
    sums = [ClusterSums.of(take(said, rows), inside, skip_labels) for said in models]
    if score not in OF_PROBABILITIES:
        sums = [one.without_probabilities() for one in sums]
    return _differences(sums, [score], **options)[score]


def _differences(
    sums: Sequence[ClusterSums],
    names: Iterable[str],
    *,
    level: float,
    n_resamples: int,
    n_permutations: int,
    seed: int,
) -> dict[str, Difference]:
    """The differences in these scores, with intervals and p-values."""
    import numpy as np

    whole = [one.whole() for one in sums]
    drawn = drawn_differences(sums, n_resamples, seed)
    swapped = swapped_differences(sums, n_permutations, seed + 1)
    found, n_clusters = {}, len(sums[0].sums)
    for name in names:
        observed = float(whole[1][name][0] - whole[0][name][0])
        extreme = int(np.sum(~(abs(swapped[name]) < abs(observed) - 1e-12)))  # those without an answer count, too
        found[name] = Difference(
            name=name,
            first=float(whole[0][name][0]),
            second=float(whole[1][name][0]),
            interval=Interval(observed, *quantiles(drawn[name], tails(level, n_clusters))),
            p_value=(extreme + 1) / (n_permutations + 1),
            detectable=detectable_difference(float(np.nanstd(drawn[name])), n_clusters, level=level),
        )
    return found


def aligned(second: Predictions, first: Predictions) -> Predictions:
    """The second with its labels in the order of the first's.

    Raises:
        DataError: If they know other labels, or are about other statements.
    """
    if set(first.labels) != set(second.labels):
        raise DataError(f"the models differ in labels: {', '.join(first.labels)} and {', '.join(second.labels)}.")
    if first.statements.digest != second.statements.digest:
        raise DataError(
            f"the predictions are not about the same statements: {len(first.statements)} rows with digest "
            f"{first.statements.digest[:12]} and {len(second.statements)} with {second.statements.digest[:12]}. "
            "Compare models that were scored on the same split of the same data."
        )
    return second if first.labels.names == second.labels.names else _relabelled(second, first.labels)


def _relabelled(said: Predictions, labels: LabelSet) -> Predictions:
    import numpy as np

    columns = np.array([said.labels.id_of(name) for name in labels])
    new_ids = np.argsort(columns)
    return Predictions(
        replace(said.statements, labels=labels, label_ids=new_ids[said.statements.gold]),
        labels,
        said.probabilities[:, columns],
        chosen=new_ids[said.label_ids],
        sets=None if said.sets is None else said.sets[:, columns],
        abstained=said.abstained,
    )
