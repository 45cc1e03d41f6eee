"""The label prior: how far one gets without reading the statement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stancelib.labels import LabelSet
from stancelib.models.base import Report, silent, training_labels
from stancelib.schema import Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Prior:
    """Predicts the label frequencies of the training data, whatever the statement says.

    Args:
        per_target: Use the frequencies of the statement's own target; an unseen target gets the overall ones.
        smoothing: Pseudo-counts, spread over the labels as they are spread overall; at least 0.

    Raises:
        ValueError: If ``smoothing`` is negative.
    """

    def __init__(self, *, per_target: bool = False, smoothing: float = 1.0) -> None:
        if smoothing < 0:
            raise ValueError(f"smoothing must be at least 0, got {smoothing}.")
        self.per_target = per_target
        self.smoothing = smoothing
        self.uses_target = per_target

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Count labels, overall and per target."""
        import numpy as np

        self.labels_ = training_labels(train)
        n_labels = len(self.labels_)
        self.overall_ = np.bincount(train.gold, minlength=n_labels) / len(train)
        counts: dict[str, NDArray[np.float64]] = {}
        if self.per_target:
            for target, label_id in zip(train.targets, train.gold, strict=True):
                counts.setdefault(target or "", np.zeros(n_labels))[label_id] += 1
        self.by_target_ = {target: self._smooth(count) for target, count in counts.items()}
        return self

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Label frequencies, shape (n_statements, n_labels)."""
        import numpy as np

        rows = [self.by_target_.get(target or "", self.overall_) for target in statements.targets]
        return np.array(rows).reshape(len(statements), len(self.labels_))

    def save(self, folder: Path) -> None:
        """Write ``prior.json``."""
        content = {
            "labels": list(self.labels_),
            "per_target": self.per_target,
            "smoothing": self.smoothing,
            "overall": self.overall_.tolist(),
            "by_target": {target: shares.tolist() for target, shares in self.by_target_.items()},
        }
        (folder / "prior.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``prior.json``."""
        import numpy as np

        content = json.loads((folder / "prior.json").read_text(encoding="utf-8"))
        model = cls(per_target=content["per_target"], smoothing=content["smoothing"])
        model.labels_ = LabelSet.of(content["labels"])
        model.overall_ = np.array(content["overall"])
        model.by_target_ = {target: np.array(shares) for target, shares in content["by_target"].items()}
        return model

    def _smooth(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        total = counts.sum() + self.smoothing
        shares: NDArray[np.float64] = (counts + self.smoothing * self.overall_) / total
        return shares
