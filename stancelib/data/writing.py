"""Rows into a file or standard output as they come, in constant memory.

A file appears under its name only once it is complete; of several writers the last one to finish is kept whole.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from stancelib.data.rows import STANDARD, format_of
from stancelib.errors import ConfigError, DataError, require
from stancelib.texts import mended

Row = Mapping[str, Any]


class Write(Protocol):
    """What ``write_rows`` gives."""

    def __call__(self, rows: Sequence[Row], like: Row | None = None) -> None:
        """Write a batch; the very first row, or ``like`` where there is none, names the columns."""


@contextmanager
def write_rows(
    path: str | Path, format: str | None = None, *, types: Mapping[str, Any] | None = None
) -> Iterator[Write]:
    """A function that writes a batch of rows; the first row names the columns of CSV, TSV and Parquet.

    Args:
        path: A file, replaced if it exists, or ``-`` for standard output. A link stays, and what it points at is
            written.
        format: ``csv``, ``tsv``, ``jsonl`` or ``parquet``; None takes it from the file's name.
        types: Arrow types of Parquet's columns by name; those of others are taken from the first batch.

    Raises:
        ConfigError: If the format can't be written, or not to standard output.
        DataError: If the folder is missing or can't be written to, or a row lacks a column or has another one.
    """
    kind = format_of(path, format)
    if kind == "json":
        raise ConfigError("rows are written as csv, tsv, jsonl or parquet: name the output .jsonl.")
    if str(path) == STANDARD:
        if kind == "parquet":
            raise ConfigError("Parquet can't be written to standard output: give a file, or use jsonl.")
        with _standard_output() as stream, _text_writer(stream, kind) as write:
            yield write
        return
    path = Path(path).resolve() if Path(path).is_symlink() else Path(path)
    if path.is_dir():
        raise DataError(f"'{path}' is a folder, and a file is needed.")
    if not path.parent.is_dir():
        raise DataError(f"there is no folder '{path.parent}' to write '{path.name}' into.")
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with _parquet_writer(partial, types or {}) if kind == "parquet" else _file_writer(partial, kind) as write:
            yield write
        partial.replace(path)
    except OSError as error:
        if error.filename not in (None, str(partial)):
            raise
        raise DataError(f"'{path}' can't be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _standard_output() -> Iterator[IO[str]]:
    """Standard output in UTF-8, whatever the terminal's encoding: what is written is a file for others to read."""
    sys.stdout.flush()
    if not hasattr(sys.stdout, "buffer"):  # a notebook's
        yield sys.stdout
        return
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        yield stream
        stream.flush()
    finally:
        stream.detach()


@contextmanager
def _file_writer(path: Path, kind: str) -> Iterator[Write]:
    with (
        path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        _text_writer(stream, kind) as write,
    ):
        yield write


def _text_writer(stream: IO[str], kind: str) -> AbstractContextManager[Write]:
    return _json_lines(stream) if kind == "jsonl" else _delimited(stream, "\t" if kind == "tsv" else ",")


@contextmanager
def _json_lines(stream: IO[str]) -> Iterator[Write]:
    encode = json.JSONEncoder(ensure_ascii=False, default=str, allow_nan=False).encode

    def write(rows: Sequence[Row], like: Row | None = None) -> None:
        try:
            lines = [encode(row) for row in rows]
        except ValueError:
            lines = [encode(_without_nan(row)) for row in rows]
        stream.write("".join([line + "\n" for line in lines]))

    yield write


def _without_nan(value: Any) -> Any:
    """The value with null for floats that JSON doesn't know."""
    if isinstance(value, Mapping):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _delimited(stream: IO[str], delimiter: str) -> Iterator[Write]:
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    header: list[str] = []
    n_rows = 0

    def write(rows: Sequence[Row], like: Row | None = None) -> None:
        nonlocal n_rows
        first = rows[0] if rows else like
        if first and not header:
            header.extend(first)
            writer.writerow(header)
        for row in rows:
            n_rows += 1
            if len(row) != len(header) or any(name not in row for name in header):
                raise DataError(_other_columns(n_rows, row, header))
            writer.writerow([_field(row[name]) for name in header])

    yield write


def _field(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _readable(value: Any) -> Any:
    """The value without halves of characters, which Parquet has no bytes for."""
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, list):
        return [_readable(one) for one in value]
    return {name: _readable(one) for name, one in value.items()} if isinstance(value, dict) else value


def _other_columns(row: int, columns: Row, header: Sequence[str]) -> str:
    return (
        f"row {row} of the output has the columns {', '.join(columns)}, but the first row has {', '.join(header)}: "
        "write rows of differing columns as JSON lines (.jsonl)."
    )


@contextmanager
def _parquet_writer(path: Path, types: Mapping[str, Any]) -> Iterator[Write]:
    pyarrow, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
    writer: Any = None
    n_rows = 0

    def schema_of(rows: list[Row]) -> Any:
        untyped = [{name: value for name, value in row.items() if name not in types} for row in rows]
        found = {field.name: field.type for field in pyarrow.Table.from_pylist(untyped).schema}
        text = {name: pyarrow.string() if pyarrow.types.is_null(kind) else kind for name, kind in found.items()}
        return pyarrow.schema([(name, types.get(name) or text[name]) for name in rows[0]])

    def write(rows: Sequence[Row], like: Row | None = None) -> None:
        nonlocal writer, n_rows
        rows = [{name: _readable(value) for name, value in row.items()} for row in rows]
        first = rows or ([like] if like else [])
        if not first:
            return
        try:
            writer = writer or parquet.ParquetWriter(path, schema_of(first))
            if unknown := next((row for row in rows if row.keys() - set(writer.schema.names)), None):
                raise DataError(_other_columns(n_rows + rows.index(unknown) + 1, unknown, writer.schema.names))
            n_rows += len(rows)
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=writer.schema))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise DataError(f"a column changes its type, which Parquet doesn't allow: {error}. Write .jsonl.") from None

    try:
        yield write
        if writer is None:
            parquet.write_table(pyarrow.table({}), path)
    finally:
        if writer is not None:
            writer.close()
