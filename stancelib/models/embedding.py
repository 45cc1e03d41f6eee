"""A frozen encoder under a linear classifier: what the statement means, without a word of it being learnt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stancelib.labels import LabelSet
from stancelib.models.base import Report, silent, training_labels
from stancelib.schema import Progress, Statements
from stancelib.training.encoders import EncoderSettings, copy_encoder, find_encoder
from stancelib.training.linear import Classifier, ClassWeight, LinearHead, check_head_options, fit_linear_head
from stancelib.training.vectors import BLOCKS, Vectorizer, check_blocks, pair_features

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embedding:
    """Vectors t of the statement and q of the target from a frozen encoder, and a linear classifier on their blocks.

    Args:
        encoder: Which encoder, and how it pools.
        blocks: What the classifier sees: ``statement`` t, ``target`` q, ``difference`` |t - q|, ``product`` t · q,
            ``interaction`` √D t · q, the product at the length of the others.
        use_target: Without it, the statement's vector is the only block.
        cached: Keep vectors on disk, so that the next run on the same texts doesn't embed them again.
        classifier: ``logistic`` regression, or a linear ``svm`` with calibrated probabilities.
        C: Inverse strength of the L2 penalty, above 0: smaller is smoother.
        class_weight: ``balanced``, a weight per label name, or None for none.
        seed: For the SVM's solver and calibration folds; logistic regression has no randomness.

    Raises:
        ValueError: If an option is out of range.
    """

    extra = "torch"  # what of stancelib has to be installed to load it

    def __init__(
        self,
        *,
        encoder: EncoderSettings | None = None,
        blocks: Sequence[str] = BLOCKS,
        use_target: bool = True,
        cached: bool = True,
        classifier: Classifier = "logistic",
        C: float = 16.0,
        class_weight: ClassWeight = None,
        seed: int = 0,
    ) -> None:
        check_head_options(classifier=classifier, C=C, class_weight=class_weight)
        self.encoder = encoder or EncoderSettings()
        self.blocks = check_blocks(blocks, use_target=use_target)
        self.use_target = use_target
        self.cached = cached
        self.classifier = classifier
        self.C = C
        self.class_weight = class_weight
        self.seed = seed
        self.uses_target = self.blocks != ("statement",)

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Embed, then learn the classifier; ``validation`` isn't looked at.

        Raises:
            ConfigError: If the encoder isn't found.
            DataError: If there are no labelled statements, or a label has none.
        """
        self.labels_ = training_labels(train, self.class_weight)
        folder = find_encoder(self.encoder.name, self.encoder.revision)
        self.vectorizer_ = Vectorizer(folder, self.encoder, cached=self.cached)
        self.encoder_digest_ = self.vectorizer_.digest
        features = pair_features(self.vectorizer_, train.texts, train.targets, self.blocks)
        embedded = {
            "train/n_embedded": float(self.vectorizer_.n_embedded),
            "train/n_features": float(features.shape[1]),
        }
        report(Progress(1, 2, embedded))
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
        features = pair_features(self.vectorizer_, statements.texts, statements.targets, self.blocks)
        return self.head_.predict_proba(features)

    def save(self, folder: Path) -> None:
        """Write ``config.json``, ``head.safetensors`` and the encoder's files in ``encoder/``."""
        from safetensors.numpy import save_file

        config = {
            "labels": list(self.labels_),
            "blocks": list(self.blocks),
            "use_target": self.use_target,
            "encoder": asdict(self.encoder),
            "encoder_digest": self.encoder_digest_,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        save_file(self.head_.tensors(), folder / "head.safetensors")
        (folder / "head.safetensors").chmod(0o644)
        copy_encoder(self.vectorizer_.folder, folder / "encoder")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote; it predicts without leaving vectors on disk."""
        from safetensors.numpy import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = EncoderSettings(**config["encoder"])
        model = cls(encoder=settings, blocks=config["blocks"], use_target=config["use_target"], cached=False)
        model.labels_ = LabelSet.of(config["labels"])
        model.vectorizer_ = Vectorizer(folder / "encoder", settings, cached=False)
        model.encoder_digest_ = config["encoder_digest"]
        model.head_ = LinearHead.from_tensors(load_file(folder / "head.safetensors"))
        return model
