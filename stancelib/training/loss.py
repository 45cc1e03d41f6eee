"""The loss as arrays over the labels of all tasks, and that of marking evidence.

Shapes: B rows in a batch, T tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stancelib.training.settings import LossSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stancelib.labels import LabelSet


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The loss as arrays over the labels of all tasks, each of shape (n_labels,).

    Args:
        weights: Of a statement, by its label.
        offsets: Added to the scores while training.
        smoothing: Label smoothing.
        heads: First label and the one after the last of each task, the main one first; a statement's label is
            compared with those of its own task alone.
        evidence: Weight of the loss of a statement's evidence.
    """

    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]
    smoothing: float
    heads: tuple[tuple[int, int], ...]
    evidence: float = 0.0


def label_weights(loss: LossSettings, label_ids: NDArray[Any], labels: LabelSet) -> NDArray[Any]:
    """The weight of each label in the loss, shape (n_labels,); ``balanced`` is n / (n_labels * count).

    Raises:
        ConfigError: If ``class_weight`` names a label that isn't there.
    """
    import numpy as np

    counts = np.bincount(label_ids, minlength=len(labels))
    if loss.class_weight == "balanced":
        return (len(label_ids) / (len(labels) * np.maximum(counts, 1))).astype(np.float32)
    weights = np.ones(len(labels), np.float32)
    for name, weight in (loss.class_weight or {}).items():
        weights[labels.id_of(name)] = weight
    return weights


def loss_terms(loss: LossSettings, tasks: Sequence[tuple[NDArray[Any], LabelSet, float]]) -> LossTerms:
    """The loss over the labels of all tasks side by side.

    Args:
        loss: The options; weights by label name are for the main task.
        tasks: Label ids, label set and weight of each task, the main one first.
    """
    import numpy as np

    weights, offsets, heads, first = [], [], [], 0
    for number, (label_ids, labels, weight) in enumerate(tasks):
        own = loss if number == 0 or loss.class_weight == "balanced" else replace(loss, class_weight=None)
        weights.append(label_weights(own, label_ids, labels) * np.float32(weight))
        offsets.append(score_offsets(own, label_ids, labels))
        heads.append((first, first + len(labels)))
        first += len(labels)
    return LossTerms(
        np.concatenate(weights), np.concatenate(offsets), loss.label_smoothing, tuple(heads), loss.evidence_weight
    )


def score_offsets(loss: LossSettings, label_ids: NDArray[Any], labels: LabelSet) -> NDArray[Any]:
    """What logit adjustment adds to the scores while training, shape (n_labels,)."""
    import numpy as np

    counts = np.maximum(np.bincount(label_ids, minlength=len(labels)), 1)
    offsets: NDArray[Any] = (loss.logit_adjustment * np.log(counts / counts.sum())).astype(np.float32)
    return offsets


def evidence_loss(marked_BT: Any, inputs: dict[str, Any]) -> Any:
    """Summed over the rows: the mean cross-entropy over a statement's tokens; 0 where its evidence isn't known."""
    import torch

    known_BT = ((inputs["evidence"] >= 0) & (inputs["statement_mask"] == 1)).float()
    wanted_BT = inputs["evidence"].clamp(min=0).float()
    loss_BT = torch.nn.functional.binary_cross_entropy_with_logits(marked_BT.float(), wanted_BT, reduction="none")
    return ((loss_BT * known_BT).sum(1) / known_BT.sum(1).clamp(min=1)).sum()
