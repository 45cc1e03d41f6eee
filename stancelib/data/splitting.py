"""Split protocols: which statements are learned from, chosen on and scored on.

Whatever the protocol, rows that share a group and near duplicates stay in one split.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from stancelib.data.dealing import deal, joined
from stancelib.data.duplicates import near_duplicate_clusters
from stancelib.data.records import text_or_none
from stancelib.errors import ConfigError, DataError
from stancelib.schema import TRAIN, VALIDATION, Corpus, Statements

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
    _require_fractions("given", validation_fraction=validation_fraction)
    train = corpus.splits.get(TRAIN)
    if train is None:
        raise DataError(
            f"split 'given' needs a split 'train', and corpus '{corpus.name}' has {', '.join(corpus.splits)}. "
            "Choose split=random, or name the files by split."
        )
    if VALIDATION in corpus.splits or validation_fraction == 0:
        return replace(corpus, protocol="given")
    shares = {TRAIN: 1 - validation_fraction, VALIDATION: validation_fraction}
    parts = deal(_units(train, group), train.gold.tolist(), shares, seed=seed)
    splits = {part: train.take([row for row, at in enumerate(parts) if at == part]) for part in shares}
    splits |= {name: statements for name, statements in corpus.splits.items() if name != TRAIN}
    return replace(corpus, splits=splits, protocol=f"given, validation carved from train ({validation_fraction:g})")


def _units(statements: Statements, group: str | None, *columns: Sequence[Hashable | None]) -> list[int]:
    """Units of rows that no protocol separates."""
    name = group or (GROUP if GROUP in statements.columns else None)
    groups = [] if name is None else [[text_or_none(value) for value in statements.column(name)]]
    return joined(near_duplicate_clusters(statements), *groups, *columns)


def _require_fractions(split: str, **fractions: float) -> None:
    for name, value in fractions.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ConfigError(f"split '{split}': {name} must be at least 0 and below 1, got {value!r}.")
    if sum(fractions.values()) >= 1:
        raise ConfigError(
            f"split '{split}': {' and '.join(fractions)} leave no train; they must sum to less than 1."
        )
