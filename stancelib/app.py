"""The Hydra application: composes a configuration, checks it, builds its components and runs them.

This file alone imports Hydra, and all ``instantiate`` calls are here.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.errors import ConfigError, nearest, require
from stancelib.options import COMPONENTS, check_components, config_dir, explain, flat_keys, options
from stancelib.schema import Corpus, Progress

if TYPE_CHECKING:
    from stancelib.evaluation.metrics import Evaluation
    from stancelib.experiment import Result


@dataclass
class TrainConfig:
    """The keys of a run; the components are checked against their constructors."""

    data: Any
    split: Any
    model: Any
    evaluation: Any
    decision: Any
    tracking: Any
    seed: int = 0
    name: str | None = None
    resume: bool = False


def train(arguments: Sequence[str], *, show: Callable[..., None], report: Callable[[Progress], None]) -> None:
    """Run ``stancelib train`` with Hydra's own arguments: overrides, ``-m``, ``-cd``, ``-cn``, ``--cfg job``.

    Args:
        arguments: What stood behind ``train`` on the command line.
        show: Called with the Result, the Evaluation and the configuration of every finished run.
        report: Called with the progress of the fit.

    Raises:
        ConfigError: If the configuration can't be composed or doesn't fit the components.
    """
    hydra = require("hydra", "train")
    _register()
    before, process, failures = sys.argv, os.getpid(), list[Exception]()

    def job(config: Any) -> None:
        report(Progress(0, 0))
        try:
            _run_job(config, show, report)
        except Exception as error:
            _leave_no_trace()
            if os.getpid() != process:  # a launcher's worker: its parent has to hear of it
                raise
            failures.append(error)  # the other runs of a grid go on

    sys.argv = ["stancelib train", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us whole; the command line shows one sentence of them
    try:
        with _plain_errors(arguments):
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="train")(job)()
            if failures:
                raise failures[0]
    finally:
        sys.argv = before


def _run_job(config: Any, show: Callable[..., None], report: Callable[[Progress], None]) -> None:
    from hydra.core.hydra_config import HydraConfig

    from stancelib.experiment import run_experiment
    from stancelib.recording import Identity, unfinished_run

    plain = _resolved(config)
    resume = plain.pop("resume")
    folder = unfinished_run(Path("runs"), plain) if resume else Path(HydraConfig.get().runtime.output_dir)
    choices = HydraConfig.get().runtime.choices
    parts = _build(plain, choices, ("model", "split", "evaluation", "decision", "tracking", "data"))
    overrides = list(HydraConfig.get().overrides.task)
    identity = Identity(
        name=plain["name"] or run_name(choices["model"], overrides, plain["seed"]),
        seed=plain["seed"],
        config=plain,
        note=f"```\n{shlex.join(['stancelib', 'train', *overrides])}\n```",
        resume=resume,
    )
    result = run_experiment(
        corpus=parts["data"],
        model=parts["model"],
        folder=folder,
        split=parts["split"],
        evaluation=parts["evaluation"],
        decision=parts["decision"],
        tracker=parts["tracking"],
        identity=identity,
        report=report,
    )
    show(result, parts["evaluation"])
    if resume:
        _leave_no_trace()


def _leave_no_trace() -> None:
    """Remove what Hydra wrote for a run that never began; a run that began keeps its folder and its record."""
    from hydra.core.hydra_config import HydraConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    if (folder / "events.jsonl").exists():
        return
    for name in ("config", "hydra", "overrides"):
        (folder / ".hydra" / f"{name}.yaml").unlink(missing_ok=True)
    for empty in (folder / ".hydra", folder, folder.parent, folder.parent.parent):
        if empty not in (Path.cwd(), *Path.cwd().parents):
            with suppress(OSError):
                empty.rmdir()


def run_name(model: str, overrides: Sequence[str], seed: int) -> str:
    """``<model> <what differs from the defaults> s<seed>``, at most 120 characters."""
    shown = []
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in ("model", "seed", "name", "resume") or key.partition(".")[0] in ("tracking", "hydra"):
            continue
        label = value if key in COMPONENTS else f"{key.rpartition('.')[2]}={value}"
        shown.append(Path(value).name if key.endswith("path") else label)
    return " ".join([model, *shown])[:112] + f" s{seed}"


def compose(overrides: Sequence[str], parts: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Some components of a composed configuration, and the whole of it as plain containers.

    Raises:
        ConfigError: If the configuration can't be composed or doesn't fit the components.
    """
    require("hydra", "train")
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    _register()
    with _plain_errors(overrides):
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            config = hydra_compose("train", overrides=list(overrides), return_hydra_config=True)
        choices = dict(config.hydra.runtime.choices)
        plain = _resolved(config)
    return _build(plain, choices, parts), plain


def evaluate(source: str, overrides: Sequence[str], *, note: str = "") -> tuple[Result, Evaluation]:
    """Score a trained model on the corpus of a composed configuration.

    Args:
        source: What ``stancelib.load`` takes.
        overrides: As for ``train``; model and split are not used, and the data keep the splits they came with.
        note: Markdown for the top of the run's page.

    Raises:
        ConfigError: If the configuration can't be composed or doesn't fit the components.
    """
    from stancelib.experiment import evaluate_model
    from stancelib.inference import load
    from stancelib.recording import Identity

    parts, plain = compose(overrides, ("evaluation", "tracking", "data"))
    for unused in ("model", "split", "decision", "resume"):
        del plain[unused]
    result = evaluate_model(
        model=load(source),
        corpus=parts["data"],
        folder=new_run_folder(),
        evaluation=parts["evaluation"],
        tracker=parts["tracking"],
        identity=Identity(name=plain["name"], seed=plain["seed"], config=plain | {"model": source}, note=note),
    )
    return result, parts["evaluation"]


def new_run_folder() -> Path:
    """A fresh name under ``runs/`` of the current folder, as ``train`` makes them."""
    now = datetime.now()
    return Path("runs") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}-{uuid.uuid4().hex[:6]}"


def read_corpus(overrides: Sequence[str]) -> tuple[Corpus, Any]:
    """The corpus of a composed configuration after its split, and the model that would be trained on it."""
    parts, _ = compose(overrides, ("model", "split", "data"))
    return parts["split"](parts["data"]), parts["model"]


def _resolved(config: Any) -> dict[str, Any]:
    """The job's configuration as plain containers, every value there."""
    from omegaconf import OmegaConf

    keys = [key for key in config if key != "hydra"]
    config = OmegaConf.masked_copy(config, keys)
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise ConfigError(f"{missing[0]} has no value yet. Add {missing[0]}=<value>.")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    known = TrainConfig.__dataclass_fields__
    if unknown := [str(key) for key in plain if key not in known]:
        raise ConfigError(f"unknown key '{unknown[0]}'; the keys are {', '.join(known)}{nearest(unknown[0], known)}")
    return {str(key): value for key, value in plain.items()}


def _build(plain: Mapping[str, Any], choices: Mapping[str, str], parts: Sequence[str]) -> dict[str, Any]:
    """Instantiate components; everything is checked before the first is built."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    check_components({part: plain[part] for part in parts}, choices)
    built = {}
    for part in parts:
        try:
            built[part] = instantiate(plain[part], _convert_="all")
        except InstantiationException as error:
            cause = error.__cause__
            if isinstance(cause, ValueError | TypeError) and type(cause) in (ValueError, TypeError):
                raise ConfigError(f"{part}={choices.get(part, '')}: {cause}") from cause
            raise cause or error from None
    return built


class _plain_errors:  # noqa: N801 - reads as a statement: with _plain_errors(…)
    """Turns Hydra's and OmegaConf's exceptions into one ConfigError sentence."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        bad_group = isinstance(error, ValueError) and "Config group override must be" in str(error)
        if bad_group or isinstance(error, HydraException | OmegaConfBaseException):
            assert error is not None
            sentence = explain(
                f"{error}\n{error.__cause__ or ''}",
                keys=lambda: _keys(self.arguments),
                malformed=lambda: _malformed(self.arguments),
            )
            raise ConfigError(sentence) from error


def _malformed(arguments: Sequence[str]) -> str:
    """The first override that Hydra's grammar refuses; empty if there is none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("-") or before in ("-cd", "-cn", "-cp", "-c", "-p") or before.startswith("--c"):
            continue
        try:
            OverridesParser.create().parse_override(argument)
        except HydraException:
            return argument
    return ""


def _keys(arguments: Sequence[str]) -> list[str]:
    """The keys that the chosen options have, for suggestions."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    chosen = [a for a in arguments if a.partition("=")[2] in options().get(a.partition("=")[0], {})]
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        plain = OmegaConf.to_container(hydra_compose("train", overrides=chosen), resolve=False)
    assert isinstance(plain, dict)
    return [name for name in flat_keys({str(k): v for k, v in plain.items()}) if not name.endswith("_")]


@lru_cache(maxsize=1)
def _register() -> None:
    """Make the schema and the resolver known to Hydra, once per process."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import MISSING, OmegaConf

    schema = TrainConfig(*[MISSING] * len(COMPONENTS))
    ConfigStore.instance().store(name="_train_schema", node=schema)
    OmegaConf.register_new_resolver("stancelib.uid", lambda: uuid.uuid4().hex[:6], use_cache=True, replace=True)
    logging.getLogger("hydra").setLevel(logging.WARNING)
