"""``stancelib runs``, ``ui``, ``sync`` and ``reap``: what was run, and the record of it in MLflow."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancelib.cli.console import out
from stancelib.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stancelib.tracking.browse import RunRow
    from stancelib.tracking.maintenance import ReapResult, SyncResult

Root = Annotated[Path, typer.Argument(help="A run folder, or a folder of them.")]
Uri = Annotated[str | None, typer.Option(help="Tracking address. Default: MLFLOW_TRACKING_URI, else ./mlflow.db.")]
Experiment = Annotated[str, typer.Option(help="Name of the MLflow experiment.")]
SHOWN = {  # metrics in the table of runs, and their column titles
    "validation/macro_f1": "val F1",
    "validation/accuracy": "val acc",
    "test/macro_f1": "test F1",
    "perf/fit_seconds": "fit s",
}
PIPED_WIDTH = 240  # so that a run is a line for other programs
STYLES = {"FINISHED": "green", "RUNNING": "cyan", "FAILED": "red", "KILLED": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (runs, ui, sync, reap):
        app.command()(command)


def runs(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 20,
    sort: Annotated[
        str | None, typer.Option(help="A metric, best first, such as validation/macro_f1. Default: newest first.")
    ] = None,
    uri: Uri = None,
    experiment: Experiment = "stancelib",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print every parameter and metric as CSV.")] = False,
) -> None:
    """List recent runs with their scores.

    Example: stancelib runs --sort validation/macro_f1
    """
    from rich.table import Table
    from rich.text import Text

    from stancelib.tracking.browse import recent_runs

    rows = recent_runs(uri, experiment, limit, sort)
    if as_csv:
        _print_csv(rows)
        return
    if not rows:
        out.print("no runs yet")
        return
    metrics = [sort] if sort and sort not in SHOWN else []
    metrics += [name for name in SHOWN if any(name in row.metrics for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold", expand=out.is_terminal)
    table.add_column("run", ratio=1, min_width=24, overflow="fold")
    for name in ("status", "data", "started", "took"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in metrics:
        table.add_column(SHOWN.get(name, name), justify="right", no_wrap=True)
    for row in rows:
        scores = [_spelled(name, row.metrics) for name in metrics]
        started = f"{datetime.fromtimestamp(row.start_time / 1000).astimezone():%m-%d %H:%M}"
        took = "" if row.duration_seconds is None else f"{row.duration_seconds:.0f} s"
        status = Text(row.status.lower(), style=STYLES.get(row.status, ""))
        table.add_row(Text(row.name), status, Text(row.data), started, took, *scores)
    out.print(table, highlight=False, crop=False, width=None if out.is_terminal else PIPED_WIDTH)


def _spelled(name: str, metrics: Mapping[str, float]) -> str:
    """A metric as the table shows it: scores by four digits, seconds and sizes by one."""
    return "" if name not in metrics else f"{metrics[name]:.{1 if name.startswith('perf/') else 4}f}"


def _print_csv(rows: Sequence[RunRow]) -> None:
    """One line a run: its name, status, parameters and metrics, without the machine's load."""
    import csv

    records = [
        {"run": row.name, "status": row.status, "seconds": row.duration_seconds} | dict(row.params) | dict(row.metrics)
        for row in rows
    ]
    writer = csv.DictWriter(
        out.file, list(dict.fromkeys(key for record in records for key in record)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(records)


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others can reach it only if you say so.")
    ] = "127.0.0.1",
    uri: Uri = None,
    experiment: Experiment = "stancelib",
) -> None:
    """Open the MLflow UI and print the link to the runs, best first.

    Ctrl-C stops it.
    """
    from stancelib.tracking.browse import serve_ui

    def announce(line: str) -> None:
        out.print(line, markup=False, highlight=False, soft_wrap=True)

    raise typer.Exit(serve_ui(uri, host, port, experiment=experiment, announce=announce))


def sync(
    root: Root = Path("runs"),
    uri: Uri = None,
    experiment: Annotated[str | None, typer.Option(help="Another experiment.")] = None,
) -> None:
    """Complete the record of runs whose tracking server was down.

    Example: stancelib sync runs
    """
    from stancelib.tracking.maintenance import sync as complete

    results = complete(root, uri=uri, experiment=experiment, on_progress=_show_sync)
    if any(result.outcome == "failed" for result in results):
        raise typer.Exit(1)


def reap(
    root: Root = Path("runs"),
    silent_hours: Annotated[
        float | None, typer.Option(min=0, help="Also end runs of other hosts that wrote nothing for so long.")
    ] = None,
    orphans: Annotated[bool, typer.Option(help="Also end runs in MLflow whose run folder is gone as well.")] = False,
    uri: Uri = None,
    experiment: Experiment = "stancelib",
) -> None:
    """End runs whose process is gone, as KILLED, here and in MLflow."""
    from stancelib.tracking.maintenance import reap as end
    from stancelib.tracking.maintenance import reap_orphans

    if not root.is_dir():
        raise ConfigError(f"there is no folder '{root}'; give a run folder, or a folder of them.")
    results = end(root, silent_hours=silent_hours, on_progress=_show_reap)
    if not results:
        out.print(f"no run below {root} has lost its process", highlight=False)
    for name in reap_orphans(uri, experiment=experiment) if orphans else ():
        _line("killed", "yellow", name, "its run folder is gone too")
    if any(result.sync is not None and result.sync.outcome == "failed" for result in results):
        raise typer.Exit(1)


def _show_sync(result: SyncResult) -> None:
    style = {"completed": "green", "failed": "red"}.get(result.outcome, "dim")
    _line(result.outcome, style, result.name, result.message or result.url)


def _show_reap(result: ReapResult) -> None:
    _line("killed" if result.closed else "left", "yellow" if result.closed else "dim", result.name, result.message)
    if result.sync is not None:
        _show_sync(result.sync)


def _line(what: str, style: str, name: str, more: str) -> None:
    out.print(f"[{style}]{what:<10}[/{style}]", end="")
    out.print(f"{name}  {more}".rstrip(), markup=False, highlight=False, soft_wrap=True)
