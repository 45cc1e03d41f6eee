"""Statements with labels that a model learns to tell from its own, and never answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from stancelib.errors import ConfigError
from stancelib.labels import LabelSet
from stancelib.schema import TRAIN, Auxiliary, Corpus, Statements
from stancelib.texts import folded, text_or_none

FURTHER = "further labels"


def check_further(
    further: Sequence[str] | None, labels: Sequence[str] | None
) -> tuple[tuple[str, ...], Sequence[str] | None]:
    """Further labels, and the main ones with them behind; nothing changes where there are none.

    Raises:
        ConfigError: If the main ones aren't named, or share a name with them.
    """
    names = tuple(map(str, further or ()))
    if not names:
        return (), labels
    if labels is None:
        raise ConfigError(f"further_labels is {', '.join(names)}; name the labels that the model answers, too: labels.")
    if twice := [name for name in names if name in labels]:
        raise ConfigError(f"'{twice[0]}' is in labels and in further_labels; a model answers it or it doesn't.")
    return names, [*labels, *names]


def set_aside(corpus: Corpus, further: Sequence[str]) -> Corpus:
    """The corpus without statements of these labels; those of its training split are learned beside it.

    Args:
        corpus: With the main labels first and these behind them.
        further: Labels of the corpus; at least two others are left.
    """
    labels = LabelSet.of([name for name in corpus.labels if name not in further])
    splits, auxiliary = {}, list(corpus.auxiliary)
    for split, statements in corpus.splits.items():
        is_main = statements.gold < len(labels)
        main = statements.take(is_main.nonzero()[0])
        splits[split] = replace(main, labels=labels)
        if split == TRAIN and not is_main.all():
            auxiliary.append(Auxiliary(FURTHER, statements.take((~is_main).nonzero()[0]), further=True))
    return replace(corpus, labels=labels, splits=splits, auxiliary=tuple(auxiliary))


def further_counts(corpus: Corpus) -> dict[str, int]:
    """Training statements of each further label that has some."""
    counts = Counter(name for task in corpus.auxiliary if task.further for name in task.statements.column("label"))
    return {str(name): n for name, n in counts.items()}


def keep_further(corpus: Corpus, keep: Callable[[Statements], Sequence[int]]) -> Corpus:
    """The corpus with those of its statements with further labels that ``keep`` names by position."""
    auxiliary = [
        replace(task, statements=task.statements.take(keep(task.statements))) if task.further else task
        for task in corpus.auxiliary
    ]
    return replace(corpus, auxiliary=tuple(task for task in auxiliary if len(task.statements)))


def without_values_held_out(corpus: Corpus, column: str) -> Corpus:
    """The corpus without statements with further labels whose value of the column is held out, and not learned."""
    values = {split: set(_folded(part, column)) for split, part in corpus.splits.items()}
    held_out = set().union(*(found for split, found in values.items() if split != TRAIN)) - values[TRAIN] - {None}
    return keep_further(
        corpus, lambda part: [row for row, value in enumerate(_folded(part, column)) if value not in held_out]
    )


def _folded(statements: Statements, column: str) -> list[str | None]:
    if column not in statements.column_names:
        return [None] * len(statements)
    values = (text_or_none(value) for value in statements.column(column))
    return [None if value is None else folded(value) for value in values]
