"""Probabilities that mean what they say: temperature scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BOUNDS = (0.05, 20.0)


def fit_temperature(gold: NDArray[np.int_], probabilities_NK: NDArray[np.float64]) -> float:
    """The temperature that gives the gold labels the highest likelihood.

    Args:
        gold: Label ids of held-out statements, shape (n_statements,).
        probabilities_NK: What the model said about them, shape (n_statements, n_labels).

    Returns:
        Above 1 for a model that is too sure of itself, below 1 for one that is too shy; in [0.05, 20]. Never below 1
        where no answer is wrong: such statements can't tell how sure is too sure.

    References:
        Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(gold))

    def loss(log_temperature: float) -> float:
        scaled = apply_temperature(probabilities_NK, float(np.exp(log_temperature)))
        return float(-np.log(scaled[rows, gold].clip(1e-15)).mean())

    found = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-4})
    temperature = float(np.exp(found.x))
    has_error = (probabilities_NK.argmax(axis=1) != gold).any()
    return temperature if loss(found.x) < loss(0.0) and (has_error or temperature > 1) else 1.0


def apply_temperature(probabilities_NK: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """``softmax(log p / temperature)``, shape (n_statements, n_labels): the order of the labels stays."""
    import numpy as np

    if temperature == 1.0:
        return probabilities_NK
    logits_NK = np.log(probabilities_NK.clip(1e-30)) / temperature
    odds_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    scaled: NDArray[np.float64] = odds_NK / odds_NK.sum(axis=1, keepdims=True)
    return scaled
