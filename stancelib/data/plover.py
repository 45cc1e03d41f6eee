"""PLOVER relations (PLV): sentences of political news, each between two actors."""

from __future__ import annotations

from collections.abc import Mapping

from stancelib.data.benchmarks import benchmark
from stancelib.schema import Corpus

LABELS = (
    "YIELD",
    "REJECT",
    "AGREE",
    "ACCUSE",
    "ASSAULT",
    "COERCE",
    "SUPPORT",
    "AID",
    "REQUEST",
    "THREATEN",
    "CONSULT",
    "SANCTION",
    "PROTEST",
    "COOPERATE",
    "MOBILIZE",
)


def plover(*, root: str | None = None, label_map: Mapping[str, str | None] | None = None) -> Corpus:
    """Sentences with the root code of what one actor does to another.

    There is no official validation split, so a tenth of train is taken.
    The target is the actor acted upon. Sentences with several pairs of actors stay in one split.

    Args:
        root: Folder that holds the public corpora, this one in ``plover_plv``.
        label_map: New label by official one; None as the new label leaves the rows out.

    Raises:
        ConfigError: If the corpus is not there.

    References:
        Hu et al. (2024), Leveraging Codebook Knowledge with NLI and ChatGPT for Zero-Shot Political Relation
        Classification.
    """
    return benchmark("plover_plv", name="plover", root=root, labels=LABELS, label_map=label_map, group="text")
