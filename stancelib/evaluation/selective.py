"""What answering only where the model is confident would gain: error against coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stancelib.schema import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Errors among the most confident statements, arrays of shape (n_statements,).

    Args:
        coverage: Share of statements that are answered, in (0, 1], rising.
        risk: Share of errors among them.
        best: The same if confidence put every error last.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    best: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve, in [0, 1]; the error rate itself for confidence that tells nothing."""
        return float(self.risk.mean())

    def risk_at(self, coverage: float) -> float:
        """Share of errors among this share of the statements, the most confident ones."""
        import numpy as np

        return float(np.interp(coverage, self.coverage, self.risk))


def risk_coverage(predictions: Predictions) -> RiskCoverage:
    """The curve of labelled predictions; statements of equal confidence are answered in random order, on average.

    References:
        El-Yaniv, Wiener (2010), On the Foundations of Noise-free Selective Classification; Geifman, El-Yaniv (2017),
        Selective Classification for Deep Neural Networks.
    """
    import numpy as np

    wrong = (predictions.label_ids != predictions.statements.gold).astype(float)
    order = np.argsort(-predictions.confidence, kind="stable")
    _, ties, sizes = np.unique(-predictions.confidence, return_inverse=True, return_counts=True)
    among_ties = np.bincount(ties, weights=wrong) / sizes
    n_answered = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(among_ties[ties[order]]) / n_answered
    return RiskCoverage(n_answered / len(wrong), risk, np.cumsum(np.sort(wrong)) / n_answered)
