"""Split protocols: which statements are learned from, chosen on and scored on.

Whatever the protocol, rows that share a group and near duplicates stay in one split. All protocols but ``given``
pool the splits that a corpus came with and deal its statements anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

from stancelib.data.dealing import checked_shares, deal, joined, short_splits
from stancelib.data.duplicates import near_duplicate_clusters
from stancelib.data.further import keep_further, without_values_held_out
from stancelib.data.leaving_out import check_fold, in_fold, listed_values, tied_to_left_out, wanted_values
from stancelib.data.times import cut, seconds
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.schema import SPLITS, TEST, TRAIN, VALIDATION, Corpus, Finding, Statements
from stancelib.texts import folded, text_or_none

GROUP = "group"


def given(corpus: Corpus, *, validation_fraction: float = 0.1, group: str | None = None, seed: int) -> Corpus:
    """The splits that the data came with; a missing validation split is carved from train.

    Args:
        corpus: The corpus.
        validation_fraction: Share of train that becomes validation where there is none; 0 carves none.
        group: Column whose values stay together when carving; None takes ``group`` where there is one.
        seed: Fixes the carving.

    Raises:
        DataError: If the corpus has no train split.
    """
    shares = checked_shares("given", validation=validation_fraction)
    corpus = _grouped(corpus, group)
    train = corpus.splits.get(TRAIN)
    if train is None:
        raise DataError(
            f"split 'given' needs a split 'train', and corpus '{corpus.name}' has {', '.join(corpus.splits)}. "
            "Choose split=random, or name the files by split."
        )
    if VALIDATION in corpus.splits or VALIDATION not in shares:
        return without_values_held_out(corpus, GROUP)
    parts = deal(_units(train), train.gold.tolist(), shares, seed=seed)
    others = {name: statements for name, statements in corpus.splits.items() if name != TRAIN}
    protocol = f"given, validation carved from train ({validation_fraction:g})"
    findings = (*corpus.findings, *short_splits(parts, shares))
    corpus = replace(corpus, splits=_take(train, parts) | others, protocol=protocol, findings=findings)
    return without_values_held_out(corpus, GROUP)


def random(
    corpus: Corpus,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    group: str | None = None,
    seed: int,
) -> Corpus:
    """Rows at random, with the same share of every label in every split.

    Args:
        corpus: The corpus.
        validation_fraction: Share of the rows in validation; 0 makes none.
        test_fraction: Share of the rows in test; 0 makes none.
        group: Column whose values stay together; None takes ``group`` where there is one.
        seed: Fixes the draw.
    """
    shares = checked_shares("random", validation=validation_fraction, test=test_fraction)
    corpus = _grouped(corpus, group)
    pooled = _pooled(corpus)
    parts = deal(_units(pooled), pooled.gold.tolist(), shares, seed=seed)
    return _resplit(corpus, pooled, parts, "random", short_splits(parts, shares))


def by_group(
    corpus: Corpus,
    *,
    column: str = GROUP,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    group: str | None = None,
    seed: int,
) -> Corpus:
    """Whole groups at random: every value of the column is in one split only.

    Args:
        corpus: The corpus.
        column: Column whose values are the groups, such as author or document; every statement needs one.
        validation_fraction: Share of the rows in validation, as closely as the groups allow; 0 makes none.
        test_fraction: Share of the rows in test, as closely as the groups allow; 0 makes none.
        group: Another column whose values stay together; None takes ``group`` where there is one.
        seed: Fixes the draw.
    """
    shares = checked_shares("by_group", validation=validation_fraction, test=test_fraction)
    corpus = _grouped(corpus, group)
    pooled = _pooled(corpus)
    values = _values(corpus, pooled, column, "by_group")
    parts = deal(_units(pooled, values), pooled.gold.tolist(), shares, seed=seed)
    return _resplit(corpus, pooled, parts, f"by_group({column})", short_splits(parts, shares), column)


def leave_out(
    corpus: Corpus,
    *,
    column: str = "target",
    values: Any = None,
    fold: int = 1,
    n_folds: int = 5,
    validation_fraction: float = 0.1,
    group: str | None = None,
    seed: int,
) -> Corpus:
    """Test on values of a column that training and validation never see.

    Rows of other values that share a group with left-out rows, or nearly repeat them, go to test with them.

    Args:
        corpus: The corpus.
        column: Column to generalise over, such as target, domain or author; every statement needs a value.
        values: The value or values that make the test split; None takes a fold of the values.
        fold: Which of the ``n_folds`` parts of the values is left out, counted from 1; not used with ``values``.
        n_folds: Number of parts; under one seed they are disjoint and cover all values.
        validation_fraction: Share of the remaining rows in validation; 0 makes none.
        group: Column whose values stay together; None takes ``group`` where there is one.
        seed: Fixes the folds and the validation split.
    """
    shares = checked_shares("leave_out", validation=validation_fraction)
    corpus = _grouped(corpus, group)
    pooled = _pooled(corpus)
    present = _values(corpus, pooled, column, "leave_out")
    units = _units(pooled)
    if values is None:
        chosen = in_fold(joined(units, present), pooled, column, fold, n_folds, seed)
        protocol = f"leave_out({column}, fold {fold} of {n_folds})"
    else:
        wanted = wanted_values(values, present, column)
        chosen = [value in wanted for value in present]
        protocol = f"leave_out({column}={'|'.join(wanted)})"
    left_out = {unit for unit, is_chosen in zip(units, chosen, strict=True) if is_chosen}
    rest = [row for row, unit in enumerate(units) if unit not in left_out]
    parts = [TEST] * len(pooled)
    dealt = deal([units[row] for row in rest], pooled.gold[rest].tolist(), shares, seed=seed) if rest else []
    for row, part in zip(rest, dealt, strict=True):
        parts[row] = part
    findings = [*tied_to_left_out(pooled, parts, chosen, column), *short_splits(dealt, shares)]
    return _resplit(corpus, pooled, parts, protocol, findings, column)


def by_time(
    corpus: Corpus,
    *,
    column: str = "time",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    group: str | None = None,
    seed: int,
) -> Corpus:
    """Train on the oldest statements and test on the newest.

    Statements of one moment stay together; a group or cluster of near duplicates counts as its newest statement.

    Args:
        corpus: The corpus.
        column: Column with numbers, or with dates such as 2024-05-31 or 2024-05-31T12:00:00Z.
        validation_fraction: Share of the rows in validation, as closely as the moments allow; 0 makes none.
        test_fraction: Share of the rows in test, as closely as the moments allow; 0 makes none.
        group: Column whose values stay together; None takes ``group`` where there is one.
        seed: Without effect, since time decides; taken so that all protocols are called alike.
    """
    shares = checked_shares("by_time", validation=validation_fraction, test=test_fraction)
    corpus = _grouped(corpus, group)
    pooled = _pooled(corpus)
    _values(corpus, pooled, column, "by_time")
    times = seconds(pooled, column)
    units = _units(pooled)
    newest: dict[int, float] = {}
    for unit, time in zip(units, times, strict=True):
        newest[unit] = max(time, newest.get(unit, time))
    moments = [newest[unit] for unit in units]
    parts = cut(moments, shares)
    corpus = _resplit(corpus, pooled, parts, f"by_time({column})", short_splits(parts, shares))
    newest_learned = max(seconds(corpus.split(TRAIN), column))
    return keep_further(
        corpus, lambda part: [row for row, time in enumerate(seconds(part, column)) if time <= newest_learned]
    )


def check_options(split: Callable[..., Corpus]) -> None:
    """Refuse what a protocol would refuse whatever the corpus, before one is read.

    Args:
        split: A ``partial`` of a protocol of this module; anything else passes.

    Raises:
        ConfigError: If fractions, folds or values are out of range.
    """
    if not isinstance(split, partial) or split.func not in (given, random, by_group, leave_out, by_time):
        return
    chosen = {name: found.default for name, found in signature(split.func).parameters.items()} | split.keywords
    fractions = {name.removesuffix("_fraction"): chosen[name] for name in chosen if name.endswith("_fraction")}
    checked_shares(split.func.__name__, **fractions)
    if split.func is leave_out:
        if chosen["values"] is None:
            check_fold(chosen["fold"], chosen["n_folds"])
        else:
            listed_values(chosen["values"])


def _grouped(corpus: Corpus, group: str | None) -> Corpus:
    """The corpus with this column as ``group``, which intervals go by too; as it is where none is named."""
    if group is None:
        return corpus
    values = iter(_column(_pooled(corpus), group, "group"))
    splits = {
        name: replace(part, columns={**part.columns, GROUP: [next(values) for _ in range(len(part))]})
        for name, part in corpus.splits.items()
    }
    return replace(corpus, splits=splits)


def _units(statements: Statements, *columns: Sequence[Hashable | None]) -> list[int]:
    """Units of rows that no protocol separates."""
    groups = [statements.groups] if GROUP in statements.columns else []
    return joined(near_duplicate_clusters(statements), *groups, *columns)


def _column(statements: Statements, name: str, what: str) -> Sequence[Any]:
    if name not in statements.column_names:
        names = statements.column_names
        raise ConfigError(f"{what} '{name}' is no column; the columns are {', '.join(names)}{nearest(name, names)}")
    return statements.column(name)


def _values(corpus: Corpus, pooled: Statements, column: str, split: str) -> list[str]:
    """The column as text, every value in the spelling that it has first; each statement has one."""
    _column(pooled, column, f"split '{split}': column")
    for name, statements in corpus.splits.items():
        values = statements.column(column) if column in statements.column_names else [None] * len(statements)
        missing = [row for row, value in enumerate(values) if text_or_none(value) is None]
        if missing:
            raise DataError(
                f"split '{split}' by {column} needs a {column} on every statement; {len(missing):,} of "
                f"{len(statements):,} in '{name}' have none (first: {statements.place(missing[0])})."
            )
    spelling: dict[str, str] = {}
    return [spelling.setdefault(folded(value), value) for value in map(str, pooled.column(column))]


def _pooled(corpus: Corpus) -> Statements:
    return Statements.concatenate(list(corpus.splits.values()))


def _take(statements: Statements, parts: Sequence[str]) -> dict[str, Statements]:
    rows: dict[str, list[int]] = {}
    for row, part in enumerate(parts):
        rows.setdefault(part, []).append(row)
    return {name: statements.take(rows[name]) for name in SPLITS if name in rows}


def _resplit(
    corpus: Corpus,
    pooled: Statements,
    parts: Sequence[str],
    protocol: str,
    findings: Sequence[Finding] = (),
    column: str = GROUP,
) -> Corpus:
    """The corpus in these parts; those with further labels have no group, and no value of the column, held out."""
    splits = _take(pooled, parts)
    if TRAIN not in splits:
        raise DataError(
            f"split '{protocol}' leaves no statement for train: all are tied to others by groups or near duplicates, "
            "or the corpus is too small. Choose another column, value or fraction."
        )
    corpus = replace(corpus, splits=splits, protocol=protocol, findings=(*corpus.findings, *findings))
    return without_values_held_out(without_values_held_out(corpus, GROUP), column)
