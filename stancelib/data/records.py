"""Records of any source become a Corpus: columns are named, labels mapped, and every row is checked.

Rows that can't be used are left out and counted, so that one reading reports all that is wrong with a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stancelib.data.further import check_further, set_aside
from stancelib.data.labelling import LabelMap, resolve_labels
from stancelib.data.parts import Part, Tally
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.labels import LabelSet
from stancelib.schema import SPLITS, TEST, TRAIN, VALIDATION, Corpus, Finding, Place, Statements
from stancelib.texts import is_cut, text_or_none

Rows = Iterable[tuple[Place, Mapping[str, Any]]]

SPLIT_NAMES = {name: name for name in SPLITS} | {
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "dev": VALIDATION,
    "development": VALIDATION,
    "testing": TEST,
}
ROLES = ("id", "text", "target", "label")  # names that ``Statements.column`` keeps for itself
_BROKEN_TEXT = re.compile("\ufffd|Ã[\u0080-\u00bf]|â€")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column of the source holds what; all others are kept under their own names.

    One that is called like a role and doesn't play it, such as ``text`` beside ``text="remark"``, is kept as
    ``data.text``.

    Args:
        text: What was said.
        target: What it is judged towards; None where the data has no targets.
        label: The stance.
        id: Unique names of the rows; row numbers where there is no such column, or None.
        split: Names the split of each row; None where files or the source's own splits say it.
    """

    text: str = "text"
    target: str | None = "target"
    label: str = "label"
    id: str | None = "id"
    split: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Column names by role, without the roles that are None."""
        roles = {"text": self.text, "target": self.target, "label": self.label, "id": self.id, "split": self.split}
        return {role: name for role, name in roles.items() if name is not None}


def build_corpus(
    rows: Mapping[str, Rows],
    *,
    name: str,
    source: str,
    columns: Columns,
    labels: Sequence[str] | None = None,
    label_map: Mapping[Any, Any] | None = None,
    further_labels: Sequence[str] = (),
) -> Corpus:
    """A corpus from records, with a finding for everything wrong in them.

    Args:
        rows: Records with their places, by split name.
        name: Name of the corpus.
        source: Where the records came from.
        columns: Which column holds what.
        labels: The label set in order; None takes the labels that occur, sorted.
        label_map: New name by label of the source; None as the new name leaves the rows out.
        further_labels: Labels that are none of the corpus and learned beside it, see ``set_aside``.

    Raises:
        ConfigError: If a column that ``columns`` names is in no row, or labels are malformed.
        DataError: If there are no rows, or fewer than two labels.
    """
    further, labels = check_further(further_labels, labels)
    reading = _Reading(columns)
    for split, records in rows.items():
        reading.read(SPLIT_NAMES.get(split.casefold(), split), records)
    reading.require_columns(source)
    reading.require_usable_rows()
    mapping = LabelMap.of(label_map, labels)
    label_set, findings = resolve_labels(reading.splits, mapping, labels, source, columns.label)
    reading.fill_ids()
    splits = {split: _statements(part, reading.further, label_set) for split, part in reading.splits.items()}
    corpus = Corpus(
        name=name,
        labels=label_set,
        splits=splits,
        source=source,
        findings=(*reading.findings(), *findings, *_duplicate_ids(splits, columns)),
    )
    return set_aside(corpus, further) if further else corpus


class _Reading:
    """Goes through the records once."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.splits: dict[str, Part] = {}
        self.names: dict[str, None] = {}
        self.n_rows = 0
        self.no_text, self.no_split, self.broken, self.cut = Tally(), Tally(), Tally(), Tally()

    def read(self, split: str, records: Rows) -> None:
        """Take one source of rows in; ``columns.split``, where given, decides instead of ``split``."""
        by_column = self.columns.split
        part = self.splits.setdefault(split, Part()) if by_column is None else Part()
        for place, record in records:
            self.n_rows += 1
            if record.keys() != self.names.keys():
                self.names.update(dict.fromkeys(record))
            if by_column is not None:
                named = SPLIT_NAMES.get(str(record.get(by_column, "")).strip().casefold())
                if named is None:
                    self.no_split.add(place)
                    continue
                part = self.splits.setdefault(named, Part())
            self._add(part, place, record)
        self.splits = {name: self.splits[name] for name in sorted(self.splits, key=_split_order)}

    def _add(self, part: Part, place: Place, record: Mapping[str, Any]) -> None:
        columns = self.columns
        text = record.get(columns.text)
        if not isinstance(text, str) or not text.strip():
            self.no_text.add(place)
            return
        target = None if columns.target is None else text_or_none(record.get(columns.target))
        name = None if columns.id is None else text_or_none(record.get(columns.id))
        if any(isinstance(value, str) and is_cut(value) for value in (text, target, name, record.get(columns.label))):
            self.cut.add(place)
            return
        if _BROKEN_TEXT.search(text):
            self.broken.add(place)
        part.texts.append(text)
        part.targets.append(target)
        part.labels.append(record.get(columns.label))
        part.ids.append(name)
        part.places.append(place)
        part.records.append(record)

    @property
    def further(self) -> dict[str, str]:
        """The columns that have no role: their names in the source, by the name they are kept under."""
        found: dict[str, str] = {}
        for name in (name for name in self.names if name not in self.columns.named.values()):
            kept = name
            while kept in ROLES or (kept != name and kept in self.names):
                kept = f"data.{kept}"
            found[kept] = name
        return found

    def require_columns(self, source: str) -> None:
        """Refuse data that lacks a column which ``columns`` names."""
        if not self.n_rows:
            raise DataError(f"'{source}' has no rows.")
        for role, name in self.columns.named.items():
            if name in self.names or (role == "id" and name == "id"):
                continue
            hint = (
                nearest(name, self.names).removesuffix(".") or f"; set columns.{role} to the name of the {role} column."
            )
            if len(self.names) == 1 and "|" in next(iter(self.names)):
                hint = "; the fields seem to be separated by bars: separate them by commas, semicolons or tabs."
            elif role == "target":
                hint += " Set data.columns.target=null where the statements have no target."
            raise ConfigError(f"'{source}' has no column '{name}'; its columns are {', '.join(self.names)}{hint}")

    def require_usable_rows(self) -> None:
        """Refuse data of which no row can be used."""
        if not any(part.texts for part in self.splits.values()):
            raise DataError("\n".join(finding.message for finding in self.findings() if finding.severity == "error"))

    def fill_ids(self) -> None:
        """Number the rows that have no id; a number that is the id of another row gets a prime."""
        taken = {name for part in self.splits.values() for name in part.ids if name is not None}
        for split, part in self.splits.items():
            prefix = f"{split}-" if len(self.splits) > 1 else ""
            for row, place in enumerate(part.places):
                if part.ids[row] is None:
                    name = f"{prefix}{place.row}"
                    while name in taken:
                        name += "'"
                    taken.add(name)
                    part.ids[row] = name

    def findings(self) -> list[Finding]:
        """What the rows themselves showed."""
        columns = self.columns
        return [
            *self.no_text.error(
                "missing-text", f"with no text in column '{columns.text}' {{first}}: fill it in or remove them."
            ),
            *self.cut.error(
                "cut-text",
                "with half of a character, as if cut in the middle of an emoji, {first}: remove it, and cut texts by "
                "characters.",
            ),
            *self.no_split.error(
                "unknown-split",
                f"with no known split in column '{columns.split}' {{first}}; the splits are {', '.join(SPLITS)}.",
            ),
            *self.broken.warning(
                "broken-text",
                "hold characters that a wrong encoding leaves behind {first}: save the file as UTF-8, or set encoding.",
            ),
        ]


def _split_order(name: str) -> tuple[int, str]:
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def _duplicate_ids(splits: Mapping[str, Statements], columns: Columns) -> list[Finding]:
    seen: set[str] = set()
    tally = Tally()
    for part in splits.values():
        for row, name in enumerate(part.ids):
            if name in seen:
                tally.add(part.place(row))
            seen.add(name)
    return tally.error(
        "duplicate-id",
        f"repeat an id of column '{columns.id}' {{first}}: make ids unique, or set columns.id to null.",
    )


def _statements(part: Part, further: Mapping[str, str], labels: LabelSet) -> Statements:
    return Statements(
        texts=part.texts,
        targets=part.targets,
        labels=labels,
        label_ids=labels.encode(part.labels),
        ids=[name or "" for name in part.ids],
        columns={kept: [record.get(name) for record in part.records] for kept, name in further.items()},
        places=part.places,
    )
