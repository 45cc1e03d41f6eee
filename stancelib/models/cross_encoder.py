"""An encoder fine-tuned to read the target and the statement together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stancelib.labels import LabelSet
from stancelib.models.base import Report, silent, training_labels
from stancelib.schema import Auxiliary, Statements
from stancelib.training.augmentation import augmented
from stancelib.training.batching import TokenRows, mask_token, single_token, tokenize
from stancelib.training.checkpoints import Checkpoints, threads_of
from stancelib.training.classification import Classification, LabelledRows, outputs_of, run
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
from stancelib.training.evidence import evidence_in
from stancelib.training.frozen import replayed_layers
from stancelib.training.loop import TrainingState, devices, start
from stancelib.training.loss import loss_terms
from stancelib.training.network import (
    add_lora,
    compact_vocabulary,
    freeze,
    inputs_for,
    keep_outputs,
    make_classifier,
    merge_lora,
)
from stancelib.training.settings import (
    AugmentSettings,
    FreezeSettings,
    LoopSettings,
    LossSettings,
    OptimizerSettings,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AUGMENT = AugmentSettings(joined=0.25, contrasts=2)
LOOP = LoopSettings(epochs=2)
OPTIMIZER = OptimizerSettings(learning_rate=2e-4, average_decay=0.99)
ENCODER = EncoderSettings(pooling="statement")
LOSS = LossSettings(label_smoothing=0.1, evidence="condition")


class CrossEncoder:
    """Fine-tunes an encoder on the pair (target, statement), with a linear head on its pooled output.

    The weights kept are those of the evaluation that is best on the validation statements, by ``loop.score``; without
    validation statements, the last ones.

    Args:
        encoder: Which encoder, and how it pools.
        use_target: Without it, the statement is read alone.
        augment: Further statements made of the training statements, none where the target isn't read; and what is
            hidden of them.
        loop: Epochs, batches, evaluations and the score by which the best is kept, patience, precision.
        optimizer: Learning rates, decay, warm-up, clipping.
        loss: Class weights or logit adjustment, label smoothing, dropout, evidence.
        freeze: What keeps its pre-trained weights; frozen layers are computed once a statement.
        seed: Of the head's first weights, the order of the statements, dropout, and which are changed.

    Raises:
        ValueError: If tokens are masked behind frozen layers.
    """

    extra = "torch"  # what of stancelib has to be installed to load it

    def __init__(
        self,
        *,
        encoder: EncoderSettings | None = None,
        use_target: bool = True,
        augment: AugmentSettings | None = None,
        loop: LoopSettings | None = None,
        optimizer: OptimizerSettings | None = None,
        loss: LossSettings | None = None,
        freeze: FreezeSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.encoder = encoder or ENCODER
        self.use_target = use_target
        self.augment = augment or AUGMENT
        self.loop = loop or LOOP
        self.optimizer = optimizer or OPTIMIZER
        self.loss = loss or LOSS
        self.freeze = freeze or FreezeSettings()
        if self.augment.masked and self.freeze.layers:
            raise ValueError("augment.masked hides other tokens at each step, and frozen layers are computed once.")
        self.seed = seed
        self.uses_target = use_target
        self._checkpoint_folder: Path | None = None
        self._resume = False
        self._auxiliary: Sequence[Auxiliary] = ()

    def checkpoint_to(self, folder: Path, *, resume: bool) -> None:
        """Have the next ``fit`` write a checkpoint after each evaluation, and first go on from the newest one.

        Args:
            folder: For the checkpoints alone; made where it doesn't exist.
            resume: Go on from the newest checkpoint there, if there is one; otherwise start anew.
        """
        self._checkpoint_folder, self._resume = folder, resume

    def learn_beside(self, auxiliary: Sequence[Auxiliary]) -> None:
        """Have the next ``fit`` train the encoder on these statements too, with a head for each set that isn't kept.

        Further labels go with the main ones into one head, of which the main ones are kept.
        """
        self._auxiliary = auxiliary

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Fine-tune.

        Raises:
            ConfigError: If the encoder isn't found, or a checkpoint is of another run.
            DataError: If there are no labelled statements, or a label has none.
        """
        self.labels_ = training_labels(train, self.loss.class_weight)
        self._fit(train, validation, report)
        self._checkpoint_folder, self._resume, self._auxiliary = None, False, ()  # which were for this fit
        return self

    def _fit(self, train: Statements, validation: Statements | None, report: Report) -> None:
        folder = find_encoder(self.encoder.name, self.encoder.revision)
        self.encoder_digest_ = encoder_digest(folder)
        self.tokenizer_ = load_tokenizer(folder, self.encoder.max_tokens)
        with torch_threads(self._threads()) as self.threads_, import_torch().random.fork_rng(), ExitStack() as stack:
            place = devices()
            learned = self._learned(train)
            network = self._build(folder, learned).to(place.device)
            task, state = self._prepare(network, learned, validation, stack)
            checkpoints = self._checkpoints(train, validation)
            options: dict[str, Any] = {"loop": self.loop, "optimizer": self.optimizer, "place": place, "report": report}
            run(state, task, checkpoints=checkpoints, resume=self._resume, **options)
            self.best_score_, self.precision_ = state.best_score, state.precision
        network.encoder = merge_lora(network.encoder)
        keep_outputs(network, len(self.labels_))
        self.network_ = network.eval()

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Label probabilities, shape (n_statements, n_labels)."""
        import numpy as np

        if not len(statements):
            return np.zeros((0, len(self.labels_)))
        tokens = self._tokens(statements, self.network_.encoder.config.pad_token_id or 0)
        with torch_threads(self.encoder.threads):
            return outputs_of(lambda rows: self._scores(tokens.batch(rows)).double().softmax(1), tokens)

    def save(self, folder: Path) -> None:
        """Write ``config.json``, ``head.safetensors`` and the fine-tuned encoder in ``encoder/``."""
        from safetensors.torch import save_file

        config = {
            "labels": list(self.labels_),
            "use_target": self.use_target,
            "encoder": asdict(self.encoder),
            "encoder_digest": self.encoder_digest_,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        head = {name: tensor.cpu().contiguous() for name, tensor in self.network_.head.state_dict().items()}
        save_file(head, folder / "head.safetensors")
        (folder / "head.safetensors").chmod(0o644)
        save_encoder(self.network_.encoder, self.tokenizer_, folder / "encoder")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote; it predicts, and its fitting options are back to their defaults."""
        torch = import_torch()
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = EncoderSettings(**config["encoder"])
        model = cls(encoder=settings, use_target=config["use_target"])
        model.labels_ = LabelSet.of(config["labels"])
        model.encoder_digest_ = config["encoder_digest"]
        model.tokenizer_ = load_tokenizer(folder / "encoder", settings.max_tokens)
        encoder = load_network(folder / "encoder")
        network = make_classifier(encoder, len(model.labels_), pooling=settings.pooling, dropout=None, seed=0)
        network.head.load_state_dict(load_file(folder / "head.safetensors"))
        model.network_ = network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        return model

    def _scores(self, batch: dict[str, Any]) -> Any:
        return self.network_(inputs_for(self.network_, batch))

    def _threads(self) -> int | None:
        """As many as the run has that is gone on with, so that the last bits agree."""
        earlier = threads_of(self._checkpoint_folder) if self._resume and self._checkpoint_folder else None
        return self.encoder.threads or earlier

    def _learned(self, train: Statements) -> list[Auxiliary]:
        """What is learned, each with its labels and a weight: the main task first, with all that goes into its head."""
        further = [task.statements for task in self._auxiliary if task.further]
        if further:
            labels = further[0].labels
            assert labels is not None
            train = Statements.concatenate([part.with_labels(labels) for part in (train, *further)])
        if self.use_target:
            train = augmented(train, self.augment, self.seed, evidence=self.loss.evidence)
        return [Auxiliary("main", train), *(task for task in self._auxiliary if not task.further)]

    def _build(self, folder: Path, learned: Sequence[Auxiliary]) -> Any:
        encoder = load_network(folder)
        if self.freeze.lora is not None:
            encoder = add_lora(encoder, self.freeze.lora, self.seed)
        freeze(encoder, self.freeze)
        options: dict[str, Any] = {"pooling": self.encoder.pooling, "dropout": self.loss.dropout, "seed": self.seed}
        column = self.loss.evidence or ""
        known = (isinstance(value, str) for task in learned for value in task.statements.columns.get(column, ()))
        n_outputs = sum(len(_labels(task)) for task in learned)
        return make_classifier(encoder, n_outputs, marks_evidence=any(known), **options)

    def _prepare(
        self, network: Any, learned: Sequence[Auxiliary], validation: Statements | None, stack: ExitStack
    ) -> tuple[Classification, TrainingState]:
        """Tokens, the loss and the optimizer; what is changed in the network meanwhile is on the stack."""
        import numpy as np

        padding_id = network.encoder.config.pad_token_id or 0
        parts = [replace(task.statements, labels=None, label_ids=None) for task in learned]
        read, evidence = Statements.concatenate(parts), self.loss.evidence if network.evidence is not None else None
        tokens = [self._tokens(read, padding_id, evidence)]
        if validation is not None and len(validation):
            tokens.append(self._tokens(validation, padding_id))
        mask = single_token(mask_token(self.tokenizer_)) if self.augment.masked else tokens[0]
        *tokens, mask = stack.enter_context(compact_vocabulary(network.encoder, [*tokens, mask]))
        n_batches = -(-len(read) // self.loop.batch_size)
        state = start(network, n_batches, self.loop, self.optimizer, self.seed)
        n_frozen = 0 if self.freeze.lora is not None else self.freeze.layers
        tasks = [(task.statements.gold, _labels(task), task.weight) for task in learned]
        terms = loss_terms(self.loss, tasks)
        label_ids = np.concatenate([ids + first for (ids, _, _), (first, _) in zip(tasks, terms.heads, strict=True)])
        task = Classification(
            train=LabelledRows(tokens[0], label_ids),
            validation=LabelledRows(tokens[1], validation.gold) if validation is not None and len(tokens) > 1 else None,
            terms=terms,
            n_labels=len(self.labels_),
            batch_size=self.loop.batch_size,
            seed=self.seed,
            replay=stack.enter_context(replayed_layers(network, n_frozen, tokens)),
            masked=self.augment.masked,
            mask_id=int(mask.ids[0]),
        )
        assert task.n_batches == n_batches
        return task, state

    def _tokens(self, statements: Statements, padding_id: int, evidence: str | None = None) -> TokenRows:
        targets = statements.targets if self.use_target else None
        marked = None if evidence is None else evidence_in(statements, evidence)
        return tokenize(self.tokenizer_, statements.texts, targets, evidence=marked, padding_id=padding_id)

    def _checkpoints(self, train: Statements, validation: Statements | None) -> Checkpoints | None:
        if self._checkpoint_folder is None:
            return None
        encoder = replace(self.encoder, name="", revision=None)  # which one it is says the digest, wherever it lies
        options: list[Any] = [encoder, self.augment, self.loop, self.optimizer, self.loss, self.freeze]
        identity: list[Any] = [
            self.encoder_digest_,
            train.digest,
            validation.digest if validation else None,
            self.use_target,
            list(self.labels_),  # a digest is of names, and the head has an order
            [[task.name, task.weight, task.statements.digest, list(_labels(task))] for task in self._auxiliary],
        ]
        identity += [asdict(option) if option else None for option in options] + [self.seed]
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return Checkpoints(self._checkpoint_folder, digest, self.threads_)


def _labels(task: Auxiliary) -> LabelSet:
    """The labels of a task; a further one may be left without a statement."""
    assert task.statements.labels is not None
    return task.statements.labels
