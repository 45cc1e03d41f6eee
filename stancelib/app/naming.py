"""What a run is called, and where it lies, if nobody says."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from stancelib.app.composing import TrainConfig
from stancelib.options import COMPONENTS


def run_name(model: str, overrides: Sequence[str], seed: int) -> str:
    """``<model> <what differs from the defaults> s<seed>``, at most 120 characters."""
    shown = []
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        group = key.partition(".")[0]
        if key in ("model", "seed", "seeds", "name", "resume") or group in ("tracking", "hydra"):
            continue
        if key != group and (group == "evaluation" or (group == "data" and value.startswith("{"))):
            continue  # what a model is judged by, and how its data are read
        last = key.rpartition(".")[2]  # alone, unless it reads like one of the run's own keys
        told = re.sub(r"_target_: ?[\w.]+(, ?)?", "", value)
        label = value if key in COMPONENTS else f"{key if last in TrainConfig.__dataclass_fields__ else last}={told}"
        if key.endswith("path"):
            label = "" if value.startswith("{") else Path(value).name  # files by split are told by the data
        shown += [label] if label else []
    return " ".join([model, *shown])[:112] + f" s{seed}"


def new_run_folder() -> Path:
    """A fresh name under ``runs/`` of the current folder, as ``train`` makes them."""
    now = datetime.now()
    return Path("runs") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}-{uuid.uuid4().hex[:6]}"
