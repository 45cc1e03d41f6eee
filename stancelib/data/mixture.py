"""Several corpora at once: one to be reported on, and others that teach the same encoder beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from stancelib.data.duplicates import near_duplicate_clusters
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.labels import LabelSet
from stancelib.schema import TRAIN, Auxiliary, Corpus, Finding, Statements


def mixture(*, main: Corpus, others: Mapping[str, Corpus], weights: Mapping[str, float] | None = None) -> Corpus:
    """A corpus with auxiliary tasks: the training splits of others, each with its own labels.

    What a run trains on is cleared by ``without_held_out``, once the main corpus is split.

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
    if low := [name for name, weight in weights.items() if not 0 < weight < math.inf]:
        raise ConfigError(f"weights.{low[0]} must be above 0 and finite, got {weights[low[0]]}.")
    auxiliary = []
    for name, corpus in others.items():
        if TRAIN not in corpus.splits:
            raise DataError(f"corpus '{name}' has no training split; it has {', '.join(corpus.splits)}.")
        statements = with_labels_that_occur(corpus.split(TRAIN))
        auxiliary.append(Auxiliary(name, statements, float(weights.get(name, 1.0))))
    name = "+".join([main.name, *others])
    findings = (*main.findings, *(finding for corpus in others.values() for finding in corpus.findings))
    return replace(main, name=name, auxiliary=(*main.auxiliary, *auxiliary), findings=findings)


def without_held_out(corpus: Corpus) -> Corpus:
    """The corpus without auxiliary statements that repeat, or nearly repeat, one that it is judged on.

    Args:
        corpus: Split as the run will use it: everything but its training split is held out.

    Returns:
        The corpus; a warning among its findings says how many statements of which task were left out.
    """
    held_out = [part for split, part in corpus.splits.items() if split != TRAIN]
    if not corpus.auxiliary or not held_out:
        return corpus
    parts = [*held_out, *(task.statements for task in corpus.auxiliary)]  # which have label sets of their own
    unlabelled = [replace(part, labels=None, label_ids=None) for part in parts]
    clusters = near_duplicate_clusters(Statements.concatenate(unlabelled))
    start = sum(map(len, held_out))
    taken, auxiliary, findings = set(clusters[:start]), [], list(corpus.findings)
    for task in corpus.auxiliary:
        own, start = clusters[start : start + len(task.statements)], start + len(task.statements)
        fresh = [row for row, cluster in enumerate(own) if cluster not in taken]
        if fresh:
            left = task.statements.take(fresh)
            auxiliary.append(replace(task, statements=left if task.further else with_labels_that_occur(left)))
        if n_left_out := len(own) - len(fresh):
            message = (
                f"{n_left_out:,} of {len(own):,} statements of '{task.name}' repeat, or nearly repeat, statements that "
                "this run is judged on; they are left out."
            )
            findings.append(Finding("warning", "auxiliary-held-out", message, n_left_out))
    return replace(corpus, auxiliary=tuple(auxiliary), findings=tuple(findings))


def with_labels_that_occur(statements: Statements) -> Statements:
    """The statements without the labels that none of them has, if two are left: a head for them needs no more."""
    import numpy as np

    assert statements.labels is not None
    present, label_ids = np.unique(statements.gold, return_inverse=True)
    if len(present) < 2:
        return statements
    names = [statements.labels.names[label] for label in present]
    return replace(statements, labels=LabelSet.of(names), label_ids=label_ids)
