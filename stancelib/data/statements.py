"""The statements corpus: English statements towards a proposal, shipped with the library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stancelib.data.records import Columns, build_corpus
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.schema import SPLITS, Corpus, Place

CORE = ("conditional-accept", "reject", "propose")
FULL = (*CORE, "accept", "none")
TRANCHES = ("tricky", "natural")


def folder() -> Path:
    """Where the corpus lies: inside the installed package, or in the checkout around it.

    Raises:
        DataError: If it is in neither.
    """
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "corpus" / "statements", package.parent / "data" / "statements"):
        if candidate.is_dir():
            return candidate
    raise DataError(
        "the statements corpus is missing from this installation. Run: pip install --force-reinstall stancelib"
    )


def statements(
    *, labels: Sequence[str] = CORE, tranche: str | None = None, further_labels: Sequence[str] | None = None
) -> Corpus:
    """The statements corpus in its own splits, which share no ``group``.

    Args:
        labels: Labels to keep, in the order of their ids.
        tranche: ``tricky`` (written against cue words) or ``natural``; None takes both.
        further_labels: Labels that families which can learn to tell from ``labels``, and never answer; None takes all
            others, an empty list none.

    Raises:
        ConfigError: If a label or the tranche does not exist.
    """
    labels = tuple(labels)
    further = tuple(name for name in FULL if name not in labels) if further_labels is None else tuple(further_labels)
    for label in (*labels, *further):
        if label not in FULL:
            raise ConfigError(
                f"the statements corpus has no label {label!r}; its labels are {', '.join(FULL)}"
                f"{nearest(str(label), FULL)}"
            )
    if tranche is not None and tranche not in TRANCHES:
        raise ConfigError(
            f"tranche must be one of {', '.join(TRANCHES)} or null, got {tranche!r}{nearest(tranche, TRANCHES)}"
        )
    root = folder()
    return build_corpus(
        {split: _rows(root / f"{split}.jsonl", (*labels, *further), tranche) for split in SPLITS},
        name="statements_full" if set(labels) == set(FULL) else "statements",
        source=f"stancelib/{root.parent.name}/statements",
        columns=Columns(),
        labels=labels,
        further_labels=further,
    )


def _rows(path: Path, labels: Sequence[str], tranche: str | None) -> Iterator[tuple[Place, dict[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for row, line in enumerate(lines, start=1):
            record = json.loads(line)
            if record["label"] in labels and tranche in (None, record["tranche"]):
                yield Place(path.name, row), record
