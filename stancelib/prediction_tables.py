"""Predictions as tables: what a run keeps of them, and how they are read again to be compared."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stancelib.data.rows import format_of, read_rows
from stancelib.errors import DataError
from stancelib.inference import answer_columns
from stancelib.labels import LabelSet
from stancelib.schema import TEST, VALIDATION, Predictions, Statements
from stancelib.texts import text_or_none

OWN = ("id", "text", "target", "gold", "predicted", "right", "confidence", "prediction_set", "abstained")
SUM_TOLERANCE = 1e-3


def prediction_columns(said: Predictions) -> dict[str, Sequence[object]]:
    """Labelled predictions as columns: statement, gold label, answer, probabilities, then the data's other columns.

    One of the others whose name is taken is called ``data.<name>``.
    """
    statements = said.statements
    gold = list(statements.column("label"))
    answers = answer_columns(said)
    right = [a == b for a, b in zip(gold, answers["label"], strict=True)]
    first = {"id": statements.ids, "text": statements.texts, "target": statements.targets, "gold": gold}
    table = {**first, "predicted": answers.pop("label"), "right": right, **answers}
    for name, values in statements.columns.items():
        kept = name
        while kept in table or kept.startswith("p_") or (kept != name and kept in statements.columns):
            kept = f"data.{kept}"
        table[kept] = values
    return table


def read_predictions(source: str, split: str | None = None, *, uri: str | None = None) -> Predictions:
    """Labelled predictions that were kept before.

    Args:
        source: A run folder, a bundle in one, an MLflow run (its id, or ``runs:/<id>``), a prediction table of a run
            (``tables/predictions_<split>.json``), or a file of rows with text, gold and one
            ``p_<label>`` per label, or what ``stancelib predict`` makes of labelled rows.
        split: Which split's; None takes ``test`` where the run scored it, else ``validation``.
        uri: The tracking address of an MLflow run, resolved as for training.

    Raises:
        DataError: If there are no such predictions, or the table lacks a column or row.
    """
    return read_table(locate_predictions(source, split, uri=uri))


def read_table(path: Path) -> Predictions:
    """The predictions in one file.

    Raises:
        DataError: If it is no prediction table, or lacks a column or row.
    """
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"'{path}' is no prediction table: it can't be read as JSON ({error}).") from None
        if not isinstance(content, dict) or not {"columns", "data"} <= set(content):
            raise DataError(f"'{path}' is no prediction table: it has no 'columns' and 'data'.")
        rows = [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    else:
        format_of(path)
        rows = [row for _, row in read_rows(path)]
    return _predictions(rows, str(path))


def run_id_of(source: str) -> str:
    """The id in ``<run id>`` or ``runs:/<run id>``; empty where a source is something else."""
    named = source.startswith("runs:/") or re.fullmatch(r"[0-9a-f]{32}", source)
    return source.removeprefix("runs:/").strip("/") if named else ""


def locate_predictions(source: str, split: str | None = None, *, uri: str | None = None) -> Path:
    """The file that ``read_predictions`` reads.

    Raises:
        DataError: If there is none.
    """
    wanted = [split] if split else [TEST, VALIDATION]
    if run_id := run_id_of(source):
        from stancelib.tracking.browse import download_artifact

        tables = (f"tables/predictions_{name}.json" for name in wanted)
        found = next(filter(None, (download_artifact(run_id, table, tracking_uri=uri) for table in tables)), None)
        if found is None:
            raise DataError(
                f"run {run_id} has no predictions for {' or '.join(wanted)}; score it with evaluation.splits."
            )
        return found
    path = Path(source)
    if path.is_file():
        return path
    for folder in (path, path.parent):
        for name in wanted:
            if (table := folder / "tables" / f"predictions_{name}.json").is_file():
                return table
    if (path / "manifest.json").is_file():
        raise DataError(
            f"the bundle '{source}' is outside its run folder, where its predictions are: score it with `stancelib "
            "evaluate`, and give that run."
        )
    if seeds := sorted(path.glob("seed-*")):
        raise DataError(f"'{source}' is the parent of {len(seeds)} seeds; give one of its runs, such as {seeds[0]}.")
    raise DataError(
        f"'{source}' has no predictions for {' or '.join(wanted)}: "
        "give a run folder, an MLflow run id or a prediction file."
    )


def _number(value: object, name: str, row: int) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not -SUM_TOLERANCE <= number <= 1 + SUM_TOLERANCE:
        raise DataError(f"{name} row {row} has {value!r} where a probability belongs.")
    return number


def _texts(rows: Sequence[Mapping[str, Any]], column: str, name: str) -> list[str]:
    """A column that every row needs."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get(column), str):
            raise DataError(f"{name} row {number} has {row.get(column)!r} where its {column} belongs.")
    return [row[column] for row in rows]


def _predictions(rows: Sequence[Mapping[str, Any]], name: str) -> Predictions:
    import numpy as np

    if not rows:
        raise DataError(f"{name} holds no predictions.")
    if "gold" not in rows[0] and {"label", "predicted_label"} <= rows[0].keys():  # as `predict` scores labelled rows
        names = {"label": "gold", "predicted_label": "predicted"}
        rows = [{names.get(column, column): value for column, value in row.items()} for row in rows]
    first = rows[0]
    labels = [column.removeprefix("p_") for column in first if column.startswith("p_")]
    missing = [column for column in ("text", "gold") if column not in first]
    if missing or len(labels) < 2:
        what = f"no column '{missing[0]}'" if missing else "no two columns p_<label>"
        raise DataError(f"{name} has {what}; a prediction table has text, gold and p_<label> for every label.")
    label_set = LabelSet.of(labels)
    said = np.array([[_number(row.get(f"p_{label}"), name, n) for label in labels] for n, row in enumerate(rows, 1)])
    if (off := np.flatnonzero(abs(said.sum(axis=1) - 1) > SUM_TOLERANCE)).size:
        raise DataError(f"{name} row {off[0] + 1}: its probabilities sum to {said[off[0]].sum():.3f}, not to 1.")
    chosen = label_set.encode(_texts(rows, "predicted", name)) if "predicted" in first else None
    others = [column for column in first if column not in OWN and not column.startswith("p_")]
    statements = Statements(
        _texts(rows, "text", name),
        [text_or_none(row.get("target")) for row in rows],
        label_set,
        label_set.encode(_texts(rows, "gold", name)),
        ids=[str(row.get("id", number)) for number, row in enumerate(rows, start=1)],
        columns={column: [row.get(column) for row in rows] for column in others},
    )
    return Predictions(statements, label_set, said, chosen=chosen)
