"""Where a model fails: its score on parts of the statements, with an interval, or the reason why there is none.

A slice with few statements shows luck, so it gets a sentence in place of a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stancelib.errors import DataError, nearest
from stancelib.evaluation.intervals import Interval, clusters_of, intervals
from stancelib.evaluation.metrics import OF_PROBABILITIES
from stancelib.schema import Predictions, Statements
from stancelib.texts import folded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = ("domain", "register", "tranche", "phenomena")
LENGTH, MENTION, NOVELTY = "length", "target in text", "target in training"
MAX_VALUES = 50
_WORD = re.compile(r"\w+")
_STEM = 5
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about after all an and any are as at be been before but by can could do does for from had has have he her "
        "his if in into is it its may more must no not of off on or our out over she should so some than that the "
        "their them there these they this those to until up was we were what when where which who will with would",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRule:
    """When a slice is too small to judge.

    Args:
        min_statements: Statements that it needs.
        min_clusters: Independent clusters that it needs; fewer make a bootstrap interval too short.
        max_width: Widest interval that still says something, in (0, 1].

    Raises:
        ValueError: If a number is out of range.
    """

    min_statements: int = 30
    min_clusters: int = 10
    max_width: float = 0.3

    def __post_init__(self) -> None:
        for name in ("min_statements", "min_clusters"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.max_width <= 1:
            raise ValueError(f"max_width must be above 0 and at most 1, got {self.max_width}.")

    def too_few(self, n_statements: int, n_clusters: int) -> str:
        """Why there are too few to judge; empty if there are enough."""
        if n_statements < self.min_statements:
            return f"too small: {n_statements} of the {self.min_statements} statements needed"
        if n_clusters < self.min_clusters:
            return f"too small: {n_clusters} of the {self.min_clusters} independent clusters needed"
        return ""


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the statements.

    Args:
        kind: What it is a part by: a column, ``length``, ``target in text`` or ``target in training``.
        value: Which part.
        n_statements: Statements in it.
        n_clusters: Independent clusters in it.
        score: ``macro_f1``; ``accuracy`` for every slice of a kind where one lacks a label.
        interval: The score with its ends, or None where the slice is too small to judge.
        reason: Why there is no number; empty where there is one.
    """

    kind: str
    value: str
    n_statements: int
    n_clusters: int
    score: str
    interval: Interval | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Slices:
    """All slices of some predictions.

    Args:
        whole: Scores of all statements together, by name, to compare with.
        slices: By kind, in the order of the kinds; large ones first where their values have no order.
    """

    whole: Mapping[str, Interval]
    slices: tuple[Slice, ...]

    def columns(self) -> dict[str, list[object]]:
        """One row per slice for a table: its support, score and ends, the gap to all statements, or the reason."""
        table: dict[str, list[object]] = {
            "slice": [part.kind for part in self.slices],
            "value": [part.value for part in self.slices],
            "statements": [part.n_statements for part in self.slices],
            "clusters": [part.n_clusters for part in self.slices],
            "score": [part.score for part in self.slices],
        }
        for end in ("value", "low", "high"):
            name = "result" if end == "value" else end
            table[name] = [part.interval and getattr(part.interval, end) for part in self.slices]
        table["gap"] = [part.interval and part.interval.value - self.whole[part.score].value for part in self.slices]
        table["remark"] = [part.reason for part in self.slices]
        return table


def slice_scores(
    predictions: Predictions,
    *,
    columns: Sequence[str] | None = None,
    training_targets: Collection[str | None] | None = None,
    rule: SliceRule | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Slices:
    """Score every slice, each with a cluster bootstrap interval.

    Macro-F1 counts a label that a slice lacks as 0, so a kind of slices of which one lacks a label (and is large
    enough to judge) is scored by accuracy throughout: slices of a kind stay comparable. Many slices are looked at, so
    some interval will miss all statements' score by chance: one in twenty at ``level=0.95``.

    Args:
        predictions: Labelled predictions.
        columns: Columns to slice by; list-valued ones put a statement into several slices, numbers with more than ten
            values into quartiles. None takes those of ``COLUMNS`` that there are.
        training_targets: Targets of the training statements; without them there is no ``target in training``.
        rule: When a slice is too small to judge.
        level: Of the intervals.
        n_resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: If there is no such column.
    """
    statements, rule = predictions.statements, rule or SliceRule()
    clusters = clusters_of(statements)
    options = {"level": level, "n_resamples": n_resamples, "seed": seed}
    parts: list[Slice] = []
    for kind, rows_by_value in rows_by_slice(statements, columns, training_targets).items():
        parts += _judged(kind, rows_by_value, predictions, clusters, rule, options)
    around = intervals(predictions, clusters, **options)  # type: ignore[arg-type]
    return Slices({name: around[name] for name in ("macro_f1", "accuracy")}, tuple(parts))


def take(predictions: Predictions, rows: Sequence[int] | NDArray[np.int_]) -> Predictions:
    """The predictions at these positions; of the statements' columns only text, target, label and id are kept."""
    import numpy as np

    at = np.asarray(rows, dtype=np.int_)
    whole = predictions.statements
    statements = Statements(
        [whole.texts[row] for row in at],
        [whole.targets[row] for row in at],
        whole.labels,
        None if whole.label_ids is None else whole.label_ids[at],
        ids=[whole.ids[row] for row in at],
    )
    return Predictions(statements, predictions.labels, predictions.probabilities[at], predictions.label_ids[at])


def _judged(
    kind: str,
    rows_by_value: Mapping[str, Sequence[int]],
    predictions: Predictions,
    clusters: Sequence[Hashable],
    rule: SliceRule,
    options: Mapping[str, Any],
) -> list[Slice]:
    """The slices of one kind, all by the same score."""
    gold, n_labels = predictions.statements.gold, len(predictions.labels)
    n_clusters = {value: len({clusters[row] for row in rows}) for value, rows in rows_by_value.items()}
    reasons = {value: rule.too_few(len(rows), n_clusters[value]) for value, rows in rows_by_value.items()}
    judged = [rows for value, rows in rows_by_value.items() if not reasons[value]]
    score, found = shared_score("macro_f1", judged, gold, n_labels), []
    for value, rows in rows_by_value.items():
        reason, interval = reasons[value], None
        if not reason:
            interval = intervals(take(predictions, rows), [clusters[row] for row in rows], **options)[score]
            if (width := interval.high - interval.low) > rule.max_width:
                reason, interval = f"too uncertain: an interval {width:.2f} wide, over {rule.max_width:g}", None
        found.append(Slice(kind, value, len(rows), n_clusters[value], score, interval, reason))
    return found


def shared_score(wanted: str, parts: Iterable[Sequence[int]], gold: NDArray[np.int_], n_labels: int) -> str:
    """The score of slices of one kind: accuracy if one lacks a label, which scores by label would count as 0."""
    import numpy as np

    complete = all(np.bincount(gold[list(rows)], minlength=n_labels).all() for rows in parts)
    return wanted if complete or wanted in OF_PROBABILITIES else "accuracy"


def rows_by_slice(
    statements: Statements, columns: Sequence[str] | None, training_targets: Collection[str | None] | None
) -> dict[str, dict[str, list[int]]]:
    """Rows by value by kind; the arguments as for ``slice_scores``."""
    names = statements.column_names
    for name in columns or ():
        if name not in names:
            listed = ", ".join(names)
            raise DataError(f"slices: there is no column '{name}'; the columns are {listed}{nearest(name, names)}")
    chosen = [name for name in COLUMNS if name in names] if columns is None else columns
    kinds = {name: _by_value(statements.column(name)) for name in chosen}
    kinds[LENGTH] = _quartiles([len(text.split()) for text in statements.texts], "words")
    kinds[MENTION] = _by_mention(statements)
    if training_targets is not None:
        seen = {folded(target) for target in training_targets if target is not None}
        rows = [(row, folded(target)) for row, target in enumerate(statements.targets) if target is not None]
        kinds[NOVELTY] = {
            "seen": [row for row, target in rows if target in seen],
            "unseen": [row for row, target in rows if target not in seen],
        }
    return {kind: {value: rows for value, rows in by_value.items() if rows} for kind, by_value in kinds.items()}


def _by_value(values: Sequence[Any]) -> dict[str, list[int]]:
    """Rows by value, frequent values first; the rows of values beyond the 50 most frequent are put together."""
    filled = {row: value for row, value in enumerate(values) if not _is_missing(value)}
    are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in filled.values())
    if are_numbers and len(set(filled.values())) > 10:
        rows = list(filled)
        return {name: [rows[i] for i in inside] for name, inside in _quartiles(list(filled.values())).items()}
    found: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        for item in dict.fromkeys(map(str, _items(value))):
            found.setdefault(item, []).append(row)
    ordered = sorted(found, key=lambda value: -len(found[value]))
    kept, rest = ordered[:MAX_VALUES], ordered[MAX_VALUES:]
    together = {f"{len(rest)} rarer values": sorted({row for value in rest for row in found[value]})} if rest else {}
    return {value: found[value] for value in kept} | together


def _items(value: Any) -> Iterable[Any]:
    if _is_missing(value):
        return ()
    return value if isinstance(value, (list, tuple, set, frozenset)) else (value,)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value) or (isinstance(value, float) and math.isnan(value))


def _quartiles(numbers: Sequence[float], unit: str = "") -> dict[str, list[int]]:
    """Rows by quarter of the numbers; equal numbers stay together, so there may be fewer than four bins."""
    import numpy as np

    values = np.asarray(numbers, dtype=float)
    if not len(values):
        return {}
    edges = np.unique(np.quantile(values, (0.25, 0.5, 0.75), method="lower"))
    bins = np.searchsorted(edges, values)
    found = {}
    for number in np.unique(bins):
        inside = values[bins == number]
        low, high = f"{inside.min():g}", f"{inside.max():g}"
        found[f"{low if low == high else f'{low}–{high}'} {unit}".strip()] = np.flatnonzero(bins == number).tolist()
    return found


def mention_share(text: str, target: str) -> float | None:
    """Share of the target's content words that the text mentions, in [0, 1]; None for a target without any.

    Words are compared by their first five letters, so that *meetings* mentions *meeting*; function words of English
    and words of one letter don't count.
    """
    wanted = _stems(target)
    return len(wanted & _stems(text)) / len(wanted) if wanted else None


def _stems(text: str) -> set[str]:
    words = (word for word in _WORD.findall(text.casefold()) if len(word) > 1)
    return {word[:_STEM] for word in words if word not in _FUNCTION_WORDS}


def _by_mention(statements: Statements) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"not mentioned": [], "mentioned in part": [], "mentioned in full": []}
    for row, (text, target) in enumerate(zip(statements.texts, statements.targets, strict=True)):
        share = None if target is None else mention_share(text, target)
        if share is not None:
            name = "not mentioned" if share == 0 else "mentioned in full" if share == 1 else "mentioned in part"
            found[name].append(row)
    return found
