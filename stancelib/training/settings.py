"""How a network is trained: the options that the torch families share, grouped.

Each group is a frozen dataclass, written in YAML as a nested ``_target_``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stancelib.errors import nearest

PRECISIONS = ("auto", "fp32", "bf16")
SCORES = ("macro_f1", "accuracy", "loss")


def check_class_weight(class_weight: object) -> None:
    """Refuse weights that no loss can have.

    Raises:
        ValueError: If it is a text other than ``balanced``, or a weight is not above 0 and finite.
    """
    if isinstance(class_weight, str) and class_weight != "balanced":
        raise ValueError(f"class_weight must be 'balanced', a weight per label, or null, got {class_weight!r}.")
    if isinstance(class_weight, Mapping):
        for name, weight in class_weight.items():
            if not 0 < weight < math.inf:
                raise ValueError(f"class_weight of {name!r} must be above 0 and finite, got {weight}.")


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """AdamW, whose weight decay spares norms, biases and embeddings; warm-up, then linear decay to 0.

    Args:
        learning_rate: Of the topmost layer, at the end of the warm-up.
        head_learning_rate: Of the freshly initialised head; None means ``learning_rate``.
        weight_decay: Decoupled, at least 0.
        warmup_fraction: Share of the steps with a rising learning rate, in [0, 1).
        layer_decay: Each layer learns this many times as fast as the one above it, in (0, 1]; 1 is one rate for all.
        clip_norm: Longest gradient let through; None for no limit.
        average_decay: The weights that are scored and kept are a running average over the steps, of which each step
            leaves this share, in (0, 1); None for the weights of the step itself.

    Raises:
        ValueError: If an option is out of range.

    References:
        Morales-Brotons et al. (2024), Exponential Moving Average of Weights in Deep Learning.
    """

    learning_rate: float = 1e-4
    head_learning_rate: float | None = 1e-3
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    layer_decay: float = 0.9
    clip_norm: float | None = 1.0
    average_decay: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "head_learning_rate", "clip_norm"):
            if (number := getattr(self, name)) is not None and not 0 < number < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {number}.")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be at least 0 and finite, got {self.weight_decay}.")
        if not 0 <= self.warmup_fraction < 1:
            raise ValueError(f"warmup_fraction must be in [0, 1), got {self.warmup_fraction}.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be in (0, 1], got {self.layer_decay}.")
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise ValueError(f"average_decay must be in (0, 1) or null, got {self.average_decay}.")


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How long, in which batches, and when it is looked at.

    Args:
        epochs: Passes over the training rows, at least 1.
        batch_size: Rows per optimizer step, over all processes and parts, at least 1.
        parts: Parts that a batch is cut into for the memory's sake (gradient accumulation); the result is the same.
        evaluations_per_epoch: How often to score and to write a checkpoint, at least 1.
        score: What the best evaluation has most of on validation, and so which weights are kept: ``macro_f1`` or
            ``accuracy``; or least of: ``loss``.
        patience: Evaluations without a better score before it stops; None to go through all epochs.
        precision: ``bf16``, ``fp32``, or ``auto``: bf16 where that is faster, on a GPU of 2020 or later and on a CPU
            with AMX.

    Raises:
        ValueError: If an option is out of range.
    """

    epochs: int = 4
    batch_size: int = 16
    parts: int = 1
    evaluations_per_epoch: int = 1
    score: Literal["macro_f1", "accuracy", "loss"] = "macro_f1"
    patience: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "parts", "evaluations_per_epoch", "patience"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}.")
        if self.parts > self.batch_size:
            raise ValueError(f"parts is {self.parts}, but a batch has only {self.batch_size} rows to cut.")
        for name, known in (("score", SCORES), ("precision", PRECISIONS)):
            if (choice := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {choice!r}{nearest(choice, known)}")


@dataclass(frozen=True, slots=True)
class LossSettings:
    """Cross-entropy and what bends it.

    Args:
        class_weight: ``balanced``, a weight per label name, or None for none.
        logit_adjustment: Times the log label frequency added to the scores while training, at least 0; 1 aims at the
            mean recall over labels. Not together with ``class_weight``.
        label_smoothing: Share of the probability spread over all labels, in [0, 1).
        dropout: Of the encoder and the head; None keeps the encoder's own and leaves the head without.
        evidence: Column with the part of a statement that its label rests on, word for word, such as the condition;
            blank where there is none. The encoder learns to mark it; where it is null, or nowhere in the statement, it
            isn't known, and without such a column this has no effect. None for no such column.
        evidence_weight: Of the mean cross-entropy over a statement's tokens, beside its label's, above 0.

    Raises:
        ValueError: If an option is out of range, or two of them do the same.

    References:
        Menon et al. (2021), Long-tail learning via logit adjustment; Zaidan et al. (2007), Using "Annotator Rationales"
        to Improve Machine Learning for Text Categorization.
    """

    class_weight: Literal["balanced"] | Mapping[str, float] | None = None
    logit_adjustment: float = 0.0
    label_smoothing: float = 0.0
    dropout: float | None = None
    evidence: str | None = None
    evidence_weight: float = 3.0

    def __post_init__(self) -> None:
        check_class_weight(self.class_weight)
        if not 0 < self.evidence_weight < math.inf:
            raise ValueError(f"evidence_weight must be above 0 and finite, got {self.evidence_weight}.")
        if not 0 <= self.logit_adjustment < math.inf:
            raise ValueError(f"logit_adjustment must be at least 0 and finite, got {self.logit_adjustment}.")
        if self.logit_adjustment and self.class_weight is not None:
            raise ValueError(
                "class_weight and logit_adjustment both correct for rare labels; set one of them to null or 0."
            )
        for name in ("label_smoothing", "dropout"):
            if (number := getattr(self, name)) is not None and not 0 <= number < 1:
                raise ValueError(f"{name} must be in [0, 1), got {number}.")


@dataclass(frozen=True, slots=True)
class FreezeSettings:
    """What keeps its pre-trained weights.

    Args:
        embeddings: Keep the word embeddings.
        layers: Keep this many layers from the bottom, and the embeddings with them; with ``lora``, without adapters.
        lora: Keep all, and train low-rank adapters beside them; None to train the weights themselves.

    Raises:
        ValueError: If ``layers`` is negative.
    """

    embeddings: bool = False
    layers: int = 0
    lora: LoraSettings | None = None

    def __post_init__(self) -> None:
        if self.layers < 0:
            raise ValueError(f"layers must be at least 0, got {self.layers}.")


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """Further statements to learn from, made of the training statements.

    Args:
        joined: So many, as a share of the training statements in [0, 1]: two of these one behind the other, to be
            judged towards the target of one of them.
        contrasts: So many further copies, at least 0, of statements whose text has another label towards another
            target.
        dropped: This share, in [0, 1], of the statements with evidence again, without it, under ``dropped_label``.
        dropped_label: What they are then, such as ``accept`` for a conditional acceptance without its condition. There
            are none where no statement has such a label, or evidence.
        masked: This share of a statement's tokens, in [0, 1), is hidden behind the mask token, anew at each step.

    Raises:
        ValueError: If an option is out of range, or ``dropped`` lacks its label.

    References:
        Kaushik et al. (2020), Learning the Difference that Makes a Difference with Counterfactually-Augmented Data.
    """

    joined: float = 0.0
    contrasts: int = 0
    dropped: float = 0.0
    dropped_label: str | None = None
    masked: float = 0.0

    def __post_init__(self) -> None:
        for name in ("joined", "dropped"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {share}.")
        if self.contrasts < 0:
            raise ValueError(f"contrasts must be at least 0, got {self.contrasts}.")
        if self.dropped and not self.dropped_label:
            raise ValueError("dropped needs dropped_label: the label of a statement without its evidence.")
        if not 0 <= self.masked < 1:
            raise ValueError(f"masked must be in [0, 1), got {self.masked}.")


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adapters instead of the encoder's own weights; merged into them after training.

    Args:
        rank: Of the update to each matrix, at least 1.
        alpha: The update counts alpha / rank times.
        dropout: On the adapters' input, in [0, 1).

    Raises:
        ValueError: If an option is out of range.

    References:
        Hu et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")
