"""The nouns everybody shares: statements in columns, a corpus of splits, predictions, findings.

Columns run in parallel: row ``i`` of every column belongs to statement ``i``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stancelib.errors import DataError, nearest
from stancelib.labels import LabelSet
from stancelib.texts import require_texts, text_or_none

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


class Place(NamedTuple):
    """Where a statement was read: a file name and the row in it, counted from 1 (a CSV header is not a row)."""

    file: str
    row: int

    def __str__(self) -> str:
        return f"{self.file} row {self.row}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a data check found.

    Args:
        severity: ``error`` stops a run, ``warning`` is printed and logged.
        check: Stable name of the check, such as ``unknown-label``.
        message: The whole sentence for the user, with count and first places in it.
        n_rows: How many rows are affected.
        places: The affected rows, at most the first 20.
    """

    severity: Literal["error", "warning"]
    check: str
    message: str
    n_rows: int
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Statements:
    """Statements in columns.

    Columns of any kind (arrays, pandas series, tuples) are kept as lists, in the order in which they iterate.

    Args:
        texts: What was said, n strings.
        targets: What each statement is judged towards; None where it has no target, and nothing where none has one.
        labels: The label set that ``label_ids`` refers to, or None where nothing is labelled.
        label_ids: Label ids, shape (n,), or None where nothing is labelled.
        ids: Unique names of the statements; row numbers where the source has none.
        columns: Every further column of the source by name (group, author, domain …), each of length n.
        places: Where each statement was read, for messages; may be empty.

    Raises:
        DataError: If columns differ in length, a text or target is no string, or the label ids aren't those of labels.
    """

    texts: Sequence[str]
    targets: Sequence[str | None] = ()
    labels: LabelSet | None = None
    label_ids: NDArray[np.int_] | None = None
    ids: Sequence[str] = ()
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    places: Sequence[Place] = ()

    def __post_init__(self) -> None:
        for name in ("texts", "targets", "ids", "places"):
            object.__setattr__(self, name, _listed(getattr(self, name)))
        object.__setattr__(self, "columns", {name: _listed(values) for name, values in self.columns.items()})
        if self.targets == ():  # the default: an empty list for some texts is a mistake
            object.__setattr__(self, "targets", [None] * len(self.texts))
        if not self.ids:
            object.__setattr__(self, "ids", [str(i + 1) for i in range(len(self.texts))])
        sizes = {"targets": len(self.targets), "ids": len(self.ids)} | {k: len(v) for k, v in self.columns.items()}
        if self.label_ids is not None:
            if self.labels is None:
                raise DataError("label_ids are given without the labels that they refer to.")
            object.__setattr__(self, "label_ids", self.labels.checked(self.label_ids))
            sizes["label_ids"] = len(self.label_ids)
        if self.places:
            sizes["places"] = len(self.places)
        for name, size in sizes.items():
            if size != len(self.texts):
                raise DataError(f"column '{name}' has {size} rows, but there are {len(self.texts)} texts.")
        require_texts("statement", self.texts)
        require_texts("target", self.targets, or_none=True)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        labels = f", labels {', '.join(self.labels)}" if self.labels is not None else ""
        return f"<Statements: {len(self):,}, columns {', '.join(self.column_names)}{labels}>"

    def take(self, rows: Sequence[int] | NDArray[np.int_]) -> Statements:
        """The statements at these positions, in this order."""
        rows = [int(row) for row in rows]
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            targets=[self.targets[row] for row in rows],
            label_ids=None if self.label_ids is None else self.label_ids[rows],
            ids=[self.ids[row] for row in rows],
            columns={name: [values[row] for row in rows] for name, values in self.columns.items()},
            places=[self.places[row] for row in rows] if self.places else (),
        )

    def with_labels(self, labels: LabelSet) -> Statements:
        """The statements with their label ids in the order of these labels; unlabelled ones as they are.

        Raises:
            DataError: If one has a label that isn't among them.
        """
        if self.label_ids is None or self.labels is None or self.labels.names == labels.names:
            return self
        if unknown := [name for name in self.labels.decode(sorted(set(self.gold.tolist()))) if name not in labels]:
            raise DataError(
                f"the statements have the label '{unknown[0]}', which is none of {', '.join(labels)}"
                f"{nearest(unknown[0], labels)} Leave these statements or their labels out."
            )
        return replace(self, labels=labels, label_ids=labels.encode(self.labels.decode(self.gold)))

    def place(self, row: int) -> Place:
        """Where row ``row`` (counted from 0) was read."""
        return self.places[row] if self.places else Place("statements", row + 1)

    def column(self, name: str) -> Sequence[Any]:
        """Any column by name: ``text``, ``target``, ``label``, ``id`` or one of ``columns``.

        Raises:
            DataError: If there is no such column; the message lists the ones there are.
        """
        if name == "text":
            return self.texts
        if name == "target":
            return self.targets
        if name == "id":
            return self.ids
        if name == "label" and self.labels is not None and self.label_ids is not None:
            return self.labels.decode(self.label_ids)
        if name in self.columns:
            return self.columns[name]
        raise DataError(f"there is no column '{name}'; the columns are {', '.join(self.column_names)}.")

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names that ``column`` knows."""
        own = ("id", "text", "target") + (("label",) if self.label_ids is not None else ())
        return own + tuple(name for name in self.columns if name not in own)

    @property
    def groups(self) -> Sequence[str | None]:
        """The column ``group`` as text; None where it is missing or blank, and everywhere without such a column."""
        return [text_or_none(value) for value in self.columns.get("group", [None] * len(self))]

    @property
    def gold(self) -> NDArray[np.int_]:
        """Label ids, shape (n,).

        Raises:
            DataError: If the statements carry no labels.
        """
        if self.label_ids is None:
            raise DataError("these statements carry no labels, and this step needs them.")
        return self.label_ids

    @property
    def digest(self) -> str:
        """SHA-256 over id, text, target and label of every row, in order (64 hex digits)."""
        names = None if self.label_ids is None else self.column("label")
        rows = hashlib.sha256()
        for i, (text, target) in enumerate(zip(self.texts, self.targets, strict=True)):
            row = [self.ids[i], text, target, None if names is None else names[i]]
            rows.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        return rows.hexdigest()

    @classmethod
    def concatenate(cls, parts: Sequence[Statements]) -> Statements:
        """All statements of the parts, in order; a column that one part lacks is None there.

        Raises:
            DataError: If there is no part, or some are labelled and others not.
        """
        import numpy as np

        if not parts:
            raise DataError("there is nothing to concatenate.")
        if len({part.label_ids is None for part in parts}) > 1:
            raise DataError("labelled and unlabelled statements can't be joined.")
        names = list(dict.fromkeys(name for part in parts for name in part.columns))
        return cls(
            texts=[text for part in parts for text in part.texts],
            targets=[target for part in parts for target in part.targets],
            labels=parts[0].labels,
            label_ids=None if parts[0].label_ids is None else np.concatenate([part.gold for part in parts]),
            ids=[name for part in parts for name in part.ids],
            columns={n: [v for part in parts for v in part.columns.get(n, [None] * len(part))] for n in names},
            places=[part.place(row) for part in parts for row in range(len(part))],
        )


def _listed(values: Iterable[Any]) -> Sequence[Any]:
    """A column by position; a pandas series would be asked by its index."""
    return values if isinstance(values, list | tuple) else list(values)


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """Labelled statements of another task, learned beside the main one and not reported on.

    Args:
        name: Name of its corpus.
        statements: The training statements, with labels of their own.
        weight: Weight of its loss, above 0; a statement of the main corpus has weight 1.
        further: They are statements of the main corpus with further labels, which stand behind the main ones in their
            label set: one head tells all of them apart, and a prediction is of the main ones.
    """

    name: str
    statements: Statements
    weight: float = 1.0
    further: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Corpus:
    """A data set: labelled statements in named splits.

    Args:
        name: Short name, such as ``statements``.
        labels: The label set of all splits.
        splits: Statements by split name, with these labels; usually train, validation and test.
        source: Where it came from: a path, a hub name with revision.
        protocol: How the splits were made, such as ``given`` or ``leave_out(domain)``.
        findings: What reading it already found (row-level checks); the rest comes from ``check_corpus``.
        auxiliary: Statements of other tasks to learn beside this one.

    Raises:
        DataError: If a split has other labels, or the same in another order.
    """

    name: str
    labels: LabelSet
    splits: Mapping[str, Statements]
    source: str = ""
    protocol: str = "given"
    findings: tuple[Finding, ...] = ()
    auxiliary: tuple[Auxiliary, ...] = ()

    def __post_init__(self) -> None:
        for name, statements in self.splits.items():
            if statements.labels is not None and statements.labels.names != self.labels.names:
                raise DataError(
                    f"split '{name}' has the labels {', '.join(statements.labels)}, and the corpus '{self.name}' "
                    f"{', '.join(self.labels)}: give all splits the same ones in the same order (`with_labels`)."
                )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(statements):,}" for name, statements in self.splits.items())
        return f"<Corpus {self.name}: {sizes}; labels {', '.join(self.labels)}>"

    def split(self, name: str) -> Statements:
        """One split.

        Raises:
            DataError: If the corpus has no such split.
        """
        if name not in self.splits:
            raise DataError(f"corpus '{self.name}' has no split '{name}'; it has {', '.join(self.splits)}.")
        return self.splits[name]

    @property
    def digest(self) -> str:
        """SHA-256 over labels, split names and split digests: changes with any row and any split (64 hex digits)."""
        parts = [[name, statements.digest] for name, statements in sorted(self.splits.items())]
        parts += [[task.name, task.statements.digest] for task in self.auxiliary]
        return hashlib.sha256(json.dumps([list(self.labels), parts]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, repr=False)
class Predictions:
    """What a model said about labelled or unlabelled statements.

    Args:
        statements: What was judged, n of them; labelled ones get their label ids in the order of ``labels``.
        labels: The label set of the columns of ``probabilities``.
        probabilities: Label probabilities, shape (n, n_labels); rows sum to 1.
        chosen: Label ids that a decision rule chose, shape (n,); None takes the most probable ones.
        sets: Which labels each prediction set holds, shape (n, n_labels), or None where there are no sets.
        abstained: Where the model gives no answer, shape (n,), or None where it always gives one.

    Raises:
        DataError: If a statement has a label that isn't among these.
    """

    statements: Statements
    labels: LabelSet
    probabilities: NDArray[np.float64]
    chosen: NDArray[np.int_] | None = None
    sets: NDArray[np.bool_] | None = None
    abstained: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "statements", self.statements.with_labels(self.labels))

    def __repr__(self) -> str:
        return f"<Predictions: {len(self.statements):,} statements, labels {', '.join(self.labels)}>"

    @property
    def label_ids(self) -> NDArray[np.int_]:
        """The label of each statement, shape (n,)."""
        if self.chosen is not None:
            return self.chosen
        most_probable: NDArray[np.int_] = self.probabilities.argmax(axis=1)
        return most_probable

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of each statement's label, shape (n,), in [0, 1]."""
        import numpy as np

        own: NDArray[np.float64] = self.probabilities[np.arange(len(self.probabilities)), self.label_ids]
        return own


Judge = Callable[[Statements], Predictions]
"""A trained model as evaluation sees it: statements in, predictions out."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit has come: one per evaluation or unit of work.

    Args:
        step: Units done so far.
        n_steps: Units in all.
        metrics: What was measured at this step, by name such as ``train/loss``.
    """

    step: int
    n_steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)
