"""Training jobs of the Hydra application: one run, or several seeds of it."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.app.composing import TrainConfig, build, register, resolved
from stancelib.app.naming import run_name
from stancelib.app.overriding import parsed_arguments
from stancelib.app.sources import Sources, plain_errors
from stancelib.errors import ConfigError, require
from stancelib.journal import is_main_process, n_processes
from stancelib.models.base import silent
from stancelib.options import config_dir
from stancelib.schema import Progress

if TYPE_CHECKING:
    from stancelib.evaluation.metrics import Evaluation
    from stancelib.models.base import Report
    from stancelib.recording import Scores

logger = logging.getLogger("stancelib")


def train(arguments: Sequence[str], *, show: Callable[..., None], report: Callable[[Progress], None]) -> None:
    """Run ``stancelib train`` with Hydra's own arguments: overrides, ``-m``, ``-cd``, ``-cn``, ``--cfg job``.

    Args:
        arguments: What stood behind ``train`` on the command line.
        show: Called with the Result, the Evaluation and the configuration of every finished run.
        report: Called with the progress of the fit.

    Raises:
        ConfigError: If the command or the configuration can't be read, or doesn't fit the components.
    """
    hydra = require("hydra", "train")
    arguments = parsed_arguments(arguments, keys=[*TrainConfig.__dataclass_fields__])
    sources = Sources.of(arguments)
    register()
    before, process, failures = sys.argv, os.getpid(), list[Exception]()
    if not is_main_process():  # which says all there is to say
        report = silent
        logger.setLevel(logging.ERROR)

    def job(config: Any) -> None:
        if failures and n_processes() > 1:  # they would no longer be at the same run
            return
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
        with plain_errors(arguments, sources):
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="train")(job)()
            for failure in failures[1:]:
                logger.error("%s", failure)
            if failures:
                raise failures[0]
    finally:
        sys.argv = before


def _run_job(config: Any, show: Callable[..., None], report: Report) -> None:
    from hydra.core.hydra_config import HydraConfig

    plain = resolved(config)
    if plain["seeds"] < 1:
        raise ConfigError(f"seeds must be at least 1, got {plain['seeds']}.")
    if plain["seeds"] == 1:
        _run_one(config, Path(HydraConfig.get().runtime.output_dir), "", show, report)
        return
    _run_seeds(config, plain, show, report)


def _run_seeds(config: Any, plain: dict[str, Any], show: Callable[..., None], report: Report) -> None:
    """A run of each seed under a parent, which is gone on with or skipped like them where ``resume`` finds it."""
    from hydra.core.hydra_config import HydraConfig

    from stancelib.recording import Identity, prepared
    from stancelib.repeating import repeat_experiment
    from stancelib.resuming import earlier_run, refuse_other_run

    resume = plain.pop("resume")
    choices, seeds = HydraConfig.get().runtime.choices, range(plain["seed"], plain["seed"] + plain["seeds"])
    parts = build(plain, choices, ("model", "split", "evaluation", "decision", "tracking", "data"))
    digest = prepared(parts["data"], parts["split"]).digest  # of the first seed's splits
    folder = Path(HydraConfig.get().runtime.output_dir)
    earlier = earlier_run((folder, Path("runs")), plain, digest, tag="data.digest") if resume else None
    if earlier and earlier[1]:
        logger.info("finished before, and skipped: %s", earlier[0])
        _leave_no_trace()
        return
    if resume and not earlier:
        refuse_other_run(folder, plain)
    folder = earlier[0] if earlier else folder
    evaluation: Evaluation = parts["evaluation"]
    n_trackers = len(seeds) + 1  # they share the time that a server may cost
    tracker = _with_share(parts["tracking"], n_trackers)
    name = plain["name"] or run_name(choices["model"], _overrides(), plain["seed"])

    def run_one(seed: int, place: Path, parent: str) -> Scores:
        return _run_one(_with_seed(config, seed), place, parent, show, report, n_trackers=n_trackers)

    if not is_main_process():
        for seed in seeds:
            run_one(seed, folder / f"seed-{seed}", "")
        return
    identity = Identity(
        name=f"{name} x{len(seeds)}", seed=plain["seed"], config=plain, note=_command(), resume=earlier is not None
    )
    spreads = repeat_experiment(
        run_one=run_one,
        seeds=seeds,
        folder=folder,
        tracker=tracker,
        identity=identity,
        headline=evaluation.headline,
        tags={group: choices[group] for group in ("model", "data", "split")} | {"data.digest": digest[:12]},
    )
    for part in evaluation.splits:
        one = spreads[f"{part}/{evaluation.headline}"]
        told = f"{one.mean:.4f}, sd {one.sd:.4f}, 95 % interval [{one.low:.4f}, {one.high:.4f}]"
        logger.info("%s %s over %d seeds: %s", part, evaluation.headline, one.n, told)
    logger.info("the seeds' parent: %s", folder)
    if tracker.message:
        logger.warning("%s", tracker.message)
    _leave_no_trace()


def _with_share(tracker: Any, n_trackers: int) -> Any:
    """The tracker with its share of the seconds that a server that doesn't answer may cost in all."""
    if hasattr(tracker, "flush_seconds"):
        tracker.flush_seconds /= n_trackers
    return tracker


def _run_one(
    config: Any, folder: Path, parent: str, show: Callable[..., None], report: Report, *, n_trackers: int = 1
) -> Scores:
    """One run of one seed, gone on with or skipped where ``resume`` finds it begun or finished."""
    from hydra.core.hydra_config import HydraConfig

    from stancelib.experiment import run_experiment
    from stancelib.recording import Identity, prepared
    from stancelib.resuming import earlier_run, recorded_scores, refuse_other_run

    plain = resolved(config)
    resume, _ = plain.pop("resume"), plain.pop("seeds")
    choices = HydraConfig.get().runtime.choices
    parts = build(plain, choices, ("model", "split", "evaluation", "decision", "tracking", "data"))
    digest = prepared(parts["data"], parts["split"]).digest if resume else ""
    earlier = earlier_run((folder, Path("runs")), plain, digest) if resume else None
    if earlier and earlier[1]:
        logger.info("finished before, and skipped: %s", earlier[0])
        _leave_no_trace()
        return recorded_scores(earlier[0])
    if resume and not earlier:
        refuse_other_run(folder, plain)
    identity = Identity(
        name=plain["name"] or run_name(choices["model"], _overrides(), plain["seed"]),
        seed=plain["seed"],
        config=plain,
        note=_command(),
        resume=earlier is not None,
        parent=parent,
    )
    try:
        result = run_experiment(
            corpus=parts["data"],
            model=parts["model"],
            folder=earlier[0] if earlier else folder,
            split=parts["split"],
            evaluation=parts["evaluation"],
            decision=parts["decision"],
            tracker=_with_share(parts["tracking"], n_trackers),
            identity=identity,
            report=report,
        )
    except SystemExit as end:
        if end.code or is_main_process():
            raise
        _leave_no_trace()
        return {}  # on to the next run, with the main process
    show(result, parts["evaluation"])
    _leave_no_trace()
    return result.scores


def _with_seed(config: Any, seed: int) -> Any:
    from omegaconf import OmegaConf

    config = config.copy()
    OmegaConf.update(config, "seed", seed)
    return config


def _overrides() -> list[str]:
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task)


def _command() -> str:
    """The command line as Markdown, for the top of the run's page."""
    return f"```\n{shlex.join(['stancelib', 'train', *Sources.of_job().arguments, *_overrides()])}\n```"


def _leave_no_trace() -> None:
    """Remove what Hydra wrote for a run that never began; a run that began keeps its folder and its record."""
    from hydra.core.hydra_config import HydraConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    if (folder / "events.jsonl").exists():
        return
    for name in ("config", "hydra", "overrides"):
        (folder / ".hydra" / f"{name}.yaml").unlink(missing_ok=True)
    if not is_main_process() and {path.name for path in folder.parent.glob("*")} <= {folder.name, "multirun.yaml"}:
        (folder.parent / "multirun.yaml").unlink(missing_ok=True)  # of a grid that the main process has elsewhere
    for empty in (folder / ".hydra", folder, *folder.parents[:3]):  # runs/<date>/<time>/<number in a grid>
        if empty not in (Path.cwd(), *Path.cwd().parents):
            with suppress(OSError):
                empty.rmdir()
