"""Rows of a ``datasets`` table, with class ids turned back into names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stancelib.errors import require
from stancelib.schema import Place


def table_rows(table: Any, source: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows of a ``datasets.Dataset`` or ``IterableDataset``.

    Args:
        table: The table.
        source: What messages call it.
    """
    class_label = require("datasets", "train").ClassLabel
    features = table.features or {}
    names = {column: feature.names for column, feature in features.items() if isinstance(feature, class_label)}
    for row, record in enumerate(table, start=1):
        for column, of_id in names.items():
            value = record[column]
            record[column] = of_id[value] if value is not None and 0 <= value < len(of_id) else None
        yield Place(source, row), record
