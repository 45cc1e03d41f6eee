"""Rows of a file, one at a time: read with their places, written as they come, in constant memory.

CSV and TSV fields stay text: nothing is guessed to be a number, a date or missing. A CSV may have semicolons or tabs in
the place of commas, as spreadsheets write it in many countries.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

from stancelib.errors import ConfigError, DataError, nearest, require
from stancelib.schema import Place

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")
STANDARD, PIPED = "-", "standard input"
_BATCH = 4096


def format_of(path: str | Path, format: str | None = None) -> str:
    """The format of a file: the one given, or the one its name ends in; JSON lines for standard input and output.

    Raises:
        ConfigError: If it is none of ``FORMATS``.
    """
    if format is None and str(path) == STANDARD:
        return "jsonl"
    name = (format or Path(path).suffix.lstrip(".")).casefold()
    name = {"ndjson": "jsonl", "pq": "parquet", "tab": "tsv"}.get(name, name)
    if name not in FORMATS:
        raise ConfigError(f"'{path}' has no known format; the formats are {', '.join(FORMATS)}{nearest(name, FORMATS)}")
    return name


def read_rows(
    path: str | Path, format: str | None = None, *, encoding: str = "utf-8", header: list[str] | None = None
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows of a file or of standard input, each with its place.

    A row of JSON lines is counted by its line; a CSV header is no row.

    Args:
        path: A file, or ``-`` for standard input.
        format: One of ``FORMATS``; None takes it from the file's name.
        encoding: Of text formats; a byte order mark is skipped.
        header: Filled, before the first row is read, with the columns that CSV, TSV and Parquet name without any row.

    Raises:
        ConfigError: If there is no such format or encoding.
        DataError: If the file is missing or damaged; the message names the row.
    """
    kind, header = format_of(path, format), [] if header is None else header
    try:
        "".encode(encoding)
    except LookupError:
        raise ConfigError(f"there is no encoding {encoding!r}; common ones are utf-8, cp1252 and utf-16.") from None
    if str(path) == STANDARD:
        if kind == "parquet":
            raise ConfigError("Parquet can't be read from standard input: give a file, or pipe JSON lines.")
        return _parse(sys.stdin.buffer, PIPED, kind, encoding, header)
    require_file(Path(path))
    return _parquet(Path(path), header) if kind == "parquet" else _parse_file(Path(path), kind, encoding, header)


def column_types(path: str | Path, format: str | None = None) -> dict[str, Any]:
    """The Arrow types of a Parquet file's columns by name; none for other formats.

    Raises:
        ConfigError: If there is no such format.
        DataError: If the file is missing or damaged.
    """
    if format_of(path, format) != "parquet" or str(path) == STANDARD:
        return {}
    require_file(Path(path))
    with _parquet_file(Path(path)) as file:
        return {field.name: field.type for field in file.schema_arrow}


def require_file(path: Path) -> None:
    """Refuse a path that is no file, and suggest the nearest one.

    Raises:
        DataError: If it is missing or a folder.
    """
    if path.is_dir():
        raise DataError(f"'{path}' is a folder, and a file is needed.")
    if not path.exists():
        near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise DataError(f"there is no file '{path}'{near or '.'}")


def _parse_file(path: Path, kind: str, encoding: str, header: list[str]) -> Iterator[tuple[Place, dict[str, Any]]]:
    with path.open("rb") as stream:
        yield from _parse(stream, str(path), kind, encoding, header)


def _parse(
    stream: IO[bytes], name: str, kind: str, encoding: str, header: list[str]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    if kind == "json":
        return _json(stream, name, encoding)
    lines = _lines(stream, name, encoding)
    if kind == "jsonl":
        return _json_lines(lines, name)
    first = next(lines, "")
    separator = "\t" if kind == "tsv" else _separator(first)
    return _delimited(chain([first] if first else [], lines), name, separator, header)


def _separator(header: str) -> str:
    """What stands between the fields of a CSV: where its header has no comma, maybe what spreadsheets write instead."""
    return next((one for one in (",", ";", "\t") if one in header), ",")


def _lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """Decoded lines with their ends; decoding line by line tells where it fails."""
    codec = codecs.lookup(encoding).name
    if codec.startswith(("utf-16", "utf-32")):
        raw: Iterator[Any] = iter(io.TextIOWrapper(stream, encoding=encoding, newline=""))
    else:
        raw = iter(stream)
    n_lines = 0
    try:
        for line in raw:
            n_lines += 1
            text = line if isinstance(line, str) else line.decode(encoding)
            yield text.removeprefix("\ufeff") if n_lines == 1 else text
    except UnicodeError as error:
        raise DataError(_encoding_message(name, n_lines, encoding, error)) from None


def _encoding_message(name: str, line: int, encoding: str, error: UnicodeError) -> str:
    byte = f" (byte 0x{error.object[error.start]:02x})" if isinstance(error, UnicodeDecodeError) else ""
    way = "save it as UTF-8, or set encoding (Excel often writes cp1252)"
    if isinstance(error, UnicodeDecodeError) and error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        way = "set encoding to utf-16"
    if codecs.lookup(encoding).name != "utf-8":
        way = "set encoding to the one that it was saved in, usually utf-8"
    return f"{name} line {max(line, 1)} is not {encoding}{byte}: {way}."


def _json_lines(lines: Iterator[str], name: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    decode = json.JSONDecoder().raw_decode  # half the time of json.loads
    for row, line in enumerate(lines, start=1):
        try:
            record, end = decode(line)
            if line[end:].strip():
                raise json.JSONDecodeError("Extra data", line, end)
        except (ValueError, RecursionError) as error:
            if not line.strip():
                continue
            if line[0].isspace():
                record = _indented(line, name, row)
            else:
                hint = " It is read as JSON lines; for another format add --format csv." * (row == 1 and name == PIPED)
                raise DataError(_not_json(f"{name} row {row}", error) + hint) from None
        if type(record) is not dict:
            raise DataError(_not_an_object(name, row, record))
        yield Place(name, row), record


def _indented(line: str, name: str, row: int) -> Any:
    """A line that starts with blanks, which ``raw_decode`` doesn't skip."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(_not_json(f"{name} row {row}", error)) from None


def _not_json(what: str, error: Exception, *, is_line: bool = True) -> str:
    if isinstance(error, json.JSONDecodeError):
        at = f"at character {error.pos + 1}" if is_line else f"in line {error.lineno}, column {error.colno}"
        return f"{what} is not JSON: {error.msg} {at}."
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else "a number in it has too many digits"
    return f"{what} can't be read: {reason}."


def _not_an_object(name: str, row: int, value: Any) -> str:
    kind = {list: "a list", str: "a text", int: "a number", float: "a number", type(None): "null"}.get(
        type(value), "a boolean"
    )
    hint = " Name the file .json if it is one list of objects." if isinstance(value, list) else ""
    return f'{name} row {row} is {kind}, and every row must be an object such as {{"text": "…"}}.{hint}'


def _json(stream: IO[bytes], name: str, encoding: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """One list of objects; a ``.json`` file of JSON lines is read as such."""
    text = "".join(_lines(stream, name, encoding))
    if not text.lstrip().startswith("["):
        yield from _json_lines(io.StringIO(text), name)
        return
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(_not_json(name, error, is_line=False)) from None
    for row, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise DataError(_not_an_object(name, row, record))
        yield Place(name, row), record


def _delimited(
    lines: Iterator[str], name: str, delimiter: str, header: list[str]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    csv.field_size_limit(2**31 - 1)  # the module's own limit is 128 KiB a field
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    row = 0
    try:
        header += next(reader, [])
        if not header:
            raise DataError(f"'{name}' is empty: its first line must name the columns.")
        if repeated := [column for column in header if header.count(column) > 1]:
            raise DataError(f"'{name}' has two columns called '{repeated[0]}'.")
        for fields in reader:
            row += 1
            if not fields:
                continue
            if len(fields) != len(header):
                raise DataError(_ragged(name, row, len(fields), header))
            yield Place(name, row), dict(zip(header, fields, strict=True))
    except csv.Error as error:
        way = "Is a double quote left open? A quote inside a quoted field is written twice."
        if "new-line character" in str(error):
            error, way = csv.Error("a line ends in a carriage return alone"), "Save it with LF or CRLF line ends."
        raise DataError(f"{name} row {row + 1} (line {reader.line_num}) can't be read: {error}. {way}") from None


def _ragged(name: str, row: int, n_fields: int, header: list[str]) -> str:
    return (
        f"{name} row {row} has {n_fields} fields, but the header has {len(header)} ({', '.join(header)}): "
        "put text that holds a separator or a line break in double quotes."
    )


def _parquet(path: Path, header: list[str]) -> Iterator[tuple[Place, dict[str, Any]]]:
    with _parquet_file(path) as file:
        header += file.schema_arrow.names
        row = 0
        for batch in file.iter_batches(batch_size=_BATCH):
            for record in batch.to_pylist():
                row += 1
                yield Place(str(path), row), record


@contextmanager
def _parquet_file(path: Path) -> Iterator[Any]:
    parquet = require("pyarrow.parquet", "train")
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except require("pyarrow", "train").ArrowInvalid as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"'{path}' is not a readable Parquet file: {reason}.") from None
