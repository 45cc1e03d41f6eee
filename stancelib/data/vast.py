"""VAST: comments on news towards several thousand topics."""

from __future__ import annotations

from collections.abc import Mapping

from stancelib.data.benchmarks import benchmark
from stancelib.schema import Corpus

LABELS = ("con", "pro", "neutral")


def vast(*, root: str | None = None, label_map: Mapping[str, str | None] | None = None) -> Corpus:
    """Comments towards topics, in the official splits; the topics of the zero-shot test rows are not in train.

    Args:
        root: Folder that holds the public corpora, this one in ``vast``.
        label_map: New label by official one; None as the new label leaves the rows out.

    Raises:
        ConfigError: If the corpus is not there.

    References:
        Allaway and McKeown (2020), Zero-Shot Stance Detection: A Dataset and Model using Generalized Topic
        Representations.
    """
    return benchmark("vast", name="vast", root=root, labels=LABELS, label_map=label_map)
