"""``stancelib predict``: one statement, or a file of any length in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from stancelib.cli.console import OwnFamilies, err, out, refuse_existing
from stancelib.errors import ConfigError

if TYPE_CHECKING:
    from stancelib.evaluation.faithfulness import Explanation
    from stancelib.inference import Prediction, StanceModel
    from stancelib.scoring import RowColumns

N_LISTED, FAINTEST = 5, 0.1
FILE_SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".tab"}


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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")] = False,
    text_column: Annotated[str, typer.Option(help="Column of the statements.")] = "text",
    target_column: Annotated[str, typer.Option(help="Column of the targets.")] = "target",
    input_format: Annotated[
        str | None, typer.Option("--format", help="csv, tsv, jsonl or parquet, where the name doesn't say.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of a text file: utf-8, cp1252 …")] = "utf-8",
    keep_going: Annotated[bool, typer.Option(help="Leave rows without a text unanswered instead of stopping.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer to one statement as JSON.")] = False,
    explained: Annotated[bool, typer.Option("--explain", help="Show which tokens led to the answer.")] = False,
    families: OwnFamilies = None,
) -> None:
    """Say what a statement does to its target, or score a file row by row.

    stancelib predict runs/…/model "Yes, once the fence is up." --target "a meeting"

    stancelib predict runs/…/model "Yes, once the fence is up." --target "a meeting" --explain

    stancelib predict runs/…/model statements.csv -o scored.csv

    cat statements.jsonl | stancelib predict runs/…/model - > scored.jsonl
    """
    from stancelib.inference import load
    from stancelib.models.base import own_families
    from stancelib.scoring import RowColumns

    own = own_families(families or [])
    if source == "-" or input_format or _is_file(source) or Path(source).suffix.casefold() in FILE_SUFFIXES:
        if output != "-":
            refuse_existing(output, overwrite=overwrite)
        if explained:
            err.print("[yellow]--explain is for a single statement; rows of files are scored without it.[/yellow]")
        columns = RowColumns(text=text_column, target=target_column, fixed_target=target, keep_going=keep_going)
        _score_file(load(model, families=own), _Rows(source, input_format, encoding), output, columns)
    else:
        _check_text(source, output)
        _answer(load(model, families=own), source, target, explained=explained, as_json=as_json)


def _answer(model: StanceModel, source: str, target: str | None, *, explained: bool, as_json: bool) -> None:
    """Judge a single statement."""
    if model.manifest["uses_target"] and target is None:
        err.print("[yellow]This model judges a statement towards a target; give one with --target.[/yellow]")
    explanation = None
    if explained:
        from stancelib.explaining import explain

        explanation = explain(model, source, target)
    _show(model, model.predict(source, target)[0], explanation, as_json=as_json)
    if explanation and not as_json:
        _show_explanation(model, explanation)


def _check_text(source: str, output: str) -> None:
    """Refuse what can't be meant as a single statement."""
    if not source.strip():
        raise ConfigError("the statement is empty. Give a text, a file, or - for standard input.")
    if "/" in source and _is_folder(source):
        raise ConfigError(f"'{source}' is a folder. Give a file of statements, a text, or - for standard input.")
    if output != "-":
        raise ConfigError(
            f"'{source}' is no file, and a single statement is printed, not written to '{output}'. "
            "Leave --output out, or give a file of statements."
        )


def _show(model: StanceModel, said: Prediction, explanation: Explanation | None, *, as_json: bool) -> None:
    if as_json:
        answer = asdict(said)
        if explanation:
            answer["explanation"] = {"method": explanation.method, "target_weight": explanation.target_weight}
            answer["explanation"]["tokens"] = explanation.tokens
        out.file.write(json.dumps(answer, ensure_ascii=False) + "\n")
        return
    width = max(map(len, model.labels))
    for name, probability in sorted(said.probabilities.items(), key=lambda item: -item[1]):
        style = "bold green" if name == said.label else "dim"
        line = f"{name:<{width}}  {probability:6.1%}  {'█' * round(30 * probability)}"
        out.print(line, style=style, markup=False, highlight=False)
    if said.abstained:
        line = f"abstains: {'; '.join(_reasons(model, said))}"
        out.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _reasons(model: StanceModel, said: Prediction) -> Iterator[str]:
    """Why the model's decision rule gives no answer."""
    if not said.prediction_set:
        yield "no label is likely enough to be in the prediction set"
    if len(said.prediction_set) > 1:
        yield f"can't rule out {', '.join(said.prediction_set)}"
    if said.confidence < (least := model.decision.min_confidence):
        yield f"{said.label} has a probability of {said.confidence:.4g}, and an answer needs {least:g}"


def _show_explanation(model: StanceModel, found: Explanation) -> None:
    """The statement with its tokens shaded, the strongest of them in figures, and what deleting them does."""
    from rich.text import Text

    from stancelib.evaluation.faithfulness import faithfulness

    shaded, most = Text(found.text), max(map(abs, found.weights), default=0.0) or 1.0
    for (start, end), weight in zip(found.spans, found.weights, strict=True):
        if (strength := abs(weight) / most) >= FAINTEST:
            light = 235 - int(130 * strength)
            style = f"rgb({light},235,{light})" if weight > 0 else f"rgb(255,{light},{light})"
            shaded.stylize(f"black on {style}", start, end)
    out.print()
    out.print(shaded, soft_wrap=True)
    tokens, order = found.tokens, found.strongest_first
    for verb, listed in (("for", order[:N_LISTED]), ("against", order[::-1][:N_LISTED])):
        sign = 1 if verb == "for" else -1
        named = [f"{tokens[at][0]} {tokens[at][1]:+.2f}" for at in listed if sign * tokens[at][1] > most * FAINTEST]
        if named:
            out.print(f"{verb} {found.label}: {', '.join(named)}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"the target: {found.target_weight:+.2f} ({found.method})", style="dim", highlight=False)
    if checked := faithfulness(model.judge, [found]):
        drops = f"without the strongest tokens {checked.strongest:.3f}, without random ones {checked.random:.3f}"
        out.print(f"p({found.label}) drops by: {drops}", style="dim", markup=False, highlight=False, soft_wrap=True)


class _Rows(NamedTuple):
    """The file to score, and how to read it."""

    source: str
    format: str | None
    encoding: str


def _score_file(model: StanceModel, rows: _Rows, output: str, columns: RowColumns) -> None:
    """Stream rows through the model, with a progress bar on the error stream."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    from stancelib.data.rows import column_types, read_rows
    from stancelib.data.writing import write_rows
    from stancelib.scoring import blank_row, is_answerable, score_rows, target_of

    layout = (SpinnerColumn(), TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    n_rows, n_empty, has_target, header = 0, 0, False, list[str]()
    types = column_types(rows.source, rows.format)
    with (
        Progress(*layout, console=err, transient=True, disable=not err.is_terminal) as bar,
        write_rows(output, rows.format if output == "-" else None, types=types) as write,
    ):
        task = bar.add_task("", total=_about_how_many(rows.source))
        read = read_rows(rows.source, rows.format, encoding=rows.encoding, header=header)
        for batch in score_rows(model, read, columns):
            write(batch)
            n_rows += len(batch)
            n_empty += sum(1 for row in batch if not is_answerable(row, columns))
            has_target = has_target or any(target_of(row, columns) for row in batch)
            bar.update(task, completed=n_rows)
        if not n_rows:
            write([], like=blank_row(model, header))
    if n_rows and model.manifest["uses_target"] and not has_target:
        err.print(
            f"[yellow]No row has a target in the column '{columns.target}', and this model judges a statement towards "
            "one; name its column with --target-column, or give one with --target.[/yellow]"
        )
    place = "standard output" if output == "-" else output
    err.print(
        f"{n_rows:,} rows scored into {place}" + (f"; {n_empty:,} had no text and no answer" if n_empty else ""),
        highlight=False,
    )


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except OSError:  # a statement that is too long for a name
        return False


def _is_folder(source: str) -> bool:
    try:
        return Path(source).is_dir()
    except OSError:
        return False


def _about_how_many(source: str) -> int | None:
    """Lines of a text file, for the progress bar."""
    path = Path(source)
    if source == "-" or not path.is_file() or path.suffix.casefold() in (".parquet", ".pq", ".json"):
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
