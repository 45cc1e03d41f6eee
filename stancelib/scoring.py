"""Files of any length through a model: a batch of rows at a time, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from stancelib.errors import DataError, nearest
from stancelib.inference import StanceModel, answer_columns, free_names
from stancelib.schema import Place, Statements
from stancelib.texts import mended, text_or_none

_TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """Where a row of a file keeps what is judged.

    Args:
        text: Column of the statements.
        target: Column of the targets; rows without it are judged without a target.
        fixed_target: One target for all rows, instead of a column.
        keep_going: Give rows without a text empty answers, instead of stopping at the first.
    """

    text: str = "text"
    target: str = _TARGET
    fixed_target: str | None = None
    keep_going: bool = False


def score_rows(
    model: StanceModel,
    rows: Iterable[tuple[Place, dict[str, Any]]],
    columns: RowColumns | None = None,
    *,
    batch_size: int = 2048,
) -> Iterator[list[dict[str, Any]]]:
    """Rows of any number with the model's answers added, a batch at a time, in constant memory and in order.

    Args:
        model: A loaded model.
        rows: Rows with their places, such as ``stancelib.data.rows.read_rows`` yields.
        columns: Where a row keeps statement and target.
        batch_size: Statements judged at once, at least 1.

    Raises:
        DataError: If a row has no text, or a column that the answers use, or none has the target column that was named;
            the message names file and row.
    """
    columns = columns or RowColumns()
    rows = iter(rows)
    names: list[str] = []
    while batch := list(islice(rows, batch_size)):
        if not names:
            _require_target(batch, columns)
        texts = [_text(place, row, columns) for place, row in batch]
        targets = [mended(target) if (target := target_of(row, columns)) else None for _, row in batch]
        answers = answer_columns(model.judge(Statements([text or "" for text in texts], targets)))
        names = names or free_names(answers, taken={name for _, row in batch for name in row})
        _keep_columns(batch, set(names))
        values = zip(*answers.values(), strict=True)
        nothing = dict.fromkeys(names)
        yield [
            row | (nothing if text is None else dict(zip(names, answer, strict=True)))
            for (_, row), text, answer in zip(batch, texts, values, strict=True)
        ]


def blank_row(model: StanceModel, columns: Iterable[str]) -> dict[str, Any]:
    """A row as ``score_rows`` gives them, of a file that has columns but no rows."""
    row: dict[str, Any] = dict.fromkeys(columns, "")
    answers = answer_columns(model.judge(Statements([""], [None])), taken=row)
    return row | {name: values[0] for name, values in answers.items()}


def _keep_columns(batch: list[tuple[Place, dict[str, Any]]], names: set[str]) -> None:
    """Refuse a row whose own column an answer would overwrite."""
    for place, row in batch:
        if not names.isdisjoint(row):
            name = next(name for name in row if name in names)
            raise DataError(
                f"{place} has a column '{name}', which no row of the first batch had, so it was taken for the answers. "
                "Rename it, or give every row the same columns."
            )


def target_of(row: Mapping[str, Any], columns: RowColumns) -> str | None:
    """What a row is judged towards."""
    return columns.fixed_target or text_or_none(row.get(columns.target))


def is_answerable(row: Mapping[str, Any], columns: RowColumns) -> bool:
    """False where a row has no text."""
    text = row.get(columns.text)
    return isinstance(text, str) and bool(text.strip())


def _require_target(batch: list[tuple[Place, dict[str, Any]]], columns: RowColumns) -> None:
    """Refuse a name of the target column that somebody chose and no row has."""
    if columns.fixed_target or columns.target == _TARGET or any(columns.target in row for _, row in batch):
        return
    place, row = batch[0]
    raise DataError(
        f"{place} has no column '{columns.target}'; it has {', '.join(map(str, row))}"
        f"{nearest(columns.target, map(str, row))} Name the right one with --target-column."
    )


def _text(place: Place, row: Mapping[str, Any], columns: RowColumns) -> str | None:
    """The row's text; None where it can't be answered and that is allowed."""
    if columns.text not in row:
        raise DataError(
            f"{place} has no column '{columns.text}'; it has {', '.join(map(str, row))}. "
            "Name the right one with --text-column."
        )
    if is_answerable(row, columns):
        return mended(row[columns.text])
    if not columns.keep_going:
        raise DataError(
            f"{place} has no text: '{columns.text}' is {row[columns.text]!r}. "
            "Mend it, or pass --keep-going to leave such rows unanswered."
        )
    return None
