"""Your own files: CSV, TSV, JSON lines, JSON, Parquet, or a folder that ``datasets`` saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stancelib.data.records import Columns, Rows, build_corpus
from stancelib.data.rows import format_of, read_rows, require_file
from stancelib.data.tables import table_rows
from stancelib.errors import ConfigError, DataError, nearest, require
from stancelib.schema import SPLITS, TRAIN, Corpus


def files(
    *,
    path: str | Mapping[str, str | None],
    columns: Columns = Columns(),  # noqa: B008
    labels: Sequence[str] | None = None,
    label_map: Mapping[str, str | None] | None = None,
    name: str | None = None,
    encoding: str = "utf-8",
    further_labels: Sequence[str] | None = None,
) -> Corpus:
    """A corpus from files of your own.

    CSV, TSV and JSON are parsed row by row, so that a damaged row is named; Parquet and saved folders
    are read by ``datasets``.

    Args:
        path: One file or saved folder, or one by split name. A single file is all ``train`` unless ``columns.split``
            names the column that tells the splits apart.
        columns: Which column holds what.
        labels: The label set, in the order of the ids; None takes the labels that occur, sorted.
        label_map: New label by the files' own; None as the new label leaves the rows out.
        name: Name of the corpus; None takes the file's, and with several files that of their folder.
        encoding: Of text files.
        further_labels: Labels that families which can learn to tell from ``labels``, and never answer; None for none.

    Raises:
        ConfigError: If a column, a format or an encoding does not exist.
        DataError: If a file is missing, empty or damaged.
    """
    by_split = {TRAIN: path} if isinstance(path, str | Path) else path
    paths = {split: Path(one).expanduser() for split, one in by_split.items() if one is not None}
    if not paths:
        raise ConfigError("data.path is empty; give one file, or one by split: {train: a.csv, test: b.csv}.")
    for split in paths:
        if split not in SPLITS and (hint := nearest(split, SPLITS)) != ".":  # other names are kept, and not used
            raise ConfigError(f"data.path names the split '{split}'; the splits are {', '.join(SPLITS)}{hint}")
    if columns.split is not None and len(paths) > 1:
        raise ConfigError("columns.split tells the splits of one file apart; with one file each set it to null.")
    sources: dict[str, Rows] = {}
    for split, one in paths.items():
        sources |= _saved(one, split) if one.is_dir() else {split: _file_rows(one, encoding)}
    first = next(iter(paths.values()))
    return build_corpus(
        sources,
        name=name or (first.stem if len(paths) == 1 else first.resolve().parent.name),
        source=", ".join(map(str, paths.values())),
        columns=columns,
        labels=labels,
        label_map=label_map,
        further_labels=further_labels or (),
    )


def _file_rows(path: Path, encoding: str) -> Iterator[Any]:
    kind = format_of(path)
    require_file(path)
    if path.stat().st_size == 0:
        raise DataError(f"'{path}' is empty.")
    if kind != "parquet":
        return read_rows(path, kind, encoding=encoding)
    datasets = require("datasets", "train")
    next(read_rows(path, kind), None)  # names what is wrong with a damaged file, which datasets doesn't
    return table_rows(datasets.load_dataset("parquet", data_files=str(path), split=TRAIN, streaming=True), str(path))


def _saved(folder: Path, split: str) -> dict[str, Rows]:
    datasets = require("datasets", "train")
    try:
        saved = datasets.load_from_disk(str(folder))
    except FileNotFoundError:
        raise DataError(
            f"'{folder}' is a folder, but not one that datasets' save_to_disk wrote: name the file in it, "
            "or one file by split."
        ) from None
    if not isinstance(saved, datasets.DatasetDict):
        return {split: table_rows(saved, str(folder))}
    return {name: table_rows(table, f"{folder}/{name}") for name, table in saved.items()}
