"""Does a model use the target? Probes that take the target away, exchange it, or ask what the model does without it.

A stance model that never looks at the target can score well wherever texts give their label away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from stancelib.errors import DataError
from stancelib.evaluation.comparison import compare
from stancelib.evaluation.intervals import (
    ClusterSums,
    Interval,
    clusters_of,
    exact_end,
    quantiles,
    resampled_totals,
    tails,
    with_bounds,
)
from stancelib.evaluation.slices import take
from stancelib.evaluation.targets import same_text_sets, shuffled_targets
from stancelib.schema import Judge, Predictions, Statements
from stancelib.texts import folded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Maybe = Interval | None
PREFIX = "probe"


@dataclass(frozen=True, slots=True)
class TargetProbe:
    """What a model makes of its targets.

    Args:
        score: Name of the score that the numbers below are of.
        n_statements: Statements with a target; the others are left out.
        n_unmoved: Statements that kept their target when targets were shuffled, as one target holds over half of them.
        n_pairs: Pairs of statements with the same text, different targets and different labels.
        right: Score with the right targets.
        blanked: Score without any target.
        shuffled: Score with other statements' targets.
        swapped: Score of the paired statements with the target of their other half; None without pairs.
        target_reliance: ``right`` minus ``shuffled``: how much of the score is owed to the targets.
        swap_reliance: The same on the paired statements, with swapped targets: these fit the text, so a model can't
            tell that they are wrong. None without pairs.
        pair_accuracy: Share of pairs with both halves right; 0 for a target-blind model. None without pairs.
        controls: Scores of the controls, by name.
        gap: Score of the model minus that of the best control; None without controls.
    """

    score: str
    n_statements: int
    n_unmoved: int
    n_pairs: int
    right: float
    blanked: float
    shuffled: float
    swapped: float | None
    target_reliance: Interval
    swap_reliance: Interval | None
    pair_accuracy: Interval | None
    controls: Mapping[str, float] = field(default_factory=dict)
    gap: Interval | None = None

    @property
    def best_control(self) -> str | None:
        """Name of the control with the highest score."""
        return max(self.controls, key=self.controls.__getitem__, default=None)

    def metrics(self) -> dict[str, float]:
        """All numbers as metrics, such as ``probe/target_reliance`` and ``probe/target_reliance_low``."""
        names = ("right", "blanked", "shuffled", "swapped", "n_pairs")
        found: dict[str, float | None] = {name: getattr(self, name) for name in names}
        found |= {f"control_{name}": score for name, score in self.controls.items()}
        for name in ("target_reliance", "swap_reliance", "pair_accuracy", "gap"):
            if (interval := getattr(self, name)) is not None:
                title = "gap_to_control" if name == "gap" else name
                found |= {title: interval.value, **with_bounds({title: interval})}
        return {f"{PREFIX}/{name}": value for name, value in found.items() if value is not None}

    def gate(
        self, *, min_reliance: float = 0.0, min_pair_accuracy: float = 0.0, min_gap: float | None = 0.0
    ) -> list[str]:
        """Why the model fails to prove that it uses its targets, one sentence per reason; empty if it passes.

        A target-blind model fails on reliance and pair accuracy, one that looks at the target alone on the gap.

        Args:
            min_reliance: What the whole interval of ``target_reliance`` must lie above; the others likewise.
            min_pair_accuracy: Bound for ``pair_accuracy``; without pairs it isn't asked.
            min_gap: Bound for ``gap``; without controls, or with None, it isn't asked.
        """
        asked = [
            ("target reliance", self.target_reliance, min_reliance),
            ("pair accuracy", self.pair_accuracy, min_pair_accuracy),
            (f"the gap to the control '{self.best_control}'", self.gap, min_gap),
        ]
        return [
            f"{name} is {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], and must be above {bound:g} "
            "with its whole interval."
            if found.known
            else f"{name} is {found.value:.3f} on a single cluster, and nobody knows how sure that is."
            for name, found, bound in asked
            if found is not None and bound is not None and not found.low > bound
        ]


def not_probed(statements: Statements) -> str:
    """Why the targets of these statements can't be probed, as a sentence; empty if they can."""
    targets = {folded(target) for target in statements.targets if target is not None}
    if len(targets) > 1:
        return ""
    return "all statements have the same target." if targets else "no statement has a target."


def probe_target(
    judge: Judge,
    statements: Statements,
    *,
    controls: Mapping[str, Predictions] | None = None,
    score: str = "macro_f1",
    skip_labels: Sequence[str] = (),
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> TargetProbe:
    """Judge statements with their own targets, with none and with wrong ones.

    *Target reliance* is the score with the right targets minus that with shuffled ones, on the same statements; a
    target-blind model has exactly 0. It says that the targets matter to the model, not that it reads them together with
    the text: a model that looks at the target alone relies on it too, and is exposed by the gap to the control that was
    trained on targets alone. Intervals resample clusters of statements, each with its answers to both questions.

    Args:
        judge: The model.
        statements: Labelled statements; those without a target are left out.
        controls: Predictions of the same statements by models trained on less, such as ``text`` or ``target`` alone.
        score: Any score of ``intervals``, higher being better.
        skip_labels: Labels left out of ``f_avg``.
        level: Of the intervals.
        n_resamples: Of the bootstrap.
        seed: Of the shuffle and the bootstrap.

    Raises:
        DataError: If all targets are alike, a control is about other statements, or labels differ.

    References:
        Kaushal et al. (2021), tWT–WT: A Dataset to Assert the Role of Target Entities for Detecting Stance of Tweets;
        Gardner et al. (2020), Evaluating Models' Local Decision Boundaries via Contrast Sets, on pair accuracy.
    """
    if reason := not_probed(statements):
        raise DataError(f"the use of targets can't be probed: {reason}")
    rows = [row for row, target in enumerate(statements.targets) if target is not None]
    kept = statements.take(rows)
    measure = _Measure(clusters_of(kept), score, tuple(skip_labels), level, n_resamples, seed)
    own = _judge(judge, kept, kept.targets)
    right, targets = measure.of(own), shuffled_targets(kept, seed=seed)
    shuffled = measure.difference(_judge(judge, kept, targets), own)
    blanked = _judge(judge, kept, [None] * len(kept))
    n_pairs, swapped, swap_reliance, pair_accuracy = _probe_pairs(judge, own, measure)
    said = {name: take(_checked(name, control, statements), rows) for name, control in (controls or {}).items()}
    scores = {name: measure.of(control) for name, control in said.items()}
    return TargetProbe(
        score=score,
        n_statements=len(kept),
        n_unmoved=sum(folded(a or "") == folded(b or "") for a, b in zip(targets, kept.targets, strict=True)),
        n_pairs=n_pairs,
        right=right,
        blanked=measure.of(blanked),
        shuffled=right - shuffled.value,
        swapped=swapped,
        target_reliance=shuffled,
        swap_reliance=swap_reliance,
        pair_accuracy=pair_accuracy,
        controls=scores,
        gap=measure.difference(said[max(scores, key=scores.__getitem__)], own) if said else None,
    )


@dataclass(frozen=True, slots=True)
class _Measure:
    """How predictions of the probed statements are scored and compared."""

    clusters: Sequence[Hashable]
    score: str
    skip_labels: tuple[str, ...]
    level: float
    n_resamples: int
    seed: int

    def of(self, said: Predictions) -> float:
        found = ClusterSums.of(said, [0] * len(said.statements), self.skip_labels).whole()
        if self.score not in found:
            raise ValueError(f"score must be one of {', '.join(found)}, got {self.score!r}.")
        return float(found[self.score][0])

    def difference(self, first: Predictions, second: Predictions) -> Interval:
        """Score of the second minus that of the first, paired; no permutation test is needed."""
        options = {"level": self.level, "n_resamples": self.n_resamples, "n_permutations": 1, "seed": self.seed}
        found = compare(first, second, self.clusters, skip_labels=self.skip_labels, **options)  # type: ignore[arg-type]
        return found.differences[self.score].interval

    def share(self, hits: NDArray[np.float64], totals: NDArray[np.float64], clusters: Sequence[Hashable]) -> Interval:
        """All hits over all totals, with whole clusters of them resampled."""
        import numpy as np

        order = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
        numbers = [order[cluster] for cluster in clusters]
        sums = np.column_stack([np.bincount(numbers, weights=values) for values in (hits, totals)]).astype(float)
        (drawn,) = resampled_totals([sums], self.n_resamples, self.seed)
        low, high = quantiles(drawn[:, 0] / drawn[:, 1], tails(self.level, len(sums)))
        return Interval(float(hits.sum() / totals.sum()), exact_end(low, self.level, len(sums)), high)


def _probe_pairs(judge: Judge, own: Predictions, measure: _Measure) -> tuple[int, float | None, _Maybe, _Maybe]:
    """Probe the statements that share a text; a set's cluster is that of its first statement."""
    import numpy as np

    statements = own.statements
    sets, gold = same_text_sets(statements), statements.gold
    if not sets:
        return 0, None, None, None
    right = own.label_ids == gold
    hits = np.array([_n_pairs(gold[[row for row in rows if right[row]]].tolist()) for rows in sets], dtype=float)
    totals = np.array([_n_pairs(gold[rows].tolist()) for rows in sets], dtype=float)
    accuracy = measure.share(hits, totals, [measure.clusters[rows[0]] for rows in sets])
    targets: list[str | None] = list(statements.targets)
    for rows in sets:
        ordered = sorted(rows, key=lambda row: gold[row])
        shift = max(Counter(gold[rows].tolist()).values())  # so that each gets the target of another label
        for i, row in enumerate(ordered):
            targets[row] = statements.targets[ordered[(i + shift) % len(ordered)]]
    paired = sorted(row for rows in sets for row in rows)
    part = statements.take(paired)
    swapped = _judge(judge, part, [targets[row] for row in paired])
    inside = replace(measure, clusters=[measure.clusters[row] for row in paired])
    as_is = replace(take(own, paired), statements=part)
    return int(totals.sum()), inside.of(swapped), inside.difference(swapped, as_is), accuracy


def _n_pairs(label_ids: Sequence[int]) -> int:
    """Pairs of different labels."""
    return (len(label_ids) ** 2 - sum(n**2 for n in Counter(label_ids).values())) // 2


def _judge(judge: Judge, statements: Statements, targets: Sequence[str | None]) -> Predictions:
    """Predictions under other targets, as answers about the statements as they are."""
    return _checked("judge", replace(judge(replace(statements, targets=targets)), statements=statements), statements)


def _checked(name: str, said: Predictions, statements: Statements) -> Predictions:
    assert statements.labels is not None
    if said.labels.names != statements.labels.names:
        raise DataError(
            f"'{name}' has the labels {', '.join(said.labels)}, and the statements have {', '.join(statements.labels)}."
        )
    if said.statements is not statements and said.statements.digest != statements.digest:
        raise DataError(f"the control '{name}' is not about the statements that are probed.")
    return said
