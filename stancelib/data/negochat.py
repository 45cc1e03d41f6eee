"""Negochat: negotiations between an employer and a candidate."""

from __future__ import annotations

from collections.abc import Mapping

from stancelib.data.benchmarks import benchmark
from stancelib.schema import Corpus

LABELS = ("propose", "counter-propose", "reject", "accept", "accept+propose")


def negochat(*, root: str | None = None, label_map: Mapping[str, str | None] | None = None) -> Corpus:
    """Utterances of negotiations, in the official split by dialogue.

    There is no official validation split, so a tenth of train is taken.
    The target is the other side's last utterance; the first one of a dialogue has none.

    Args:
        root: Folder that holds the public corpora, this one in ``negochat_stance``.
        label_map: New label by official one; None as the new label leaves the rows out.

    Raises:
        ConfigError: If the corpus is not there.

    References:
        Rosenfeld et al. (2014), NegoChat: A Chat-Based Negotiation Agent.
    """
    return benchmark(
        "negochat_stance", name="negochat", root=root, labels=LABELS, label_map=label_map, group="dialogue"
    )
