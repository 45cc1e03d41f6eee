"""Which labels are probably wrong: each statement judged by a model that was fitted on the others.

Shapes: N statements, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stancelib.errors import DataError
from stancelib.evaluation.learning import Fit, group_positions
from stancelib.schema import Predictions, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelNoise:
    """How well each label agrees with what models made of the other statements.

    Args:
        predictions: Of each statement by a model that wasn't fitted on it or its group.
        thresholds: Mean probability of each label on the statements that bear it, shape (n_labels,).
        quality: Normalised self-confidence, shape (n,), in [0, 1]: the lower, the more probably wrong.
        suggested: The label that the statement would get instead, shape (n,).
        suspicious: Where another label is as probable as it usually is on its own statements, shape (n,).
    """

    predictions: Predictions
    thresholds: NDArray[np.float64]
    quality: NDArray[np.float64]
    suggested: NDArray[np.int_]
    suspicious: NDArray[np.bool_]

    @property
    def order(self) -> NDArray[np.int_]:
        """Row numbers, the most suspicious label first, shape (n,)."""
        import numpy as np

        return np.argsort(self.quality, kind="stable")

    def columns(self, limit: int = 100) -> dict[str, Sequence[object]]:
        """The most suspicious labels for a table, where they were read first."""
        rows = [int(row) for row in self.order[:limit]]
        statements, labels = self.predictions.statements, self.predictions.labels
        return {
            "place": [str(statements.place(row)) for row in rows],
            "id": [statements.ids[row] for row in rows],
            "text": [statements.texts[row] for row in rows],
            "target": [statements.targets[row] for row in rows],
            "label": labels.decode(statements.gold[rows]),
            "suggested": labels.decode(self.suggested[rows]),
            "quality": [float(self.quality[row]) for row in rows],
            "suspicious": [bool(self.suspicious[row]) for row in rows],
        }


def label_noise(statements: Statements, fit: Fit, *, n_folds: int = 5, seed: int = 0) -> LabelNoise:
    """Rank labels by how probably they are wrong.

    A model that is more sure of one label than of another would make the other look wrong everywhere, so each label's
    probability is measured against its mean on the statements that bear it: the threshold is subtracted before the
    probabilities are brought to sum 1 again. A ranking is for people to look through from the top: hard statements
    rank high beside wrong ones.

    Args:
        statements: Labelled statements.
        fit: Fits a fresh model.
        n_folds: Folds; more cost more fits, and give each a larger share of the statements.
        seed: Of the folds.

    Raises:
        ValueError: If there are fewer than 2 folds.
        DataError: If a label has too few statements for the folds.

    References:
        Northcutt, Jiang, Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset Labels; Kuan, Mueller
        (2022), Model-Agnostic Label Quality Scoring to Detect Real-World Label Errors.
    """
    import numpy as np

    said = cross_validated(statements, fit, n_folds=n_folds, seed=seed)
    gold, rows, probabilities_NK = statements.gold, np.arange(len(statements)), said.probabilities
    n_labels = probabilities_NK.shape[1]
    thresholds = np.array([probabilities_NK[gold == label, label].mean() for label in range(n_labels)])
    shifted_NK = probabilities_NK - thresholds + thresholds.max()
    quality = shifted_NK[rows, gold] / shifted_NK.sum(axis=1)
    others_NK = np.where(np.eye(n_labels, dtype=bool)[gold], -np.inf, shifted_NK)
    above_NK = np.where(probabilities_NK >= thresholds, probabilities_NK, -np.inf)
    suspicious = np.isfinite(above_NK).any(axis=1) & (above_NK.argmax(axis=1) != gold)
    return LabelNoise(said, thresholds, quality, others_NK.argmax(axis=1), suspicious)


def cross_validated(statements: Statements, fit: Fit, *, n_folds: int = 5, seed: int = 0) -> Predictions:
    """Predictions of every statement by a model fitted on the other folds; groups and equal texts stay together.

    Raises:
        ValueError: If there are fewer than 2 folds.
        DataError: If the statements of some fold leave a label without any.
    """
    import numpy as np

    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2, got {n_folds}.")
    folds = (group_positions(statements, seed=seed) * n_folds).astype(int)
    assert statements.labels is not None
    probabilities_NK = np.zeros((len(statements), len(statements.labels)))
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        counts = np.bincount(statements.gold[outside], minlength=len(statements.labels))
        if not counts.all():
            raise DataError(
                f"label '{statements.labels.names[int(counts.argmin())]}' has too few statements for {n_folds} folds "
                "of whole groups: some fold holds them all. Add some, or leave the label out."
            )
        said = fit(statements.take(outside))(statements.take(inside))
        if said.labels.names != statements.labels.names:
            raise DataError(
                f"the model has the labels {', '.join(said.labels)}, and the statements {', '.join(statements.labels)}."
            )
        probabilities_NK[inside] = said.probabilities
    return Predictions(statements, statements.labels, probabilities_NK)
