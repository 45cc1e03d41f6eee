"""A corpus in numbers, for ``stancelib check`` and model cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from stancelib.data.cleaning import conflicts, cross_split_duplicates, label_counts
from stancelib.data.duplicates import keys_of, near_duplicate_clusters
from stancelib.data.further import further_counts
from stancelib.data.shortcuts import Shortcut, shortcuts
from stancelib.schema import TRAIN, Corpus, Statements

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows that repeat others, over all splits.

    Args:
        n_exact: Rows with the text and target of an earlier row.
        n_near: Further rows that nearly repeat another.
        n_conflicting: Rows whose text and target occur under two labels.
        n_exact_across: Rows with the text and target of a row in an earlier split.
        n_near_across: Further rows that nearly repeat a row of an earlier split.
    """

    n_exact: int
    n_near: int
    n_conflicting: int
    n_exact_across: int
    n_near_across: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A corpus in numbers.

    Args:
        name: Name of the corpus.
        source: Where it came from.
        protocol: How its splits were made.
        digest: Content hash of the splits.
        label_counts: Rows by split and label.
        n_targets: Different targets by split.
        words: Quantiles of the number of words of a text, by split: ``QUANTILES`` to words.
        duplicates: Rows that repeat others.
        shortcuts: Tokens and targets of the train split that give a label away.
        n_further: Training statements of further labels, by label.
    """

    name: str
    source: str
    protocol: str
    digest: str
    label_counts: Mapping[str, Mapping[str, int]]
    n_targets: Mapping[str, int]
    words: Mapping[str, Mapping[float, float]]
    duplicates: Duplicates
    shortcuts: tuple[Shortcut, ...]
    n_further: Mapping[str, int]


def summarise(corpus: Corpus) -> Summary:
    """Count what is in a corpus.

    Args:
        corpus: A corpus with at least one statement.
    """
    splits = {name: statements for name, statements in corpus.splits.items() if len(statements)}
    return Summary(
        name=corpus.name,
        source=corpus.source,
        protocol=corpus.protocol,
        digest=corpus.digest,
        label_counts={name: label_counts(statements) for name, statements in splits.items()},
        n_targets={name: len({t for t in statements.targets if t is not None}) for name, statements in splits.items()},
        words={name: _words(statements) for name, statements in splits.items()},
        duplicates=_duplicates(corpus),
        shortcuts=tuple(shortcuts(splits[TRAIN])) if TRAIN in splits else (),
        n_further=further_counts(corpus),
    )


def _words(statements: Statements) -> dict[float, float]:
    import numpy as np

    lengths = [len(text.split()) for text in statements.texts]
    return dict(zip(QUANTILES, np.quantile(lengths, QUANTILES).tolist(), strict=True))


def _duplicates(corpus: Corpus) -> Duplicates:
    pooled = Statements.concatenate(list(corpus.splits.values()))
    across = cross_split_duplicates(corpus)
    exact = Counter(keys_of(pooled))
    n_exact = len(pooled) - len(exact)
    n_clusters = len(set(near_duplicate_clusters(pooled)))
    return Duplicates(
        n_exact=n_exact,
        n_near=len(exact) - n_clusters,
        n_conflicting=sum(map(len, conflicts(corpus).values())),
        n_exact_across=len(across["exact"]),
        n_near_across=len(across["near"]),
    )
