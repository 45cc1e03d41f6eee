"""From probabilities to a decision: the label with the lowest expected cost, a prediction set, or no answer.

Shapes: N statements, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stancelib.labels import DEFINITIONS, LabelSet
from stancelib.schema import Predictions, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How a label is chosen from probabilities.

    Args:
        costs: What a mistake costs, by gold label, then predicted label: ``{"conditional-accept": {"accept": 5}}``
            makes that mistake five times as bad as others. Pairs left out cost 1, right answers 0; None: all alike.
            Costs of labels that the shipped corpus has and the task at hand lacks are left out, if the task has none
            but labels of that corpus: nothing can be mistaken for them, nor are they misspelt or under another name.
        min_confidence: Abstain where the chosen label's probability is below this, in [0, 1].
        coverage: Share of statements of each label whose prediction set shall hold it, in (0, 1); with it, a model
            answers with the set's only label, and abstains where the set holds none or several. None makes sets of
            the chosen label alone.

    Raises:
        ValueError: If a number is out of range.
    """

    costs: Mapping[str, Mapping[str, float]] | None = None
    min_confidence: float = 0.0
    coverage: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence must be in [0, 1], got {self.min_confidence}.")
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise ValueError(f"coverage must be above 0 and below 1, got {self.coverage}.")
        for gold, row in (self.costs or {}).items():
            if wrong := [(predicted, cost) for predicted, cost in row.items() if not 0 <= cost < math.inf]:
                raise ValueError(f"costs.{gold}.{wrong[0][0]} must be finite and at least 0, got {wrong[0][1]}.")

    def check(self, labels: LabelSet) -> None:
        """Refuse a rule that doesn't fit the labels, before anything is trained.

        Raises:
            ConfigError: If the costs name a label that there isn't.
        """
        _costs_among(labels, self.costs or {})

    def fit(self, labels: LabelSet, gold: NDArray[np.int_], probabilities_NK: NDArray[np.float64]) -> FittedDecision:
        """Bind the rule to labels, and find the sets' thresholds on held-out statements.

        Args:
            labels: The labels of the columns.
            gold: Label ids of statements that the model wasn't trained on, shape (n_statements,).
            probabilities_NK: Shape (n_statements, n_labels).

        Raises:
            ConfigError: If the costs name a label that there isn't.
        """
        thresholds = conformal_thresholds(labels, gold, probabilities_NK, self.coverage) if self.coverage else {}
        return FittedDecision(_costs_among(labels, self.costs or {}), self.min_confidence, thresholds)


def _costs_among(labels: LabelSet, costs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The costs of mistakes that can be made among the labels; see Decision for those that may name others."""
    absent = set(DEFINITIONS) - set(labels) if set(labels) <= set(DEFINITIONS) else set()
    labels.require(
        (name for gold, row in costs.items() for name in (gold, *row) if name not in absent), "decision.costs"
    )
    kept = {gold: row for gold, row in costs.items() if gold in labels}
    return {gold: {name: cost for name, cost in row.items() if name in labels} for gold, row in kept.items()}


@dataclass(frozen=True, slots=True)
class FittedDecision:
    """A decision rule with all it needs; plain data, kept in the bundle.

    Args:
        costs: By gold and predicted label; see Decision.
        min_confidence: See Decision.
        thresholds: Lowest probability with which each label enters a prediction set; empty for sets of one.
    """

    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    min_confidence: float = 0.0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> FittedDecision:
        """The rule of a manifest; an empty mapping is the plain rule: the most probable label."""
        return cls(content.get("costs", {}), content.get("min_confidence", 0.0), content.get("thresholds", {}))

    @property
    def may_abstain(self) -> bool:
        """Whether some statement can go without an answer."""
        return bool(self.min_confidence or self.thresholds)

    def apply(self, statements: Statements, labels: LabelSet, probabilities_NK: NDArray[np.float64]) -> Predictions:
        """Predictions with the rule's labels, sets and abstentions."""
        return Predictions(
            statements,
            labels,
            probabilities_NK,
            chosen=self.choose(labels, probabilities_NK),
            sets=self.sets(labels, probabilities_NK) if self.thresholds else None,
            abstained=self.abstains(labels, probabilities_NK) if self.may_abstain else None,
        )

    def choose(self, labels: LabelSet, probabilities_NK: NDArray[np.float64]) -> NDArray[np.int_]:
        """The label ids with the lowest expected cost, shape (n_statements,); those in prediction sets come first."""
        import numpy as np

        costs_NK = probabilities_NK @ self.cost_matrix(labels) if self.costs else -probabilities_NK
        if self.thresholds:
            inside_NK = self.sets(labels, probabilities_NK)
            costs_NK = np.where(inside_NK | ~inside_NK.any(axis=1, keepdims=True), costs_NK, np.inf)
        cheapest: NDArray[np.int_] = costs_NK.argmin(axis=1)
        return cheapest

    def cost_matrix(self, labels: LabelSet) -> NDArray[np.float64]:
        """Costs, shape (n_labels, n_labels): gold in rows, predicted in columns."""
        import numpy as np

        matrix_KK = 1 - np.eye(len(labels))
        for gold, row in self.costs.items():
            for predicted, cost in row.items():
                matrix_KK[labels.id_of(gold), labels.id_of(predicted)] = cost
        return matrix_KK

    def sets(self, labels: LabelSet, probabilities_NK: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which labels each prediction set holds, shape (n_statements, n_labels)."""
        import numpy as np

        if not self.thresholds:
            return np.eye(len(labels), dtype=bool)[self.choose(labels, probabilities_NK)]
        inside: NDArray[np.bool_] = probabilities_NK >= np.array([self.thresholds[name] for name in labels])
        return inside

    def abstains(self, labels: LabelSet, probabilities_NK: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where the model gives no answer, shape (n_statements,)."""
        chosen = self.choose(labels, probabilities_NK)
        unsure: NDArray[np.bool_] = probabilities_NK[range(len(chosen)), chosen] < self.min_confidence
        return unsure | (self.sets(labels, probabilities_NK).sum(axis=1) != 1) if self.thresholds else unsure


def conformal_thresholds(
    labels: LabelSet, gold: NDArray[np.int_], probabilities_NK: NDArray[np.float64], coverage: float
) -> dict[str, float]:
    """Class-conditional split-conformal thresholds.

    A statement of label y has y in its set with probability of at least ``coverage``, for each y by itself, as long
    as new statements are like the held-out ones. A label with too few of them, n < coverage / (1 - coverage), gets
    threshold 0: it is in every set.

    References:
        Vovk (2012), Conditional Validity of Inductive Conformal Predictors; Sadinle et al. (2019), Least Ambiguous
        Set-Valued Classifiers with Bounded Error Levels.
    """
    import numpy as np

    thresholds = {}
    for label_id, name in enumerate(labels):
        own = np.sort(probabilities_NK[gold == label_id, label_id])
        n_below = len(own) - math.ceil((len(own) + 1) * coverage - 1e-9)
        thresholds[name] = float(own[n_below]) if n_below >= 0 else 0.0
    return thresholds


def decision_scores(
    decision: FittedDecision, labels: LabelSet, gold: NDArray[np.int_], probabilities_NK: NDArray[np.float64]
) -> dict[str, float]:
    """What the rule costs and gains, by name.

    Returns:
        ``cost`` (mean, where costs are set); ``abstained`` (share) and ``kept_accuracy``, where it can abstain;
        ``coverage``, ``coverage.<label>`` and ``set_size`` (mean), where there are sets.
    """
    import numpy as np

    rows, chosen = np.arange(len(gold)), decision.choose(labels, probabilities_NK)
    found = {}
    if decision.costs:
        found["cost"] = float(decision.cost_matrix(labels)[gold, chosen].mean())
    if decision.may_abstain:
        kept = ~decision.abstains(labels, probabilities_NK)
        found["abstained"] = float(1 - kept.mean())
        found["kept_accuracy"] = float((gold == chosen)[kept].mean()) if kept.any() else 0.0
    if decision.thresholds:
        sets_NK = decision.sets(labels, probabilities_NK)
        held = sets_NK[rows, gold]
        found |= {"coverage": float(held.mean()), "set_size": float(sets_NK.sum(axis=1).mean())}
        present = np.unique(gold)
        found |= {f"coverage.{labels.names[k]}": float(held[gold == k].mean()) for k in present}
    return found
