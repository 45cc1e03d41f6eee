"""Where a killed training goes on, on disk: weights, their average, the best ones, optimizer, place in the data.

A checkpoint is a folder ``step-000120`` of safetensors and JSON. It is written under another name and then renamed,
so it is there whole or not at all. The data order and the random state of a step are functions of seed and
step (see ``loop``), and so those two numbers hold both; the learning rate is a function of step and number of steps.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stancelib.errors import ConfigError
from stancelib.training.loop import TrainingState

FORMAT = 2
_FIELDS = ("step", "n_steps", "seed", "precision", "best_score", "n_without_gain")


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one training; only the newest is kept.

    Args:
        folder: Where they are.
        identity: A digest of data and options: a checkpoint of anything else is refused.
        threads: CPU threads of this training; the last bits of its weights depend on them.
    """

    folder: Path
    identity: str
    threads: int

    def write(self, state: TrainingState) -> None:
        """Write a checkpoint, then remove older ones."""
        from safetensors.torch import save_file

        target = self.folder / f"step-{state.step:08d}"
        draft = self.folder / f"draft-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file(_tensors(state.weights), draft / "weights.safetensors")
        save_file(_tensors(state.best_weights), draft / "best.safetensors")
        save_file(_tensors(state.average), draft / "average.safetensors")
        save_file(_optimizer_tensors(state), draft / "optimizer.safetensors")
        content = {name: getattr(state, name) for name in _FIELDS}
        content |= {"format": FORMAT, "identity": self.identity, "threads": self.threads}
        (draft / "state.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
        for other in self.folder.iterdir():
            if other != target and other.name.startswith(("step-", "draft-")):
                shutil.rmtree(other, ignore_errors=True)

    def read_into(self, state: TrainingState) -> bool:
        """Set the state to the newest checkpoint; False where there is none.

        Raises:
            ConfigError: If the checkpoint is of other data or other options.
        """
        from safetensors.torch import load_file

        found = newest(self.folder)
        if found is None:
            return False
        content = _content(found)
        if content["identity"] != self.identity or content["n_steps"] != state.n_steps:
            raise ConfigError(
                f"the checkpoint {found} was written by a training on other data or with other options, so this one "
                "can't go on from it. Take the options of that run, or start anew without resume=true."
            )
        for name in _FIELDS:
            setattr(state, name, content[name])
        _copy(load_file(found / "weights.safetensors"), state.weights)
        state.best_weights = load_file(found / "best.safetensors")
        average = load_file(found / "average.safetensors")
        state.average = {name: value.to(state.weights[name].device) for name, value in average.items()}
        _restore_optimizer(state, load_file(found / "optimizer.safetensors"))
        return True


def newest(folder: Path) -> Path | None:
    """The checkpoint to go on from, or None."""
    return max(folder.glob("step-*"), default=None) if folder.is_dir() else None


def threads_of(folder: Path) -> int | None:
    """CPU threads that the newest checkpoint was computed with, or None without one."""
    found = newest(folder)
    return None if found is None else int(_content(found)["threads"])


def _content(checkpoint: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ConfigError(
            f"the checkpoint {checkpoint} has format {content['format']}, and this version reads {FORMAT}. "
            "Start anew without resume=true, or use the version that wrote it."
        )
    return content


def _tensors(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}


def _optimizer_tensors(state: TrainingState) -> dict[str, Any]:
    """The optimizer's tensors, named ``<entry> <weight>``."""
    entries = {
        f"{key} {name}": value
        for name, weight in state.weights.items()
        for key, value in state.optimizer.state.get(weight, {}).items()
    }
    return _tensors(entries)


def _restore_optimizer(state: TrainingState, tensors: dict[str, Any]) -> None:
    for entry, value in tensors.items():
        key, _, name = entry.partition(" ")
        weight = state.weights[name]
        state.optimizer.state[weight][key] = value.to(weight.device)


def _copy(tensors: dict[str, Any], weights: dict[str, Any]) -> None:
    import torch

    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[name])
