"""``stancelib predict``: one statement, or a file of any length in constant memory."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancelib.cli.console import err, out
from stancelib.errors import ConfigError

if TYPE_CHECKING:
    from stancelib.inference import Prediction, StanceModel
    from stancelib.scoring import RowColumns

FILE_SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)


def predict(
    model: Annotated[str, typer.Argument(help="A bundle or run folder, runs:/<id>, or models:/<name>@<alias>.")],
    source: Annotated[
        str, typer.Argument(metavar="TEXT|FILE|-", help="A statement, a file to score, or - for standard input.")
    ],
    target: Annotated[str | None, typer.Option(help="What the statement (or every row) is judged towards.")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="File for scored rows; - is standard output.")] = "-",
    text_column: Annotated[str, typer.Option(help="Column of the statements.")] = "text",
    target_column: Annotated[str, typer.Option(help="Column of the targets.")] = "target",
    input_format: Annotated[
        str | None, typer.Option("--format", help="csv, tsv, jsonl or parquet, where the name doesn't say.")
    ] = None,
    keep_going: Annotated[bool, typer.Option(help="Leave rows without a text unanswered instead of stopping.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer to one statement as JSON.")] = False,
) -> None:
    """Say what a statement does to its target, or score a file row by row.

    stancelib predict runs/…/model "Yes, once the fence is up." --target "a meeting"

    stancelib predict runs/…/model statements.csv -o scored.csv

    cat statements.jsonl | stancelib predict runs/…/model - > scored.jsonl
    """
    from stancelib.inference import load
    from stancelib.scoring import RowColumns

    loaded = load(model)
    if source == "-" or Path(source).suffix.casefold() in FILE_SUFFIXES or input_format:
        columns = RowColumns(text=text_column, target=target_column, fixed_target=target, keep_going=keep_going)
        _score_file(loaded, source, output, input_format, columns)
        return
    if not source.strip():
        raise ConfigError("the statement is empty. Give a text, a file, or - for standard input.")
    if loaded.manifest["uses_target"] and target is None:
        err.print("[yellow]This model judges a statement towards a target; give one with --target.[/yellow]")
    _show(loaded, loaded.predict(source, target)[0], as_json=as_json)


def _show(model: StanceModel, said: Prediction, *, as_json: bool) -> None:
    if as_json:
        answer = asdict(said)
        out.file.write(json.dumps(answer, ensure_ascii=False) + "\n")
        return
    width = max(map(len, model.labels))
    for name, probability in sorted(said.probabilities.items(), key=lambda item: -item[1]):
        style = "bold green" if name == said.label else "dim"
        out.print(f"{name:<{width}}  {probability:6.1%}  {'█' * round(30 * probability)}", style=style, highlight=False)
    if said.abstained:
        out.print(f"abstains: can't rule out {', '.join(said.prediction_set)}", style="yellow", highlight=False)


def _score_file(model: StanceModel, source: str, output: str, form: str | None, columns: RowColumns) -> None:
    """Stream rows through the model, with a progress bar on the error stream."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    from stancelib.data.rows import read_rows
    from stancelib.data.writing import write_rows
    from stancelib.scoring import score_rows

    layout = (SpinnerColumn(), TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    n_rows = n_empty = 0
    with (
        Progress(*layout, console=err, transient=True, disable=not err.is_terminal) as bar,
        write_rows(output, form if output == "-" else None) as write,
    ):
        task = bar.add_task("", total=_about_how_many(source))
        for batch in score_rows(model, read_rows(source, form), columns):
            write(batch)
            n_rows += len(batch)
            n_empty += sum(1 for row in batch if row.get("predicted_label", row.get("label")) is None)
            bar.update(task, completed=n_rows)
    place = "standard output" if output == "-" else output
    err.print(
        f"{n_rows:,} rows scored into {place}" + (f"; {n_empty:,} had no text and no answer" if n_empty else ""),
        highlight=False,
    )


def _about_how_many(source: str) -> int | None:
    """Lines of a text file, for the progress bar."""
    path = Path(source)
    if source == "-" or not path.is_file() or path.suffix.casefold() in (".parquet", ".pq", ".json"):
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
