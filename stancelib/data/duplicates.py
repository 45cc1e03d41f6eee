"""Exact and near duplicates among statements.

Two statements are near duplicates when their targets are the same and their texts share most of their word pairs;
case, punctuation and a leading article of the target don't count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, combinations, pairwise
from zlib import crc32

from stancelib.data.dealing import Forest
from stancelib.errors import require
from stancelib.schema import Statements

NEAR = 0.7
_N_PERMUTATIONS = 64
_N_BANDS = 16  # of 4 rows each: a pair at similarity 0.7 meets in some band with chance 0.99
_FULL_COMPARISON = 50
_WORD = re.compile(r"\w+")
_ARTICLE = re.compile(r"(?:a|an|the) ")

Key = tuple[str, str]


def key_of(text: str, target: str | None) -> Key:
    """What exact duplicates have in common: the words of target and text, case folded."""
    words = " ".join(_WORD.findall(text.casefold())) or " ".join(text.split())
    return _ARTICLE.sub("", " ".join(_WORD.findall((target or "").casefold())), count=1), words


def keys_of(statements: Statements) -> list[Key]:
    """The duplicate key of every statement."""
    return [key_of(text, target) for text, target in zip(statements.texts, statements.targets, strict=True)]


def near_duplicate_clusters(statements: Statements) -> list[int]:
    """Number the clusters of exact and near duplicates.

    Candidates come from MinHash and are compared in full. A statement like no other is a cluster of its own.

    Args:
        statements: The statements; their order doesn't matter.

    Returns:
        The cluster of each statement, n numbers.
    """
    keys = keys_of(statements)
    unique = tuple(sorted(set(keys)))
    cluster_of = dict(zip(unique, _clusters(unique), strict=True))
    return [cluster_of[key] for key in keys]


@lru_cache(maxsize=4)  # a run splits the statements and then checks the same ones
def _clusters(keys: tuple[Key, ...]) -> list[int]:
    shingles = [_shingles(*key) for key in keys]
    forest = Forest(len(keys))
    for bucket in _buckets(shingles):
        for i, j in _pairs(bucket):
            if forest.root(i) != forest.root(j) and _similarity(shingles[i], shingles[j]) >= NEAR:
                forest.join(i, j)
    return forest.numbers()


def _shingles(target: str, text: str) -> frozenset[int]:
    """Hashed word pairs, each together with the target."""
    seed = crc32(target.encode())
    return frozenset(crc32(f"{a} {b}".encode(), seed) for a, b in pairwise(["", *text.split(), ""]))


def _buckets(shingles: Sequence[frozenset[int]]) -> Iterator[list[int]]:
    """Positions that agree in a whole band of their MinHash signatures."""
    import numpy as np

    min_hash = require("datasketch", "train").MinHash
    signatures = np.array([m.hashvalues for m in min_hash.generator(shingles, num_perm=_N_PERMUTATIONS, hashfunc=int)])
    for band in np.split(signatures, _N_BANDS, axis=1) if len(shingles) else []:
        buckets: dict[bytes, list[int]] = {}
        for position, row in enumerate(np.ascontiguousarray(band)):
            buckets.setdefault(row.tobytes(), []).append(position)
        yield from (bucket for bucket in buckets.values() if len(bucket) > 1)


def _pairs(bucket: list[int]) -> Iterator[tuple[int, int]]:
    """All pairs of a bucket; of a very large one the neighbours and the first with each, so that time stays linear."""
    if len(bucket) <= _FULL_COMPARISON:
        return combinations(bucket, 2)
    return chain(pairwise(bucket), ((bucket[0], other) for other in bucket[1:]))


def _similarity(a: frozenset[int], b: frozenset[int]) -> float:
    """Jaccard similarity, in [0, 1]."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
