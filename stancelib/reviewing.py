"""The way from a model's doubts to better labels: a queue for people to look through, and their answers taken back.

Every change that comes back is on record: who, when, from which row of which file, from which label to which.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.data.rows import read_rows
from stancelib.data.writing import write_rows
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.evaluation.label_noise import LabelNoise
from stancelib.schema import Corpus, Place, Predictions, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNCERTAIN, MISLABELLED, DIFFERENT = REASONS = ("uncertain", "mislabelled", "different")
COLUMNS = (
    *("id", "text", "target", "label", "predicted", "confidence", "reason", "corrected_label", "comment"),
    *("split", "file", "row", "text_hash"),
)
_NEEDED = ("id", "text", "target", "label", "corrected_label", "text_hash")
_FORMULA = tuple("=+-@")
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Change:
    """One label that a reviewer confirmed or corrected.

    Args:
        id: Of the statement.
        split: Where the statement is.
        old: Label before.
        new: Label after; the same where the reviewer confirmed it.
        reviewer: Who decided.
        time: When it was taken back, ISO 8601 in UTC.
        file: The file it came in.
        file_digest: SHA-256 of that file.
        row: The row in it.
        reason: Why the statement was in the queue.
        comment: What the reviewer noted.
    """

    id: str
    split: str
    old: str
    new: str
    reviewer: str
    time: str
    file: str
    file_digest: str
    row: int
    reason: str
    comment: str


@dataclass(frozen=True, slots=True)
class Review:
    """The corpus with the corrected labels, and a change per reviewed statement, in the order of the file."""

    corpus: Corpus
    changes: tuple[Change, ...]

    @property
    def n_corrected(self) -> int:
        """Statements whose label differs from before."""
        return sum(change.old != change.new for change in self.changes)

    def columns(self) -> dict[str, list[object]]:
        """The record as a table, one row per change."""
        rows = [astuple(change) for change in self.changes]
        return {field.name: [row[i] for row in rows] for i, field in enumerate(fields(Change))}


def review_queue(
    predictions: Predictions,
    *,
    noise: LabelNoise | None = None,
    n_each: int = 50,
    reasons: Sequence[str] | None = None,
    split: str = "",
) -> list[dict[str, Any]]:
    """The statements that are most worth a look, for several reasons in turn.

    *uncertain*: the two most probable labels are closest to each other. *mislabelled*: first in the ranking by
    ``label_noise``. *different*: farthest-first, each one as unlike those before as there is, by the TF-IDF of its
    words; the first is the most typical one. A statement with several reasons takes one row.

    Args:
        predictions: Of labelled or unlabelled statements.
        noise: What ``label_noise`` found in the same statements; needed for ``mislabelled``.
        n_each: Statements per reason.
        reasons: Which of ``REASONS``; None takes all that there is something for.
        split: Name of the split, noted so that answers find their way back.

    Returns:
        One mapping per statement with the keys ``COLUMNS``, for ``write_queue``.

    Raises:
        ConfigError: If there is no such reason, or ``mislabelled`` is asked for without ``noise``.
        DataError: If ``noise`` is about other statements.

    References:
        Settles (2009), Active Learning Literature Survey; Gonzalez (1985), Clustering to Minimize the Maximum
        Intercluster Distance, on farthest-first.
    """
    reasons = reasons or [reason for reason in REASONS if noise is not None or reason != MISLABELLED]
    if unknown := [reason for reason in reasons if reason not in REASONS]:
        hint = nearest(unknown[0], REASONS)
        raise ConfigError(f"review: reasons must be of {', '.join(REASONS)}, got {unknown[0]!r}{hint}")
    rankings = {reason: _ranking(reason, predictions, noise, n_each)[:n_each].tolist() for reason in reasons}
    found: dict[int, list[str]] = {}
    for rows in zip_longest(*rankings.values()):
        for reason, row in zip(rankings, rows, strict=True):
            if row is not None:
                found.setdefault(row, []).append(reason)
    return [_queue_row(predictions, row, "; ".join(why), split) for row, why in found.items()]


def write_queue(path: str | Path, queue: Sequence[Mapping[str, Any]]) -> None:
    """Write a queue as CSV (or TSV, by the file's name).

    Texts that a spreadsheet would take for a formula get an apostrophe in front, which ``take_back`` removes.

    Raises:
        DataError: If there is nothing to write, or no folder for it.
    """
    if not queue:
        raise DataError("the review queue is empty: there is nothing to write.")
    with write_rows(path) as write:
        write([{**row, "text": _guarded(row["text"]), "target": _guarded(row["target"])} for row in queue])


def take_back(
    corpus: Corpus, path: str | Path, *, reviewer: str, encoding: str = "utf-8", time: str | None = None
) -> Review:
    """The corpus with the labels that a reviewer corrected.

    Rows without a ``corrected_label`` were not reviewed. Taking a file back twice changes nothing more.

    Args:
        corpus: The corpus that the queue was made from.
        path: The file of ``write_queue``, filled in.
        reviewer: Who decided, for the record.
        encoding: Of the file; spreadsheets may write cp1252.
        time: When, for the record; None is now.

    Raises:
        ConfigError: If there is no reviewer.
        DataError: If a row has an unknown id or label, another text or target than the corpus, or was exported with
            another label than the corpus has now; the message names file and row. Nothing is changed then.
    """
    if not reviewer.strip():
        raise ConfigError("review: reviewer is empty; say whose decisions these are, for the record.")
    time = time or datetime.now(UTC).isoformat(timespec="seconds")
    answers, problems = _answers(corpus, path, encoding)
    if problems:
        more = f" {len(problems) - 1} more rows have such problems." if len(problems) > 1 else ""
        raise DataError(problems[0] + more)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    label_ids = {name: statements.gold.copy() for name, statements in corpus.splits.items()}
    changes = []
    for (split, row), (place, answer) in answers.items():
        old, new = _label(corpus, (split, row)), answer["corrected_label"]
        label_ids[split][row] = corpus.labels.id_of(new)
        why = (answer.get("reason") or "", answer.get("comment") or "")
        changes.append(Change(answer["id"], split, old, new, reviewer, time, Path(path).name, digest, place.row, *why))
    review = Review(corpus, tuple(changes))
    if not review.n_corrected:
        return review
    splits = {name: replace(part, label_ids=label_ids[name]) for name, part in corpus.splits.items()}
    source = f"{corpus.source} + review {Path(path).name} ({digest[:12]})".strip()
    return replace(review, corpus=replace(corpus, splits=splits, source=source))


def _ranking(reason: str, predictions: Predictions, noise: LabelNoise | None, n: int) -> NDArray[np.int_]:
    """Rows, the first ``n`` of them in the order of the reason."""
    import numpy as np

    if reason == DIFFERENT:
        return _different(predictions.statements, n)
    if reason == UNCERTAIN:
        ordered_NK = np.sort(predictions.probabilities, axis=1)
        return np.argsort(ordered_NK[:, -1] - ordered_NK[:, -2], kind="stable")
    if noise is None:
        raise ConfigError("review: the reason 'mislabelled' needs the ranking of label_noise.")
    if noise.predictions.statements.digest != predictions.statements.digest:
        raise DataError("review: the label-noise ranking and the predictions are about different statements.")
    return noise.order


def _different(statements: Statements, n: int) -> NDArray[np.int_]:
    """Farthest-first; the rows chosen, in order."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not len(statements):
        return np.zeros(0, dtype=np.int_)
    vectors = TfidfVectorizer(sublinear_tf=True, analyzer=_WORD.findall).fit_transform(statements.texts)
    chosen = [int(np.argmax(vectors @ np.asarray(vectors.mean(axis=0)).ravel()))]
    closest = np.full(len(statements), -1.0)
    for _ in range(min(n, len(statements)) - 1):
        closest = np.maximum(closest, (vectors @ vectors[chosen[-1]].T).toarray().ravel())
        closest[chosen] = np.inf
        chosen.append(int(np.argmin(closest)))
    return np.array(chosen)


def _queue_row(predictions: Predictions, row: int, reason: str, split: str) -> dict[str, Any]:
    statements, place = predictions.statements, predictions.statements.place(row)
    text, target = statements.texts[row], statements.targets[row] or ""
    label = "" if statements.label_ids is None else statements.column("label")[row]
    values = (
        *(statements.ids[row], text, target, label),
        *(predictions.labels.names[predictions.label_ids[row]], f"{predictions.confidence[row]:.4f}"),
        *(reason, "", "", split, place.file, place.row, _hash(text, target)),
    )
    return dict(zip(COLUMNS, values, strict=True))


_At = tuple[str, int]
_Answer = tuple[Place, dict[str, str]]


def _answers(corpus: Corpus, path: str | Path, encoding: str) -> tuple[dict[_At, _Answer], list[str]]:
    """What was filled in, by split and row of the corpus, and a sentence for every row that can't be taken back."""
    where: dict[str, list[_At]] = {}
    for split, statements in corpus.splits.items():
        for row, name in enumerate(statements.ids):
            where.setdefault(name, []).append((split, row))
    answers: dict[_At, _Answer] = {}
    problems: list[str] = []
    for place, answer in read_rows(path, encoding=encoding):
        if missing := [name for name in _NEEDED if name not in answer]:
            raise DataError(f"{path} has no column '{missing[0]}'; it has {', '.join(answer)}.")
        answer["corrected_label"] = str(answer["corrected_label"] or "").strip()
        if not answer["corrected_label"]:
            continue
        found = where.get(answer["id"], [])
        at = [one for one in found if one[0] == answer.get("split")] or found
        if problem := _problem(corpus, at, answer, answers.get(at[0]) if at else None, () if problems else where):
            problems.append(f"{place}: {problem}")
        elif answer["label"] == _label(corpus, at[0]):  # else it was taken back before
            answers[at[0]] = (place, answer)
    return answers, problems


def _problem(
    corpus: Corpus, at: Sequence[_At], answer: Mapping[str, str], earlier: _Answer | None, ids: Collection[str]
) -> str:
    """Why an answer can't be taken back; empty if it can."""
    new, name = answer["corrected_label"], answer["id"]
    if not at:
        return f"corpus '{corpus.name}' has no statement '{name}'{nearest(name, ids)}"
    if len(at) > 1:
        return f"the id '{name}' belongs to {len(at)} statements of corpus '{corpus.name}'; fill in the column 'split'."
    if new not in corpus.labels:
        known = ", ".join(corpus.labels)
        return f"the corrected_label is {new!r}, and the labels are {known}{nearest(new, corpus.labels)}"
    if earlier and earlier[1]["corrected_label"] != new:
        return f"statement '{name}' becomes '{new}', but '{earlier[1]['corrected_label']}' in row {earlier[0].row}."
    statements, row = corpus.splits[at[0][0]], at[0][1]
    if _hash(statements.texts[row], statements.targets[row] or "") != answer["text_hash"]:
        return f"statement '{name}' has another text or target in the corpus than when it was exported; export it anew."
    if _hash(_unguarded(answer["text"]), _unguarded(answer["target"])) != answer["text_hash"]:
        return f"the text or target of '{name}' was edited; only corrected_label and comment can be filled in."
    current = _label(corpus, at[0])
    if current not in (answer["label"], new):
        return f"'{name}' was exported with the label '{answer['label']}', and is '{current}' now; export it anew."
    return ""


def _label(corpus: Corpus, at: _At) -> str:
    return corpus.labels.names[int(corpus.splits[at[0]].gold[at[1]])]


def _hash(text: str, target: str) -> str:
    """Of text and target, whatever the white space, which spreadsheets change (16 hex digits)."""
    return hashlib.sha256("\n".join(" ".join(part.split()) for part in (text, target)).encode()).hexdigest()[:16]


def _guarded(text: str) -> str:
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text
