"""``stancelib compare``: whether one model is better than another, on the same statements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stancelib.cli.console import err, out

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from stancelib.evaluation.comparison import Comparison
    from stancelib.schema import Predictions

N_FLIPS = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="BASELINE OTHER…", help="Run folders, MLflow run ids, or prediction files.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Split to compare on. Default: test where scored, else validation.")
    ] = None,
    skip_labels: Annotated[
        list[str] | None, typer.Option("--skip-label", help="Label left out of f_avg; repeat.")
    ] = None,
    flips: Annotated[Path | None, typer.Option(help="File for all rows that only one model gets right.")] = None,
    html: Annotated[Path | None, typer.Option(help="File for the comparison as one HTML page.")] = None,
) -> None:
    """Compare models on the same statements: differences, intervals, paired tests, flips.

    Example: stancelib compare runs/…/baseline runs/…/new --split validation
    """
    from rich.console import Console

    from stancelib.errors import ConfigError
    from stancelib.evaluation.comparison import compare as compare_pair
    from stancelib.evaluation.comparison import holm
    from stancelib.evaluation.intervals import clusters_of
    from stancelib.prediction_tables import read_predictions

    if len(runs) < 2:
        raise ConfigError("compare needs at least two runs: the baseline first.")
    with err.status("comparing"):
        baseline, *others = [read_predictions(run, split) for run in runs]
        clusters = clusters_of(baseline.statements)
        found = [compare_pair(baseline, other, clusters, skip_labels=skip_labels or ()) for other in others]
        adjusted = holm([one.differences["macro_f1"].p_value for one in found])
    console = Console(record=True, width=110) if html else out
    for name, other, one, p_value in zip(runs[1:], others, found, adjusted, strict=True):
        _show(console, (runs[0], name), (baseline, other), one, p_value if len(found) > 1 else None)
    if flips:
        _write_flips(flips, runs, baseline, list(zip(others, found, strict=True)))
    if html:
        assert isinstance(console, Console)
        console.save_html(str(html), clear=False)
        err.print(f"written to {html}", highlight=False)


def _show(
    console: Console,
    names: tuple[str, str],
    models: tuple[Predictions, Predictions],
    found: Comparison,
    adjusted: float | None,
) -> None:
    console.print(f"A {names[0]}\nB {names[1]}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(models[0].statements):,} statements in {found.n_clusters:,} clusters\n", highlight=False)
    console.print(_differences(found))
    first = found.differences["macro_f1"]
    verdict = "B is better" if first.interval.value > 0 else "A is better"
    certain = (first.p_value if adjusted is None else adjusted) <= 0.05
    console.print(
        f"\n[bold]{verdict if certain else 'no difference beyond chance'}[/bold] in macro-F1 at the 5 % level"
        + (f" (p = {_p(adjusted)} after Holm's correction)" if adjusted is not None else "")
        + f"; a difference of {first.detectable:.3f} would be found four times out of five.",
        highlight=False,
        soft_wrap=True,
    )
    flipped = f"only A right: {len(found.only_first)}, only B right: {len(found.only_second)}"
    console.print(f"{flipped}; McNemar p = {_p(found.mcnemar_p)}\n", highlight=False)
    console.print(_flips(models, found))


def _differences(found: Comparison) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score")
    for title in ("A", "B", "B - A", "95 % interval", "p", "detectable"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, one in found.differences.items():
        bounds = f"[{one.interval.low:+.4f}, {one.interval.high:+.4f}]".replace("[", r"\[")
        numbers = (f"{one.first:.4f}", f"{one.second:.4f}", f"{one.interval.value:+.4f}", bounds)
        style = "bold" if name == "macro_f1" else "" if "." not in name else "dim"
        table.add_row(Text(name), *numbers, _p(one.p_value), f"{one.detectable:.4f}", style=style)
    return table


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 1e-4 else "< 0.0001"


def _flips(models: tuple[Predictions, Predictions], found: Comparison) -> Table:
    """The first rows that only one model gets right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, title="rows that only one model gets right")
    table.title_justify = "left"
    half = N_FLIPS // 2
    for which, rows in (("A", found.only_first[:half]), ("B", found.only_second[:half])):
        for row in rows:
            record = _flip(which, row, models)
            told = Text(f"{record['id']}  {record['gold']}: A says {record['A']}, B {record['B']}\n")
            table.add_row(which, told.append(str(record["text"]), "dim"))
    return table


def _flip(which: str, row: int, models: tuple[Predictions, Predictions]) -> dict[str, Any]:
    statements, labels = models[0].statements, models[0].labels
    said = [labels.names[model.label_ids[row]] for model in models]
    return {
        "right": which,
        "id": statements.ids[row],
        "gold": labels.names[statements.gold[row]],
        "A": said[0],
        "B": said[1],
        "target": statements.targets[row],
        "text": statements.texts[row],
    }


def _write_flips(
    path: Path, runs: list[str], baseline: Predictions, others: list[tuple[Predictions, Comparison]]
) -> None:
    from stancelib.data.writing import write_rows

    with write_rows(path) as write:
        for name, (other, one) in zip(runs[1:], others, strict=True):
            for which, rows in (("A", one.only_first), ("B", one.only_second)):
                write([{"compared": name, **_flip(which, row, (baseline, other))} for row in rows])
