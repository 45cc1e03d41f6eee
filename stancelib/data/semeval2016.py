"""SemEval-2016 task 6 A: tweets towards five targets."""

from __future__ import annotations

from collections.abc import Mapping

from stancelib.data.benchmarks import benchmark
from stancelib.schema import Corpus

LABELS = ("AGAINST", "FAVOR", "NONE")


def semeval2016(*, root: str | None = None, label_map: Mapping[str, str | None] | None = None) -> Corpus:
    """Tweets towards five targets, in the official splits; train without the validation rows of TweetEval.

    Every tweet is a ``group`` of its own, so that intervals and tests draw tweets: the five targets are given, and the
    scores speak of new tweets about them.

    Args:
        root: Folder that holds the public corpora, this one in ``semeval2016_t6``.
        label_map: New label by official one; None as the new label leaves the rows out.

    Raises:
        ConfigError: If the corpus is not there.

    References:
        Mohammad et al. (2016), SemEval-2016 Task 6: Detecting Stance in Tweets.
    """
    return benchmark("semeval2016_t6", name="semeval2016", root=root, labels=LABELS, label_map=label_map, group="id")
