"""The training loop: a generator that yields one Progress per evaluation.

Reporting, checkpoints and stopping are the caller's ``for`` loop. The order of the data and the dropout of step i
are functions of the seed and i, so a run that starts again at step i goes on as if it had never stopped.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from stancelib.errors import ConfigError, require
from stancelib.schema import Progress
from stancelib.training.encoders import import_torch
from stancelib.training.network import parameter_groups, training_mode
from stancelib.training.settings import LoopSettings, OptimizerSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Task(Protocol):
    """What is learnt: where the rows of a step come from, what they cost, and how good the network is."""

    n_batches: int

    def batch(self, step: int) -> NDArray[np.int_]:
        """The rows of one step, a function of the step alone; the first axis is cut among parts and processes."""
        ...

    def weight(self, rows: NDArray[np.int_]) -> float:
        """What the summed loss of these rows is divided by to become a mean."""
        ...

    def loss(self, network: Any, rows: NDArray[np.int_]) -> Any:
        """The summed loss of these rows, a scalar tensor."""
        ...

    def evaluate(self, network: Any) -> Mapping[str, float]:
        """Numbers such as ``validation/macro_f1``; empty where there is nothing to evaluate on."""
        ...


@dataclass
class TrainingState:
    """All that changes while training, and so all that a checkpoint holds.

    Args:
        network: The module whose weights move.
        optimizer: AdamW over the weights that move.
        n_steps: Steps in all.
        seed: Of dropout and data order.
        precision: ``fp32`` or ``bf16``; falls back to fp32 for good when bf16 overflows.
        step: Steps done.
        best_score: The best validation score so far, or None.
        best_weights: The weights that had it.
        average: The running average of the weights by name; empty where none is taken.
        n_without_gain: Evaluations since.
    """

    network: Any
    optimizer: Any
    n_steps: int
    seed: int
    precision: str
    step: int = 0
    best_score: float | None = None
    best_weights: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)
    n_without_gain: int = 0

    @property
    def weights(self) -> dict[str, Any]:
        """The weights that move, by name."""
        return {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}

    def keep_if_best(self, score: float | None) -> None:
        """Remember the weights if their score is the best so far; without a score there is no best."""
        if score is None:
            return
        if self.best_score is not None and score <= self.best_score:
            self.n_without_gain += 1
            return
        self.best_score, self.n_without_gain = score, 0
        scored = self.average or self.weights
        self.best_weights = {name: weight.detach().to("cpu", copy=True) for name, weight in scored.items()}

    def restore_best(self) -> None:
        """Go back to the best weights; without a best, to the average where there is one."""
        self._set_weights(self.best_weights or self.average)

    def update_average(self, decay: float) -> None:
        """Take the weights of this step into the average; early on, it forgets faster."""
        import torch

        if not self.average:
            self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}
            return
        share = 1 - min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, weight in self.weights.items():
                self.average[name].lerp_(weight, share)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block, the network has the average of its weights, where one is taken."""
        own = {name: weight.detach().clone() for name, weight in self.weights.items()} if self.average else {}
        self._set_weights(self.average)
        try:
            yield
        finally:
            self._set_weights(own)

    def _set_weights(self, values: Mapping[str, Any]) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self.weights.items():
                if name in values:
                    weight.copy_(values[name])


def start(network: Any, n_batches: int, loop: LoopSettings, optimizer: OptimizerSettings, seed: int) -> TrainingState:
    """The state before the first step; the network is already on its device."""
    torch = import_torch()
    adamw = torch.optim.AdamW(parameter_groups(network, optimizer), fused=True)
    precision = loop.precision if loop.precision != "auto" else ("bf16" if computes_in_bf16() else "fp32")
    return TrainingState(network, adamw, loop.epochs * n_batches, seed, precision)


def computes_in_bf16() -> bool:
    """True where bfloat16 is faster than float32: a GPU of 2020 or later, a CPU with AMX.

    A CPU that has AVX512-BF16 alone takes half as long again as in float32; others emulate it, at a hundredth of the
    speed.
    """
    torch = import_torch()
    if torch.cuda.is_available():
        return bool(torch.cuda.get_device_capability() >= (8, 0))
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def devices() -> Any:
    """Accelerate's view of this process: its device, its rank, and the processes beside it."""
    torch = import_torch()
    accelerate = require("accelerate", "torch")
    return accelerate.Accelerator(cpu=not torch.cuda.is_available())


def train(
    state: TrainingState, task: Task, loop: LoopSettings, optimizer: OptimizerSettings, place: Any
) -> Iterator[Progress]:
    """Train from ``state.step`` to ``state.n_steps``.

    Args:
        state: Changed in place.
        task: What is learnt.
        loop: Parts, evaluations.
        optimizer: Learning rates, clipping, averaging.
        place: What ``devices`` returned.

    Yields:
        ``train/loss`` (mean since the last one), ``train/learning_rate``, ``perf/examples_per_second`` and what the
        task's ``evaluate`` says.

    Raises:
        ConfigError: If the loss is not a finite number, in fp32.
    """
    network = place.prepare_model(state.network) if place.num_processes > 1 else state.network
    marks = evaluation_steps(state.n_steps, task.n_batches, loop.evaluations_per_epoch)
    training_mode(state.network)
    losses, n_rows, began = [], 0, time.perf_counter()
    while state.step < state.n_steps:
        rows = task.batch(state.step)
        rate = set_learning_rate(state, optimizer)
        losses.append(_step(state, network, task, rows, loop.parts, optimizer, place))
        n_rows += len(rows)
        state.step += 1
        if optimizer.average_decay is not None:
            state.update_average(optimizer.average_decay)
        if state.step in marks:
            seconds = time.perf_counter() - began
            loss = float(place.reduce(sum(losses) / len(losses), "sum"))
            metrics = {"train/loss": loss, "train/learning_rate": rate, "perf/examples_per_second": n_rows / seconds}
            state.network.eval()
            with state.averaged():
                metrics |= task.evaluate(state.network)
            training_mode(state.network)
            yield Progress(state.step, state.n_steps, metrics)
            losses, n_rows, began = [], 0, time.perf_counter()


def evaluation_steps(n_steps: int, n_batches: int, per_epoch: int) -> set[int]:
    """The steps after which to evaluate: evenly spread, at least one step apart, always the last."""
    n_evaluations = max(1, round(n_steps / n_batches * per_epoch))
    return {math.ceil(n_steps * (i + 1) / n_evaluations) for i in range(n_evaluations)}


def set_learning_rate(state: TrainingState, settings: OptimizerSettings) -> float:
    """Set each group's rate for this step: up to its peak during the warm-up, then straight down to 0."""
    n_warmup = settings.warmup_fraction * state.n_steps
    rising = (state.step + 1) / n_warmup if n_warmup else 1.0
    factor = min(rising, (state.n_steps - state.step) / max(1.0, state.n_steps - n_warmup), 1.0)
    for group in state.optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return settings.learning_rate * factor


def _step(
    state: TrainingState, network: Any, task: Task, rows: Any, n_parts: int, settings: OptimizerSettings, place: Any
) -> Any:
    """One optimizer step; this process's share of the mean loss, detached."""
    import torch

    loss, norm = _gradients(state, network, task, rows, n_parts, settings, place)
    if state.precision == "bf16" and not torch.isfinite(norm):
        warnings.warn(f"bf16 overflowed at step {state.step + 1}; going on in fp32.", stacklevel=3)
        state.precision = "fp32"
        state.optimizer.zero_grad(set_to_none=True)
        loss, norm = _gradients(state, network, task, rows, n_parts, settings, place)
    if not torch.isfinite(norm):
        state.optimizer.zero_grad(set_to_none=True)
        raise ConfigError(
            f"the loss at step {state.step + 1} of {state.n_steps} is not a finite number. Lower "
            f"optimizer.learning_rate (now {settings.learning_rate}), or limit optimizer.clip_norm."
        )
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return loss


def _gradients(
    state: TrainingState, network: Any, task: Task, rows: Any, n_parts: int, settings: OptimizerSettings, place: Any
) -> tuple[Any, Any]:
    """The process's share of the mean loss, and the length of all processes' gradient before it is clipped.

    The processes' gradients are added up by then, so all of them take the same turn where it isn't finite.
    """
    import torch

    loss = _backward(state, network, task, rows, n_parts, place)
    limit = settings.clip_norm if settings.clip_norm is not None else math.inf
    return loss, torch.nn.utils.clip_grad_norm_(list(state.weights.values()), limit, foreach=True)


def _backward(state: TrainingState, network: Any, task: Task, rows: Any, n_parts: int, place: Any) -> Any:
    """Add up the gradients of all parts of a batch; every one counts as if the batch were whole."""
    import numpy as np
    import torch

    torch.manual_seed((state.seed * 1_000_003 + state.step) * 1_009 + place.process_index)
    total, loss = task.weight(rows), torch.zeros((), device=place.device)
    parts = [part for part in np.array_split(rows, n_parts) if len(part)]
    for i, part in enumerate(parts):
        mine = part[place.process_index :: place.num_processes]
        is_last = i + 1 == len(parts)
        apart = nullcontext() if is_last or place.num_processes == 1 else network.no_sync()
        with apart:
            with torch.autocast(place.device.type, torch.bfloat16, enabled=state.precision == "bf16"):
                share = task.loss(network, mine if len(mine) else part[:1]) / total
            if not len(mine):
                share = share * 0.0  # a process without rows still takes part in adding up
            (share * place.num_processes).backward()  # which takes the mean over processes
        loss = loss + share.detach()
    return loss
