"""``stancelib compare``: whether one model is better than another, on the same statements, and where."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancelib.cli.console import err, out, refuse_existing, show_warnings
from stancelib.cli.tracking import Experiment, Uri
from stancelib.cli.training import show_fact
from stancelib.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from stancelib.comparing import Contest
    from stancelib.evaluation.comparison import SliceDifference

N_FLIPS, N_SLICES, PAGE_WIDTH = 5, 24, 110
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>stancelib compare</title><style>
{stylesheet}
:root {{ color-scheme: light dark; }}
body {{ background: Canvas; color: CanvasText; margin: 1.5rem; }}
pre {{ font-family: ui-monospace, Menlo, Consolas, monospace; overflow-x: auto; }}
</style></head><body><pre><code>{code}</code></pre></body></html>
"""
FLUSH_SECONDS = 15.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="BASELINE OTHER…", help="Run folders, MLflow run ids, or prediction files.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Split to compare on. Default: test where all scored it, else validation.")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="What decides: macro_f1, f_avg, accuracy, mcc … Default: macro_f1, or f_avg with skipped labels."
        ),
    ] = None,
    skip_labels: Annotated[
        list[str] | None, typer.Option("--skip-label", help="Label left out of f_avg; repeat.")
    ] = None,
    flips: Annotated[Path | None, typer.Option(help="File for all rows that only one model gets right.")] = None,
    html: Annotated[Path | None, typer.Option(help="File for the comparison as one HTML page.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace these files if they exist.")] = False,
    track: Annotated[bool, typer.Option("--track", help="Record the comparison as a run of its own.")] = False,
    uri: Uri = None,
    experiment: Experiment = "stancelib",
) -> None:
    """Compare models on the same statements: differences, intervals, paired tests, slices, flips.

    Example: stancelib compare runs/…/baseline runs/…/new --split validation
    """
    from stancelib.comparing import compare_models, read_contenders, write_flips

    if len(runs) < 2:
        raise ConfigError("compare needs at least two runs: the baseline first.")
    for path in filter(None, (flips, html)):
        refuse_existing(path, overwrite=overwrite)
        if not path.absolute().parent.is_dir():
            raise DataError(f"there is no folder '{path.parent}' to write '{path.name}' into.")
    show_warnings()
    with err.status("comparing"):
        contenders = read_contenders(runs, split, uri=uri)
        contests = compare_models(contenders, score=score, skip_labels=skip_labels or ())
    for contest in contests:
        _show(out, contest, N_SLICES)
    page = _page(contests) if html or track else ""
    if flips:
        write_flips(flips, contests)
    if html:
        html.write_text(page, encoding="utf-8")
    for path in filter(None, (flips, html)):
        err.print(f"written to {path}", markup=False, highlight=False)
    if experiment != "stancelib" and not track:
        err.print("[yellow]--experiment has no effect without --track.[/yellow]")
    if track:
        _track(contests, page, uri, experiment)


def _track(contests: Sequence[Contest], page: str, uri: str | None, experiment: str) -> None:
    """Record the comparison, and say where."""
    from stancelib.app.naming import new_run_folder
    from stancelib.comparison_run import record_comparison
    from stancelib.tracking import MlflowTracker

    n_runs = len(contests) + (len(contests) > 1)  # they share the time that a server may cost

    def tracker() -> MlflowTracker:
        return MlflowTracker(uri=uri, experiment=experiment, flush_seconds=FLUSH_SECONDS / n_runs)

    told = record_comparison(contests, folder=new_run_folder(), tracker=tracker, page=page, note=_command(contests))
    show_fact("run", told["folder"])
    if told["url"]:
        show_fact("tracked", told["url"])
    if told["message"]:
        err.print(told["message"], style="yellow", markup=False, highlight=False, soft_wrap=True)


def _command(contests: Sequence[Contest]) -> str:
    """The command, without addresses of servers and files."""
    first = contests[0]
    words = ["stancelib", "compare", first.baseline.source, *(one.challenger.source for one in contests)]
    words += ["--split", first.baseline.split] if first.baseline.split else []
    words += ["--score", first.score, *(word for label in first.skip_labels for word in ("--skip-label", label))]
    return f"```\n{shlex.join(words)}\n```"


def _page(contests: Sequence[Contest]) -> str:
    """Everything that the terminal shows, and all slices, as HTML."""
    from rich.console import Console

    console = Console(record=True, width=PAGE_WIDTH, file=io.StringIO())
    for contest in contests:
        _show(console, contest, len(contest.slices))
    return console.export_html(code_format=PAGE)


def _show(console: Console, contest: Contest, n_slices: int) -> None:
    from stancelib.comparing import spelled_p

    found, names = contest.found, (contest.baseline.source, contest.challenger.source)
    console.print(f"A {names[0]}\nB {names[1]}", markup=False, highlight=False, soft_wrap=True)
    n_statements = len(contest.baseline.predictions.statements)
    console.print(f"{n_statements:,} statements in {found.n_clusters:,} clusters\n", highlight=False)
    console.print(_differences(contest))
    console.print(f"\n[bold]{contest.decision}[/bold] {contest.grounds}", highlight=False, soft_wrap=not console.record)
    flipped = f"only A right: {len(found.only_first)}, only B right: {len(found.only_second)}"
    console.print(f"{flipped}; McNemar p = {spelled_p(found.mcnemar_p)}\n", highlight=False)
    if contest.slices:
        _show_slices(console, contest, n_slices)
    console.print(_flips(contest))


def _differences(contest: Contest) -> Table:
    from rich.table import Table
    from rich.text import Text

    from stancelib.comparing import spelled_p

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score", overflow="fold")
    for title in ("A", "B", "B - A", "95 % interval", "p", "detectable"):
        table.add_column(title, justify="right", no_wrap=True)
    label = ""
    for name in contest.names():
        one, (kind, _, of) = contest.found.differences[name], name.partition(".")
        if of != label:
            label = of
            table.add_row(Text(label, "dim"))
        bounds = Text(f"[{one.interval.low:+.3f}, {one.interval.high:+.3f}]")
        numbers = (f"{one.first:.3f}", f"{one.second:.3f}", f"{one.interval.value:+.3f}", bounds)
        style = "bold" if name == contest.score else "dim" if of else ""
        table.add_row(
            Text(f"  {kind}" if of else kind), *numbers, spelled_p(one.p_value), f"{one.detectable:.3f}", style=style
        )
    return table


def _show_slices(console: Console, contest: Contest, n_most: int) -> None:
    """The slices with the smallest p-values, those that differ in bold; then what can't be judged."""
    judged = sorted((one.difference.p_value, at) for at, one in enumerate(contest.slices) if one.difference)
    shown = sorted(at for _, at in judged[:n_most])
    console.print(_slices([contest.slices[at] for at in shown], contest.score))
    if len(judged) > len(shown):
        console.print(f"and {len(judged) - len(shown)} slices with larger p; --html shows all", highlight=False)
    if unjudged := [one for one in contest.slices if not one.difference]:
        by_kind = {
            one.kind: [f"{o.value} ({o.n_statements})" for o in unjudged if o.kind == one.kind] for one in unjudged
        }
        named = "; ".join(f"{kind}: {', '.join(values)}" for kind, values in by_kind.items())
        console.print(f"too small to judge, with their statements: {named}", style="dim", markup=False, highlight=False)
    console.print(f"{contest.about_slices()}\n", highlight=False)


def _slices(shown: Sequence[SliceDifference], score: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    from stancelib.comparing import ALPHA, spelled_p

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"{score} by slice", overflow="fold")
    for title in ("n", "B - A", "95 % interval", "p", "p Holm"):
        table.add_column(title, justify="right", no_wrap=True)
    kind = ""
    for one in shown:
        assert one.difference
        if one.kind != kind:
            kind, other = one.kind, one.difference.name != score
            table.add_row(Text(kind + f" ({one.difference.name})" * other, "dim"))
        around = one.difference.interval
        bounds = Text(f"[{around.low:+.3f}, {around.high:+.3f}]")
        numbers = (f"{one.n_statements:,}", f"{around.value:+.3f}", bounds, spelled_p(one.difference.p_value))
        style = "bold" if one.adjusted_p <= ALPHA else ""
        table.add_row(Text(f"  {one.value}"), *numbers, spelled_p(one.adjusted_p), style=style)
    return table


def _flips(contest: Contest) -> Table:
    """The first rows that only one model gets right."""
    from rich.table import Table
    from rich.text import Text

    from stancelib.comparing import flips

    table = Table(box=None, pad_edge=False, show_header=False, title="rows that only one model gets right")
    table.title_justify = "left"
    for row in flips(contest, N_FLIPS):
        told = Text(f"{row['id']}  {row['gold']}: A says {row['A']}, B {row['B']}\n")
        table.add_row(row["right"], told.append(str(row["text"]), "dim"))
    return table
