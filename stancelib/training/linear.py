"""The linear head: label probabilities from a feature matrix, fitted by scikit-learn, kept as plain arrays.

Shapes: N statements, F features, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from stancelib.errors import DataError, nearest
from stancelib.labels import LabelSet
from stancelib.training.settings import check_class_weight

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Classifier = Literal["logistic", "svm"]
ClassWeight = Literal["balanced"] | Mapping[str, float] | None
Link = Literal["softmax", "one-vs-rest"]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Scores ``x · coef + intercept`` turned into probabilities.

    Args:
        coef: Weights, shape (n_features, n_labels).
        intercept: Shape (n_labels,).
        link: ``softmax`` over the scores, or ``one-vs-rest``: a sigmoid per label, normalised.
    """

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    link: Link

    def predict_proba(self, features_NF: Any) -> NDArray[np.float64]:
        """Probabilities, shape (n_statements, n_labels), for a dense or sparse matrix."""
        import numpy as np

        scores_NK = np.asarray(features_NF @ self.coef, dtype=np.float64) + self.intercept
        if self.link == "softmax":
            scores_NK -= scores_NK.max(axis=1, keepdims=True)
            odds_NK = np.exp(scores_NK)
        else:
            odds_NK = 1 / (1 + np.exp(-scores_NK.clip(-500, 500))) + 1e-300
        probabilities: NDArray[np.float64] = odds_NK / odds_NK.sum(axis=1, keepdims=True)
        return probabilities

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """The arrays for a safetensors file; ``from_tensors`` takes them back."""
        import numpy as np

        link = np.array([1.0 if self.link == "softmax" else 0.0])
        return {"coef": self.coef, "intercept": self.intercept, "softmax": link}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> LinearHead:
        """The head whose ``tensors`` these are."""
        link: Link = "softmax" if tensors["softmax"][0] else "one-vs-rest"
        return cls(tensors["coef"], tensors["intercept"], link)


def fit_linear_head(
    features_NF: Any,
    label_ids: NDArray[np.int_],
    labels: LabelSet,
    *,
    classifier: Classifier = "logistic",
    C: float = 1.0,
    class_weight: ClassWeight = None,
    seed: int = 0,
) -> LinearHead:
    """Fit a logistic regression, or a linear SVM with probabilities by Platt scaling on 5-fold scores.

    Args:
        features_NF: Dense or sparse, shape (n_statements, n_features).
        label_ids: Shape (n_statements,); every label must occur.
        labels: Their label set.
        classifier: Which of the two.
        C: Inverse strength of the L2 penalty, above 0.
        class_weight: ``balanced``, a weight per label name, or None.
        seed: For the shuffling of the SVM's solver and folds.

    Raises:
        DataError: If a label has no statement, or (SVM) fewer than 2.

    References:
        Platt (1999), Probabilistic Outputs for Support Vector Machines.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    counts = np.bincount(label_ids, minlength=len(labels))
    least = 1 if classifier == "logistic" else 2
    if counts.min() < least:
        name = labels.names[int(counts.argmin())]
        raise DataError(f"label '{name}' has {counts.min()} training rows; {classifier} needs at least {least}.")
    weight = _weights_by_id(class_weight, labels)
    with threadpool_limits(1):  # the vectors are too short to share out: two busy cores take four times as long
        if classifier == "svm":
            n_folds = int(min(5, counts.min()))
            return _fit_svm(features_NF, label_ids, C=C, class_weight=weight, n_folds=n_folds, seed=seed)
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression(C=C, class_weight=weight, max_iter=2000, random_state=seed)
        fitted.fit(features_NF, label_ids)
        return _head(fitted.coef_, fitted.intercept_, "softmax")


def _fit_svm(features_NF: Any, label_ids: Any, *, C: float, class_weight: Any, n_folds: int, seed: int) -> LinearHead:
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import LinearSVC

    folds = StratifiedKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    svm = LinearSVC(C=C, class_weight=class_weight, random_state=seed)
    fitted = CalibratedClassifierCV(svm, method="sigmoid", cv=folds, ensemble=False).fit(features_NF, label_ids)
    inner = fitted.calibrated_classifiers_[0]
    slope = np.array([-calibrator.a_ for calibrator in inner.calibrators])
    offset = np.array([-calibrator.b_ for calibrator in inner.calibrators])
    coef, intercept = inner.estimator.coef_, inner.estimator.intercept_
    return _head(coef * slope[:, None], intercept * slope + offset, "one-vs-rest")


def _head(coef_KF: NDArray[Any], intercept_K: NDArray[Any], link: Link) -> LinearHead:
    """The head for scikit-learn's arrays, which have one row, not two, for two labels."""
    import numpy as np

    if len(coef_KF) == 1:
        coef_KF = np.vstack([np.zeros_like(coef_KF), coef_KF])
        intercept_K = np.concatenate([np.zeros(1), intercept_K])
        link = "softmax"
    return LinearHead(np.ascontiguousarray(coef_KF.T, dtype=np.float64), np.asarray(intercept_K, np.float64), link)


def _weights_by_id(class_weight: ClassWeight, labels: LabelSet) -> Any:
    if not isinstance(class_weight, Mapping):
        return class_weight
    labels.require(class_weight, "class_weight")
    return {labels.id_of(name): float(class_weight.get(name, 1.0)) for name in labels}


def check_head_options(*, classifier: str, C: float, class_weight: object) -> None:
    """Refuse options out of range, before any data is read.

    Raises:
        ValueError: If one is.
    """
    if classifier not in ("logistic", "svm"):
        raise ValueError(
            f"classifier must be 'logistic' or 'svm', got {classifier!r}{nearest(classifier, ('logistic', 'svm'))}"
        )
    if not 0 < C < math.inf:
        raise ValueError(f"C must be above 0 and finite, got {C}.")
    check_class_weight(class_weight)
