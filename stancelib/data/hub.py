"""Any data set of the Hugging Face hub, by name and revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stancelib.data.records import Columns, Rows, build_corpus
from stancelib.data.tables import table_rows
from stancelib.errors import ConfigError, DataError, nearest, require
from stancelib.schema import Corpus, Finding


def hub(
    *,
    name: str,
    config: str | None = None,
    revision: str | None = None,
    splits: Mapping[str, str] | None = None,
    columns: Columns = Columns(),  # noqa: B008
    labels: Sequence[str] | None = None,
    label_map: Mapping[str, str | None] | None = None,
    further_labels: Sequence[str] | None = None,
) -> Corpus:
    """A corpus from the hub, or from the local cache of an earlier download.

    Args:
        name: Name of the data set, such as ``owner/name``.
        config: Its configuration, where it has several.
        revision: Commit, tag or branch; a commit makes runs repeatable.
        splits: The hub's split by ours, such as ``{validation: validation_matched}``; None takes all as they are.
        columns: Which column holds what.
        labels: The label set, in the order of the ids; None takes the labels that occur, sorted.
        label_map: New label by the data set's own; None as the new label leaves the rows out.
        further_labels: Labels that families which can learn to tell from ``labels``, and never answer; None for none.

    Raises:
        ConfigError: If a split or column does not exist.
        DataError: If the data set can't be loaded.
    """
    tables = _load(name, config, revision)
    source = f"hub:{name}" + (f"/{config}" if config else "") + (f"@{revision}" if revision else "")
    wanted = dict(splits or {split: split for split in tables})
    for theirs in wanted.values():
        if theirs not in tables:
            raise ConfigError(
                f"'{source}' has no split '{theirs}'; it has {', '.join(tables)}{nearest(theirs, tables)}"
            )
    rows: dict[str, Rows] = {ours: table_rows(tables[theirs], f"{source} {theirs}") for ours, theirs in wanted.items()}
    corpus = build_corpus(
        rows,
        name=name.rpartition("/")[2],
        source=source,
        columns=columns,
        labels=labels,
        label_map=label_map,
        further_labels=further_labels or (),
    )
    if revision is None:
        message = f"'{source}' has no revision, so its content may change: set data.revision to a commit."
        corpus = replace(corpus, findings=(*corpus.findings, Finding("warning", "no-revision", message, 0)))
    return corpus


def _load(name: str, config: str | None, revision: str | None) -> Mapping[str, Any]:
    datasets = require("datasets", "train")
    try:
        tables: Mapping[str, Any] = datasets.load_dataset(name, config, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise DataError(
            f"the hub's data set '{name}' can't be loaded: {reason}. Check its name, config and revision. Without "
            "a network only what was downloaded before is found (HF_HUB_OFFLINE=1); data=files reads local files."
        ) from error
    return tables
