"""Circa: indirect answers to yes/no questions, some of them on conditions."""

from __future__ import annotations

from collections.abc import Mapping

from stancelib.data.benchmarks import benchmark
from stancelib.schema import Corpus

OTHER = "Other"
LABELS = ("Yes", "No", "Yes, subject to some conditions", "In the middle, neither yes nor no", OTHER)


def circa(*, root: str | None = None, other: bool = False, label_map: Mapping[str, str | None] | None = None) -> Corpus:
    """Answers towards questions, with the labels of the relaxed setting.

    Args:
        root: Folder that holds the public corpora, this one in ``circa``.
        other: Whether to keep the label ``Other``, which published scores leave out.
        label_map: New label by official one; None as the new label leaves the rows out.

    Raises:
        ConfigError: If the corpus is not there.

    References:
        Louis, Roth and Radlinski (2020), "I'd rather just go to bed": Understanding Indirect Answers.
    """
    mapping = ({} if other else {OTHER: None}) | dict(label_map or {})
    return benchmark("circa", name="circa", root=root, labels=LABELS, label_map=mapping)
