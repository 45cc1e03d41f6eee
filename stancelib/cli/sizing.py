"""``stancelib curve``: the score by number of training statements."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancelib.cli.console import ConfigDir, ConfigName, FitBar, err, out, show_warnings
from stancelib.cli.training import show_fact
from stancelib.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from stancelib.evaluation.learning import LearningCurve


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(curve)


def curve(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="As for train: model=tfidf data=files data.path=x.csv")
    ] = None,
    fractions: Annotated[
        str, typer.Option(help="Shares of the training split, each above 0 and at most 1.")
    ] = "0.1,0.2,0.4,0.7,1",
    draws: Annotated[int, typer.Option(min=1, help="Samples of each share below 1; one fit each.")] = 3,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Run folder. Default: a new one below runs.")
    ] = None,
    config_dir: ConfigDir = None,
    config_name: ConfigName = "train",
) -> None:
    """Fit on growing shares of the training split, to see how much more data would help.

    Scored on validation alone. Example: stancelib curve model=tfidf data=statements --draws 5
    """
    from stancelib.app import Sources
    from stancelib.app import curve as run

    show_warnings()
    overrides, sources = overrides or [], Sources(config_dir, config_name)
    given = [*sources.arguments, *overrides, "--fractions", fractions, "--draws", str(draws)]
    bar = FitBar()
    try:
        result = run(
            overrides,
            fractions=[_fraction(text) for text in fractions.split(",")],
            n_draws=draws,
            report=bar.report,
            folder=output,
            note=f"```\n{shlex.join(['stancelib', 'curve', *given])}\n```",
            sources=sources,
        )
    finally:
        bar.stop()
    out.print(_table(result.curve))
    out.print()
    show_fact("run", str(result.folder))
    if result.url:
        show_fact("tracked", result.url)
    if result.message:
        err.print(result.message, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _fraction(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"--fractions must be numbers with commas between them, such as 0.1,0.5,1, got '{text}'."
        ) from None


def _table(curve: LearningCurve) -> Table:
    """A line per size, with what it gains over the one before."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("share", "statements", "draws", curve.score, "sd", "gain"):
        table.add_column(name, justify="right")
    before = None
    for point in curve.points:
        around = point.interval
        score = f"{around.value:.4f} [{around.low:.4f}, {around.high:.4f}]"
        gain = "" if before is None else f"{around.value - before:+.4f}"
        n_draws = len(point.scores)
        spread = f"{point.sd:.4f}" if n_draws > 1 else ""
        table.add_row(f"{point.fraction:.0%}", f"{point.n_statements:,.0f}", str(n_draws), score, spread, gain)
        before = around.value
    return table
