"""Several corpora at once: one to be reported on, and others that teach the same encoder beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stancelib.data.duplicates import keys_of
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.schema import TRAIN, Auxiliary, Corpus


def mixture(*, main: Corpus, others: Mapping[str, Corpus], weights: Mapping[str, float] | None = None) -> Corpus:
    """A corpus with auxiliary tasks: the training splits of others, each with its own labels.

    A statement of another corpus that also stands in the main one's validation or test split is left out.

    Args:
        main: What the model is for: its labels, its splits, its scores.
        others: Corpora by name; only their training splits are used.
        weights: Weight of each other corpus's loss, above 0, where a statement of ``main`` has weight 1; 1 if left out.

    Raises:
        ConfigError: If a weight is not above 0, or names no other corpus.
        DataError: If another corpus has no training split.
    """
    weights = dict(weights or {})
    if unknown := [name for name in weights if name not in others]:
        raise ConfigError(
            f"weights names '{unknown[0]}', but the others are {', '.join(others)}{nearest(unknown[0], others)}"
        )
    if low := [name for name, weight in weights.items() if not weight > 0]:
        raise ConfigError(f"weights.{low[0]} must be above 0, got {weights[low[0]]}.")
    held_out = {key for split, part in main.splits.items() if split != TRAIN for key in keys_of(part)}
    auxiliary = []
    for name, corpus in others.items():
        if TRAIN not in corpus.splits:
            raise DataError(f"corpus '{name}' has no training split; it has {', '.join(corpus.splits)}.")
        train = corpus.split(TRAIN)
        fresh = [row for row, key in enumerate(keys_of(train)) if key not in held_out]
        auxiliary.append(Auxiliary(name, train.take(fresh), float(weights.get(name, 1.0))))
    name = "+".join([main.name, *others])
    findings = (*main.findings, *(finding for corpus in others.values() for finding in corpus.findings))
    return replace(main, name=name, auxiliary=tuple(auxiliary), findings=findings)
