"""Labels from tokens as a task of the loop, and the ``for`` loop around it that both torch families use.

Shapes: B rows in a batch, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stancelib.schema import Progress
from stancelib.training.batching import TokenRows, bucketed, by_length
from stancelib.training.checkpoints import Checkpoints
from stancelib.training.loop import Task, TrainingState, train
from stancelib.training.loss import LossTerms, evidence_loss
from stancelib.training.network import inputs_for
from stancelib.training.settings import LoopSettings, OptimizerSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stancelib.training.frozen import Replay

PREDICTION_BATCH = 32


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Tokenised statements with their label ids."""

    tokens: TokenRows
    label_ids: NDArray[np.int_]


class Classification:
    """Cross-entropy on labelled rows, in length-bucketed batches.

    Args:
        train: What is learnt.
        validation: What it is scored on; None for no score.
        terms: The loss.
        n_labels: So many of the outputs, from the first, are predicted.
        batch_size: Rows per step.
        seed: Of the order of the rows.
        replay: Stands in for frozen layers; None where the encoder is whole.
        masked: The share of a statement's tokens that is hidden at each step.
        mask_id: What they are hidden behind.
    """

    def __init__(
        self,
        *,
        train: LabelledRows,
        validation: LabelledRows | None,
        terms: LossTerms,
        n_labels: int,
        batch_size: int,
        seed: int,
        replay: Replay | None = None,
        masked: float = 0.0,
        mask_id: int = 0,
    ) -> None:
        self.train = train
        self.validation = validation
        self.terms = terms
        self.n_labels = n_labels
        self.batch_size = batch_size
        self.seed = seed
        self.replay = replay
        self.masked = masked
        self.mask_id = mask_id
        self._mean_weight = float(terms.weights[train.label_ids].mean())
        self._epoch: tuple[int, list[NDArray[np.int_]]] = (-1, [])
        self.n_batches = len(self._batches_of(0))

    def batch(self, step: int) -> NDArray[np.int_]:
        """The rows of one step, shortest first."""
        epoch, position = divmod(step, self.n_batches)
        return self._batches_of(epoch)[position]

    def weight(self, rows: NDArray[np.int_]) -> float:
        """As much as so many rows weigh on the whole: by the sum of its own, a batch would cancel its weights."""
        return len(rows) * self._mean_weight

    def loss(self, network: Any, rows: NDArray[np.int_]) -> Any:
        """Summed weighted cross-entropy, over the labels of each row's own task, and that of marking its evidence."""
        import torch

        inputs = self._inputs(network, self.train.tokens, rows)
        if self.masked:
            drawn_BT = torch.rand(inputs["input_ids"].shape, device=inputs["input_ids"].device)
            is_hidden_BT = (drawn_BT < self.masked) & (inputs["statement_mask"] == 1)
            inputs["input_ids"] = inputs["input_ids"].masked_fill(is_hidden_BT, self.mask_id)
        scores_BK, total = network(inputs), 0.0
        if isinstance(scores_BK, tuple):
            scores_BK, marked_BT = scores_BK
            total = self.terms.evidence * evidence_loss(marked_BT, inputs)
        gold_B, weights_K, offsets_K = (
            torch.from_numpy(array).to(scores_BK.device)
            for array in (self.train.label_ids[rows], self.terms.weights, self.terms.offsets)
        )
        scores_BK = scores_BK.float() + offsets_K
        total = scores_BK.new_zeros(()) + total
        for first, end in self.terms.heads:
            own = (gold_B >= first) & (gold_B < end)
            if own.any():
                options: dict[str, Any] = {"reduction": "sum", "label_smoothing": self.terms.smoothing}
                scores, weights_k = scores_BK[own, first:end], weights_K[first:end]
                total = total + torch.nn.functional.cross_entropy(scores, gold_B[own] - first, weights_k, **options)
        return total

    def evaluate(self, network: Any) -> Mapping[str, float]:
        """What ``validation_scores`` says of the validation rows; nothing without them."""
        if self.validation is None:
            return {}
        return validation_scores(self.validation.label_ids, self.predict(network, self.validation.tokens))

    def predict(self, network: Any, tokens: TokenRows) -> NDArray[np.float64]:
        """Probabilities of the main task's labels, shape (n_rows, n_labels)."""

        def forward(rows: NDArray[np.int_]) -> Any:
            return network(self._inputs(network, tokens, rows))[:, : self.n_labels].double().softmax(1)

        return outputs_of(forward, tokens)

    def _inputs(self, network: Any, tokens: TokenRows, rows: NDArray[np.int_]) -> dict[str, Any]:
        inputs = inputs_for(getattr(network, "module", network), tokens.batch(rows))
        if self.replay is not None:
            self.replay.feed(tokens, rows, inputs["attention_mask"].shape[1])
        return inputs

    def _batches_of(self, epoch: int) -> list[NDArray[np.int_]]:
        import numpy as np

        if self._epoch[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._epoch = (epoch, bucketed(self.train.tokens.lengths, self.batch_size, rng))
        return self._epoch[1]


def validation_scores(gold: NDArray[np.int_], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Macro-F1, accuracy and mean log loss, under the names of their metrics: what ``LoopSettings.score`` can name."""
    import numpy as np
    from sklearn.metrics import f1_score

    predicted, labels = probabilities.argmax(1), range(probabilities.shape[1])
    loss = -np.log(np.maximum(probabilities[np.arange(len(gold)), gold], 1e-12)).mean()
    return {
        "validation/macro_f1": float(f1_score(gold, predicted, labels=labels, average="macro", zero_division=0.0)),
        "validation/accuracy": float((predicted == gold).mean()),
        "validation/loss": float(loss),
    }


def outputs_of(forward: Callable[[NDArray[np.int_]], Any], tokens: TokenRows) -> NDArray[np.float64]:
    """What ``forward`` says of all rows, asked in batches of similar length; shape (n_rows, n_outputs)."""
    import numpy as np
    import torch

    parts, order = [], by_length(tokens.lengths, PREDICTION_BATCH)
    with torch.inference_mode():
        for rows in order:
            parts.append(forward(rows).double().cpu().numpy())
    stacked = np.concatenate(parts)
    outputs: NDArray[np.float64] = np.empty_like(stacked)
    outputs[np.concatenate(order)] = stacked
    return outputs


def run(
    state: TrainingState,
    task: Task,
    *,
    loop: LoopSettings,
    optimizer: OptimizerSettings,
    place: Any,
    report: Callable[[Progress], None],
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> None:
    """Train to the end or until patience runs out, and leave the best weights in the network.

    Args:
        state: Changed in place.
        task: What is learnt.
        loop: Length, evaluations, what the best of them is, patience.
        optimizer: Learning rates, clipping.
        place: What ``devices`` returned.
        report: Called with every Progress, in the first process only.
        checkpoints: Where to write one after each evaluation; None for nowhere.
        resume: Go on from the newest checkpoint, if there is one.
    """
    if checkpoints is not None and resume:
        checkpoints.read_into(state)
    is_over = loop.patience is not None and state.n_without_gain >= loop.patience
    for progress in () if is_over else train(state, task, loop, optimizer, place):
        state.keep_if_best(_worth(progress.metrics, loop.score))
        if place.is_main_process:
            report(progress)
            if checkpoints is not None:
                checkpoints.write(state)
        if loop.patience is not None and state.n_without_gain >= loop.patience:
            break
    state.restore_best()


def _worth(metrics: Mapping[str, float], score: str) -> float | None:
    """The score of an evaluation, higher is better; None where it has none."""
    value = metrics.get(f"validation/{score}")
    return -value if score == "loss" and value is not None else value
