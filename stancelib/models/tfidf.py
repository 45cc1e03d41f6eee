"""TF-IDF n-grams under a linear classifier: the strong floor that every other family has to beat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stancelib.labels import LabelSet
from stancelib.models.base import Report, silent, training_labels
from stancelib.schema import Progress, Statements
from stancelib.training.linear import Classifier, ClassWeight, LinearHead, check_head_options, fit_linear_head
from stancelib.training.ngrams import Ngrams, TextBlocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Tfidf:
    """Word and character n-grams of the statement, the target beside them, and a linear classifier.

    Args:
        ngrams: Which n-grams of the statement count.
        use_target: Add the target's words as a block of its own, and how much of them the statement repeats.
        classifier: ``logistic`` regression, or a linear ``svm`` with calibrated probabilities.
        C: Inverse strength of the L2 penalty, above 0: smaller is smoother.
        class_weight: ``balanced``, a weight per label name, or None for none.
        seed: For the SVM's solver and calibration folds; logistic regression has no randomness.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        *,
        ngrams: Ngrams | None = None,
        use_target: bool = True,
        classifier: Classifier = "logistic",
        C: float = 2.0,
        class_weight: ClassWeight = None,
        seed: int = 0,
    ) -> None:
        check_head_options(classifier=classifier, C=C, class_weight=class_weight)
        self.ngrams = ngrams or Ngrams()
        self.use_target = use_target
        self.classifier = classifier
        self.C = C
        self.class_weight = class_weight
        self.seed = seed
        self.uses_target = use_target

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Learn the vocabularies, then the classifier; ``validation`` isn't looked at."""
        self.labels_ = training_labels(train, self.class_weight)
        self.blocks_ = TextBlocks(ngrams=self.ngrams, use_target=self.use_target)
        features = self.blocks_.fit_transform(train.texts, train.targets)
        report(Progress(1, 2, {"train/n_features": float(features.shape[1])}))
        self.head_ = fit_linear_head(
            features,
            train.gold,
            self.labels_,
            classifier=self.classifier,
            C=self.C,
            class_weight=self.class_weight,
            seed=self.seed,
        )
        report(Progress(2, 2))
        return self

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Label probabilities, shape (n_statements, n_labels)."""
        import numpy as np

        if not len(statements):
            return np.zeros((0, len(self.labels_)))
        return self.head_.predict_proba(self.blocks_.transform(statements.texts, statements.targets))

    def save(self, folder: Path) -> None:
        """Write the blocks, ``head.safetensors`` and ``labels.json``."""
        from safetensors.numpy import save_file

        self.blocks_.save(folder)
        save_file(self.head_.tensors(), folder / "head.safetensors")
        (folder / "labels.json").write_text(json.dumps(list(self.labels_)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote; it predicts, and its fitting options are back to their defaults."""
        from safetensors.numpy import load_file

        blocks = TextBlocks.load(folder)
        model = cls(ngrams=blocks.ngrams, use_target=blocks.use_target)
        model.blocks_ = blocks
        model.labels_ = LabelSet.of(json.loads((folder / "labels.json").read_text(encoding="utf-8")))
        model.head_ = LinearHead.from_tensors(load_file(folder / "head.safetensors"))
        return model
