"""An encoder that learns from pairs which statements agree, under a linear classifier: for a few examples a label."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stancelib.labels import LabelSet
from stancelib.models.base import Report, silent, training_labels
from stancelib.schema import Statements
from stancelib.training.batching import TokenRows, tokenize
from stancelib.training.checkpoints import Checkpoints, threads_of
from stancelib.training.classification import outputs_of, run, validation_scores
from stancelib.training.encoders import (
    EncoderSettings,
    encoder_digest,
    find_encoder,
    import_torch,
    load_network,
    load_tokenizer,
    save_encoder,
    torch_threads,
)
from stancelib.training.linear import ClassWeight, LinearHead, check_head_options, fit_linear_head
from stancelib.training.loop import devices, start
from stancelib.training.network import compact_vocabulary, inputs_for, make_classifier
from stancelib.training.pairs import PairSampler, PairSettings, PairTask
from stancelib.training.settings import LoopSettings, OptimizerSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOP = LoopSettings(epochs=1)
OPTIMIZER = OptimizerSettings(learning_rate=5e-5, head_learning_rate=None, layer_decay=1.0)


class Contrastive:
    """Fine-tunes an encoder on pairs of training statements, then fits a linear classifier on its vectors.

    Args:
        encoder: Which encoder, and how it pools.
        use_target: Without it, the statement is read alone.
        loop: Epochs, pairs per step, evaluations and the score by which the best is kept, precision.
        optimizer: Learning rates, decay, warm-up, clipping.
        pairs: How many pairs, and which.
        C: Of the classifier: inverse strength of the L2 penalty, above 0.
        class_weight: Of the classifier: ``balanced``, a weight per label name, or None for none.
        seed: Of pairs and dropout.

    Raises:
        ValueError: If an option is out of range.

    References:
        Tunstall et al. (2022), Efficient Few-Shot Learning Without Prompts (SetFit).
    """

    extra = "torch"  # what of stancelib has to be installed to load it

    def __init__(
        self,
        *,
        encoder: EncoderSettings | None = None,
        use_target: bool = True,
        loop: LoopSettings | None = None,
        optimizer: OptimizerSettings | None = None,
        pairs: PairSettings | None = None,
        C: float = 1.0,
        class_weight: ClassWeight = None,
        seed: int = 0,
    ) -> None:
        check_head_options(classifier="logistic", C=C, class_weight=class_weight)
        self.encoder = encoder or EncoderSettings()
        self.use_target = use_target
        self.loop = loop or LOOP
        self.optimizer = optimizer or OPTIMIZER
        self.pairs = pairs or PairSettings()
        self.C = C
        self.class_weight = class_weight
        self.seed = seed
        self.uses_target = use_target
        self._checkpoint_folder: Path | None = None
        self._resume = False

    def checkpoint_to(self, folder: Path, *, resume: bool) -> None:
        """Have the next ``fit`` write a checkpoint after each evaluation, and first go on from the newest one.

        Args:
            folder: For the checkpoints alone; made where it doesn't exist.
            resume: Go on from the newest checkpoint there, if there is one; otherwise start anew.
        """
        self._checkpoint_folder, self._resume = folder, resume

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Fine-tune on pairs, then fit the classifier.

        Raises:
            ConfigError: If the encoder isn't found, or a checkpoint is of another run.
            DataError: If there are no labelled statements, or a label has none.
        """
        self.labels_ = training_labels(train, self.class_weight)
        self._fit(train, validation, report)
        self._checkpoint_folder, self._resume = None, False  # which were for this fit
        return self

    def _fit(self, train: Statements, validation: Statements | None, report: Report) -> None:
        folder = find_encoder(self.encoder.name, self.encoder.revision)
        self.encoder_digest_ = encoder_digest(folder)
        self.tokenizer_ = load_tokenizer(folder, self.encoder.max_tokens)
        earlier = threads_of(self._checkpoint_folder) if self._resume and self._checkpoint_folder else None
        with torch_threads(self.encoder.threads or earlier) as self.threads_, import_torch().random.fork_rng():
            place = devices()
            encoder = load_network(folder)
            network = make_classifier(encoder, 0, pooling=self.encoder.pooling, dropout=None, seed=self.seed)
            network.to(place.device)
            with compact_vocabulary(encoder, self._tokens(encoder, train, validation)) as tokens:
                self._learn(network, tokens, train, validation, place=place, report=report)
                self.head_ = self._fit_head(network, tokens[0], train)
        self.network_ = network.eval()

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Label probabilities, shape (n_statements, n_labels)."""
        import numpy as np

        if not len(statements):
            return np.zeros((0, len(self.labels_)))
        with torch_threads(self.encoder.threads):
            [tokens] = self._tokens(self.network_.encoder, statements)
            return self.head_.predict_proba(_vectors(self.network_, tokens))

    def save(self, folder: Path) -> None:
        """Write ``config.json``, ``head.safetensors`` and the fine-tuned encoder in ``encoder/``."""
        from safetensors.numpy import save_file

        config = {
            "labels": list(self.labels_),
            "use_target": self.use_target,
            "encoder": asdict(self.encoder),
            "encoder_digest": self.encoder_digest_,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        save_file(self.head_.tensors(), folder / "head.safetensors")
        (folder / "head.safetensors").chmod(0o644)
        save_encoder(self.network_.encoder, self.tokenizer_, folder / "encoder")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote; it predicts, and its fitting options are back to their defaults."""
        from safetensors.numpy import load_file

        torch = import_torch()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = EncoderSettings(**config["encoder"])
        model = cls(encoder=settings, use_target=config["use_target"])
        model.labels_ = LabelSet.of(config["labels"])
        model.encoder_digest_ = config["encoder_digest"]
        model.tokenizer_ = load_tokenizer(folder / "encoder", settings.max_tokens)
        model.head_ = LinearHead.from_tensors(load_file(folder / "head.safetensors"))
        encoder = load_network(folder / "encoder")
        network = make_classifier(encoder, 0, pooling=settings.pooling, dropout=None, seed=0)
        model.network_ = network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        return model

    def _learn(
        self,
        network: Any,
        tokens: list[TokenRows],
        train: Statements,
        validation: Statements | None,
        *,
        place: Any,
        report: Report,
    ) -> None:
        """Train on pairs, and keep the weights whose classifier is best on validation."""

        def score(network: Any) -> Mapping[str, float]:
            if validation is None or len(tokens) < 2:
                return {}
            head = self._fit_head(network, tokens[0], train)
            return validation_scores(validation.gold, head.predict_proba(_vectors(network, tokens[1])))

        sampler = PairSampler(label_ids=train.gold, targets=train.targets, settings=self.pairs, seed=self.seed)
        task = PairTask(tokens=tokens[0], sampler=sampler, batch_size=self.loop.batch_size, score=score)
        state = start(network, task.n_batches, self.loop, self.optimizer, self.seed)
        checkpoints = self._checkpoints(train, validation)
        options: dict[str, Any] = {"loop": self.loop, "optimizer": self.optimizer, "place": place, "report": report}
        run(state, task, checkpoints=checkpoints, resume=self._resume, **options)

    def _fit_head(self, network: Any, tokens: TokenRows, train: Statements) -> LinearHead:
        network.eval()
        vectors = _vectors(network, tokens)
        return fit_linear_head(
            vectors, train.gold, self.labels_, C=self.C, class_weight=self.class_weight, seed=self.seed
        )

    def _tokens(self, encoder: Any, *parts: Statements | None) -> list[TokenRows]:
        padding_id = encoder.config.pad_token_id or 0
        return [
            tokenize(self.tokenizer_, part.texts, part.targets if self.use_target else None, padding_id=padding_id)
            for part in parts
            if part is not None and len(part)
        ]

    def _checkpoints(self, train: Statements, validation: Statements | None) -> Checkpoints | None:
        if self._checkpoint_folder is None:
            return None
        encoder = replace(self.encoder, name="", revision=None)  # which one it is says the digest, wherever it lies
        options: list[Any] = [encoder, self.loop, self.optimizer, self.pairs]
        identity: list[Any] = [self.encoder_digest_, train.digest, validation.digest if validation else None]
        identity.append(list(self.labels_))  # a digest is of names, and the head has an order
        identity += [asdict(option) for option in options] + [self.use_target, self.C, self.class_weight, self.seed]
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=dict).encode()).hexdigest()
        return Checkpoints(self._checkpoint_folder, digest, self.threads_)


def _vectors(network: Any, tokens: TokenRows) -> NDArray[np.float64]:
    """Pooled vectors of length 1, shape (n_rows, n_dimensions)."""
    import torch

    def forward(rows: NDArray[np.int_]) -> Any:
        return torch.nn.functional.normalize(network(inputs_for(network, tokens.batch(rows))), dim=1)

    return outputs_of(forward, tokens)
