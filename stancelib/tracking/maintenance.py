"""What is left to do after runs ended badly: complete their record in MLflow, close the dead ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stancelib.errors import ConfigError, MissingExtraError
from stancelib.journal import EVENTS, end_gone_run, process_phase, read_events, run_folders, run_state
from stancelib.tracking.link import Destination, Link, exclusive
from stancelib.tracking.mirror import FOLDER, PROCESS, Mirror
from stancelib.tracking.store import connect, patience, public, reason, resolve_uri, run_url

REQUEST_SECONDS = 60
N_RETRIES = 2
BUSY_SECONDS = 20.0

Outcome = Literal["completed", "unchanged", "running", "untracked", "failed"]


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What ``sync`` did with one run.

    Args:
        folder: The run folder.
        name: Name of the run.
        outcome: ``completed`` now, ``unchanged`` because complete before, still ``running`` and left alone,
            ``untracked`` because no address is known for it, ``failed``.
        message: Why, where there is something to explain.
        url: The page of the run, where a server has one.
    """

    folder: Path
    name: str
    outcome: Outcome
    message: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ReapResult:
    """What ``reap`` did with one run whose process is gone, or can't be seen.

    Args:
        folder: The run folder.
        name: Name of the run.
        closed: Whether the run was ended as KILLED.
        message: Why, or why not.
        sync: How MLflow took it; None if the run wasn't closed.
    """

    folder: Path
    name: str
    closed: bool
    message: str
    sync: SyncResult | None = None


def sync(
    root: Path,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    on_progress: Callable[[SyncResult], object] = lambda result: None,
) -> list[SyncResult]:
    """Complete every run at or below a folder in MLflow.

    A run goes where it was meant to go, or to ``uri`` if that is given, which also brings in runs that
    had no tracker. Repeating it changes nothing. Runs that are still going are left to their own tracker.

    Args:
        root: A run folder, or any folder above some.
        uri: The tracking address, if not the one each run remembers.
        experiment: The experiment, if not the one each run remembers; ``stancelib`` if it remembers none.
        on_progress: Called with each result as it comes.

    Raises:
        ConfigError: If there is no run at or below ``root``.
        MissingExtraError: If MLflow is not installed.
    """
    folders = run_folders(root)
    if not folders:
        raise ConfigError(f"there is no run at or below {root}: no folder there has an {EVENTS}.")
    results = []
    with patience(timeout_seconds=REQUEST_SECONDS, n_retries=N_RETRIES):
        for folder in folders:
            results.append(_sync_one(folder, uri, experiment))
            on_progress(results[-1])
    return results


def reap(
    root: Path,
    *,
    silent_hours: float | None = None,
    on_progress: Callable[[ReapResult], object] = lambda result: None,
) -> list[ReapResult]:
    """End every run at or below a folder whose process is gone, as KILLED, here and in MLflow.

    Args:
        root: A run folder, or any folder above some.
        silent_hours: Also end runs of other hosts and containers, whose process can't be seen from here,
            if they have written nothing for so long; None leaves them alone.
        on_progress: Called with each result as it comes.

    Returns:
        One result per run without an end, except the ones that are going.
    """
    results = []
    for folder in run_folders(root):
        try:
            state = run_state(folder)
        except ConfigError:
            continue
        if state.phase in ("over", "running"):
            continue
        silence = (time.time() - (folder / EVENTS).stat().st_mtime) / 3600
        if state.phase == "elsewhere" and (silent_hours is None or silence < silent_hours):
            message = f"process {state.pid} on {state.host} can't be seen from here; silent for {silence:.1f} h"
            results.append(ReapResult(folder, state.name, False, message))
        else:
            message = f"process {state.pid} on {state.host} is gone"
            if not end_gone_run(folder, message):  # resumed, or ended by another, since we looked
                continue
            results.append(ReapResult(folder, state.name, True, message, sync(folder)[0]))
        on_progress(results[-1])
    return results


def reap_orphans(uri: str | None = None, *, experiment: str = "stancelib") -> list[str]:
    """End the runs that MLflow takes for RUNNING although their process and their run folder are gone, as KILLED.

    Args:
        uri: The tracking address, resolved as for training.
        experiment: Name of the experiment.

    Returns:
        The names of the runs that were ended.
    """
    names = []
    uri = resolve_uri(uri)
    with patience(timeout_seconds=REQUEST_SECONDS, n_retries=N_RETRIES):
        client = connect(uri, create=False)
        found = client.get_experiment_by_name(experiment)
        for run in client.search_runs([found.experiment_id], "status = 'RUNNING'", max_results=1000) if found else []:
            tags = run.data.tags
            if PROCESS not in tags or (Path(tags[FOLDER]) / EVENTS).exists():
                continue
            if process_phase(json.loads(tags[PROCESS])) == "gone":
                client.set_terminated(run.info.run_id, "KILLED")
                names.append(run.info.run_name)
    return names


def _sync_one(folder: Path, uri: str | None, experiment: str | None) -> SyncResult:
    """Complete one run; what MLflow does about it becomes the result."""
    try:
        state = run_state(folder)
    except ConfigError as error:
        return SyncResult(folder, folder.name, "failed", str(error))
    if state.phase in ("running", "elsewhere"):
        message = f"process {state.pid} on {state.host} is still at it"
        return SyncResult(folder, state.name, "running", message)
    link = _link(folder, uri, experiment)
    if link is None:
        return SyncResult(folder, state.name, "untracked", "it had no tracker; name a tracking address to mirror it")
    if link.is_complete(folder):
        return SyncResult(folder, state.name, "unchanged", url=_url(link))
    try:
        with exclusive(folder, timeout_seconds=BUSY_SECONDS):
            link = _link(folder, uri, experiment) or link
            Mirror(folder, link).run()
    except MissingExtraError:
        raise
    except Exception as error:  # one run that fails must not keep the others from their record
        message = f"not mirrored to {public(link.destination.uri)}: {reason(error)}"
        return SyncResult(folder, state.name, "failed", message)
    return SyncResult(folder, state.name, "completed", "; ".join(link.left_out), _url(link))


def _link(folder: Path, uri: str | None, experiment: str | None) -> Link | None:
    """The link of a run folder, turned to another address or experiment if one is given."""
    link = Link.load(folder)
    if link is None:
        return Link(Destination(resolve_uri(uri), experiment or _noted_experiment(folder))) if uri else None
    if uri:
        link = link.at(resolve_uri(uri))
    if experiment and experiment != link.destination.experiment:
        link = Link(
            Destination(link.destination.uri, experiment, link.destination.registered_model, link.destination.alias)
        )
    return link


def _noted_experiment(folder: Path) -> str:
    """The experiment that a run without tracker was meant for."""
    names = [event["name"] for event, _ in read_events(folder) if event["event"] == "experiment"]
    return names[-1] if names else "stancelib"


def _url(link: Link) -> str:
    return run_url(link.destination.uri, link.experiment_id, link.run_id)
