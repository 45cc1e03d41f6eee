"""``stancelib promote``: an alias of the registry for a run that passes its gates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stancelib.cli.console import err, out

if TYPE_CHECKING:
    from stancelib.promoting import Candidate, Gates, Verdict
    from stancelib.tracking.registry import Holder, TrackedRun


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(promote)


def promote(
    run: Annotated[str, typer.Argument(help="An MLflow run id, or a run folder.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Gates to make stricter: max_ece=0.05, or promotion=<policy>.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the registered model.")] = "stance",
    alias: Annotated[str, typer.Option(help="The alias to give.")] = "champion",
    config_dir: Annotated[
        Path | None,
        typer.Option("-cd", "--config-dir", help="Folder with policies of your own, promotion/<name>.yaml."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the verdict, and change nothing.")] = False,
    uri: Annotated[
        str | None, typer.Option(help="Tracking address. Default: the run folder's, MLFLOW_TRACKING_URI, ./mlflow.db.")
    ] = None,
) -> None:
    """Give a run's model an alias of the registry, if it passes the gates of configs/promotion.

    Gates can be made stricter here; a policy with others is a file of your own: -cd policies promotion=ours.
    Example: stancelib promote runs/…/… --name stance --dry-run
    """
    from stancelib.app.promoting import compose_gates
    from stancelib.errors import ConfigError
    from stancelib.promoting import judge
    from stancelib.tracking.registry import alias_holder, complete_audit, find_run, give_alias

    policy = compose_gates(overrides or [], config_dir)
    gates = policy.gates
    with err.status("judging"):
        found = find_run(run, uri=uri)
        if not found.model_id:
            raise ConfigError(f"run '{found.name}' has no model of its own; promote the run that trained it.")
        holder = alias_holder(name, alias, uri=found.uri)
        if holder and holder.run_id == found.run_id and holder.audit:
            complete = not dry_run and complete_audit(found, holder.audit, Path.cwd())
            _line(f"'{found.name}' is {alias} of {name} already" + "; its record was completed." * complete)
            return
        candidate = _candidate(found, found.name, gates.split)
        candidate = replace(candidate, n_learned=_n_learned(found, candidate, gates.split))
        verdict = judge(candidate, _champion(holder, candidate, gates, found.uri, name), gates)
    _line(f"policy {policy.name}\n")
    _show(verdict)
    if not verdict.passed:
        err.print(f"[bold red]Refused:[/bold red] {len(verdict.failed)} of {len(verdict.checks)} gates failed.")
        raise typer.Exit(1)
    if dry_run:
        _line(f"It would become {alias} of {name}; nothing was changed.")
        return
    record = _record(found, holder, verdict) | {"name": name, "alias": alias, "split": gates.split} | policy.record()
    record |= {"id": _id_of(record), "digest": candidate.digest}
    version = give_alias(found, record, holder, Path.cwd())
    _line(f"Version {version} of {name} is {alias} now: models:/{name}@{alias}")


def _candidate(run: TrackedRun, name: str, split: str) -> Candidate:
    """A run with its predictions and slices of the split."""
    from stancelib.prediction_tables import read_predictions
    from stancelib.promoting import Candidate
    from stancelib.tracking.browse import download_artifact

    path = download_artifact(run.run_id, f"tables/predictions_{split}.json", tracking_uri=run.uri)
    table = download_artifact(run.run_id, f"tables/slices_{split}.json", tracking_uri=run.uri)
    content = json.loads(table.read_text(encoding="utf-8")) if table else {"columns": [], "data": []}
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    return Candidate(
        name=name,
        metrics=run.metrics,
        digest=run.digests.get(split, ""),
        predictions=read_predictions(str(path)) if path else None,
        level=float(level) if (level := run.tags.get("interval.level")) else None,
        n_resamples=int(n_resamples) if (n_resamples := run.tags.get("interval.resamples")) else None,
        slices={f"{row['slice']}/{row['value']}": row["result"] for row in rows},
    )


def _n_learned(run: TrackedRun, candidate: Candidate, split: str) -> int | None:
    """How many of the statements that a run was scored on its model has learned from, if it tells."""
    from stancelib.bundle import read_learned
    from stancelib.learned import n_learned
    from stancelib.tracking.browse import download_model

    if candidate.predictions is None:
        return None
    learned = read_learned(download_model(f"runs:/{run.run_id}", tracking_uri=run.uri))
    return None if learned is None else n_learned(candidate.predictions.statements, split, learned)


def _champion(holder: Holder | None, candidate: Candidate, gates: Gates, uri: str, name: str) -> Candidate | None:
    """Who holds the alias, judged anew on the candidate's statements where that is wanted and needed."""
    from stancelib.errors import ConfigError
    from stancelib.inference import load
    from stancelib.promoting import Candidate
    from stancelib.tracking.browse import download_model
    from stancelib.tracking.registry import find_run

    if holder is None:
        return None
    title = f"version {holder.version} of '{name}'" + " (given its alias without promotion)" * (not holder.audit)
    try:
        found = _candidate(find_run(holder.run_id, uri=uri), title, gates.split)
    except ConfigError:  # its run was deleted, or it never had one
        found = Candidate(name=title, metrics={}, digest="", predictions=None)
    if not gates.rescore_champion or candidate.predictions is None:
        return found
    if found.predictions is not None and found.digest == candidate.digest:
        return found
    model = load(str(download_model(f"models:/{name}/{holder.version}", tracking_uri=uri)))
    said = model.judge(candidate.predictions.statements)
    return Candidate(name=title, metrics={}, digest=candidate.digest, predictions=said)


def _record(run: TrackedRun, holder: Holder | None, verdict: Verdict) -> dict[str, Any]:
    """Who, when, from which champion, and on what grounds."""
    from stancelib import __version__
    from stancelib.journal.process import host_name, user_name

    return {
        "run_id": run.run_id,
        "run": run.name,
        "from": {"version": holder.version, "run_id": holder.run_id} if holder else None,
        "by": user_name(),
        "host": host_name(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "stancelib": __version__,
        "verdict": [asdict(check) | {"passed": check.passed} for check in verdict.checks],
        "verdict_sha256": verdict.digest,
    }


def _id_of(record: dict[str, Any]) -> str:
    """The same for the same promotion, so that one that was cut off can be repeated."""
    same = [record[key] for key in ("run_id", "name", "alias", "from", "verdict_sha256", "policy", "gates")]
    return hashlib.sha256(repr(same).encode()).hexdigest()[:16]


def _show(verdict: Verdict) -> None:
    from rich.table import Table
    from rich.text import Text

    from stancelib.promoting import LEFT_OUT

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("gate", "measured", "required", "passed"):
        table.add_column(title, overflow="fold", no_wrap=title == "passed")
    for check in verdict.checks:
        mark = Text("yes", style="green") if check.passed else Text("no", style="bold red")
        if check.required == LEFT_OUT:
            mark = Text("–")
        table.add_row(Text(check.gate), Text(check.measured), Text(check.required), mark)
    out.print(table)
    out.print()
    for check in verdict.failed:
        err.print(f"[red]{check.gate.replace('[', chr(92) + '[')}[/red]", end=": ", highlight=False)
        err.print(check.reason, markup=False, highlight=False, soft_wrap=True)


def _line(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
