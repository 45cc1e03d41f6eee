"""N-grams and a frozen encoder under one linear classifier: wording and meaning side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stancelib.labels import LabelSet
from stancelib.models.base import Report, silent, training_labels
from stancelib.schema import Progress, Statements
from stancelib.training.encoders import EncoderSettings, copy_encoder, find_encoder
from stancelib.training.linear import ClassWeight, LinearHead, check_head_options, fit_linear_head
from stancelib.training.ngrams import Ngrams, TextBlocks
from stancelib.training.vectors import BLOCKS, Vectorizer, check_blocks, pair_features

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Hybrid:
    """The n-gram blocks of ``tfidf`` and the vector blocks of ``embedding`` under one logistic regression.

    Args:
        ngrams: Which n-grams of the statement count.
        encoder: Which encoder, and how it pools.
        blocks: Of the vectors t and q: ``statement`` t, ``target`` q, ``difference`` |t - q|, ``product`` t · q,
            ``interaction`` √D t · q, the product at the length of the others.
        use_target: Let both halves see the target.
        vector_weight: What the vectors are multiplied by; n-gram blocks and vectors have length 1 otherwise. Above 0.
        C: Inverse strength of the L2 penalty, above 0: smaller is smoother.
        class_weight: ``balanced``, a weight per label name, or None for none.
        cached: Keep vectors on disk, so that the next run on the same texts doesn't embed them again.

    Raises:
        ValueError: If an option is out of range.
    """

    extra = "torch"  # what of stancelib has to be installed to load it

    def __init__(
        self,
        *,
        ngrams: Ngrams | None = None,
        encoder: EncoderSettings | None = None,
        blocks: Sequence[str] = BLOCKS,
        use_target: bool = True,
        vector_weight: float = 0.5,
        C: float = 2.0,
        class_weight: ClassWeight = None,
        cached: bool = True,
    ) -> None:
        check_head_options(classifier="logistic", C=C, class_weight=class_weight)
        if not vector_weight > 0:
            raise ValueError(f"vector_weight must be above 0, got {vector_weight}.")
        self.ngrams = ngrams or Ngrams()
        self.encoder = encoder or EncoderSettings()
        self.blocks = check_blocks(blocks, use_target=use_target)
        self.use_target = use_target
        self.vector_weight = vector_weight
        self.C = C
        self.class_weight = class_weight
        self.cached = cached
        self.uses_target = use_target

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Learn the vocabularies, embed, then learn the classifier; ``validation`` isn't looked at.

        Raises:
            ConfigError: If the encoder isn't found.
            DataError: If there are no labelled statements, or a label has none.
        """
        self.labels_ = training_labels(train, self.class_weight)
        folder = find_encoder(self.encoder.name, self.encoder.revision)
        self.vectorizer_ = Vectorizer(folder, self.encoder, cached=self.cached)
        self.encoder_digest_ = self.vectorizer_.digest
        self.ngrams_ = TextBlocks(ngrams=self.ngrams, use_target=self.use_target)
        features = self._stack(self.ngrams_.fit_transform(train.texts, train.targets), train)
        report(Progress(1, 2, {"train/n_features": float(features.shape[1])}))
        self.head_ = fit_linear_head(features, train.gold, self.labels_, C=self.C, class_weight=self.class_weight)
        report(Progress(2, 2))
        return self

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Label probabilities, shape (n_statements, n_labels)."""
        import numpy as np

        if not len(statements):
            return np.zeros((0, len(self.labels_)))
        sparse = self.ngrams_.transform(statements.texts, statements.targets)
        return self.head_.predict_proba(self._stack(sparse, statements))

    def save(self, folder: Path) -> None:
        """Write ``config.json``, the n-gram blocks, ``head.safetensors`` and the encoder's files in ``encoder/``."""
        from safetensors.numpy import save_file

        config = {
            "labels": list(self.labels_),
            "blocks": list(self.blocks),
            "use_target": self.use_target,
            "vector_weight": self.vector_weight,
            "encoder": asdict(self.encoder),
            "encoder_digest": self.encoder_digest_,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        self.ngrams_.save(folder)
        save_file(self.head_.tensors(), folder / "head.safetensors")
        (folder / "head.safetensors").chmod(0o644)
        copy_encoder(self.vectorizer_.folder, folder / "encoder")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote; it predicts without leaving vectors on disk."""
        from safetensors.numpy import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = EncoderSettings(**config["encoder"])
        ngrams = TextBlocks.load(folder)
        options = {name: config[name] for name in ("blocks", "use_target", "vector_weight")}
        model = cls(ngrams=ngrams.ngrams, encoder=settings, cached=False, **options)
        model.labels_ = LabelSet.of(config["labels"])
        model.ngrams_ = ngrams
        model.vectorizer_ = Vectorizer(folder / "encoder", settings, cached=False)
        model.encoder_digest_ = config["encoder_digest"]
        model.head_ = LinearHead.from_tensors(load_file(folder / "head.safetensors"))
        return model

    def _stack(self, sparse: Any, statements: Statements) -> Any:
        from scipy.sparse import csr_matrix, hstack

        dense = pair_features(self.vectorizer_, statements.texts, statements.targets, self.blocks)
        return hstack([sparse, csr_matrix(self.vector_weight * dense)], format="csr")
