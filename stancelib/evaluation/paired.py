"""Two models' scores under chance: clusters drawn anew, or the models' answers swapped.

Clusters whose sums are alike are drawn together where that is quicker; the distribution is the same. Shapes:
G clusters, U different ones among them, R resamples, P permutations, D sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stancelib.evaluation.intervals import ClusterSums, Scores, resampled_totals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 32  # permutations at once, so that the draws of 10,000 clusters stay in the cache
WORTH_IT = 8  # clusters to every different one from which on drawing them together is quicker


def drawn_differences(sums: Sequence[ClusterSums], n_resamples: int, seed: int) -> Scores:
    """Second minus first in resamples of the clusters, by score, arrays of shape (n_resamples,)."""
    import numpy as np

    n = len(sums[0].sums)
    both_UD, counts = np.unique(np.concatenate([one.sums for one in sums], axis=1), axis=0, return_counts=True)
    if WORTH_IT * len(both_UD) <= n:
        drawn_RU = np.random.default_rng(seed).multinomial(n, counts / n, size=n_resamples).astype(np.float64)
        totals = np.split(drawn_RU @ both_UD, len(sums), axis=1)
    else:
        totals = resampled_totals([one.sums for one in sums], n_resamples, seed)
    return _gaps(sums, totals)


def swapped_differences(sums: Sequence[ClusterSums], n_permutations: int, seed: int) -> Scores:
    """Second minus first when the models' answers are swapped on a random half of the clusters, as above."""
    import numpy as np

    first, second = sums[0].sums, sums[1].sums
    gaps = (second - first)[(first != second).any(axis=1)]  # swapping answers that are alike moves nothing
    gaps_UD, counts = np.unique(gaps, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    if WORTH_IT * len(gaps_UD) <= len(gaps):
        moved_PD = random.binomial(counts, 0.5, size=(n_permutations, len(counts))).astype(np.float64) @ gaps_UD
    else:
        sizes = (min(CHUNK, n_permutations - start) for start in range(0, n_permutations, CHUNK))
        swaps = (random.integers(2, size=(size, len(gaps))) for size in sizes)
        moved_PD = np.concatenate([swap.astype(np.float64) @ gaps for swap in swaps])
    return _gaps(sums, [first.sum(axis=0) + moved_PD, second.sum(axis=0) - moved_PD])


def _gaps(sums: Sequence[ClusterSums], totals: Sequence[NDArray[np.float64]]) -> Scores:
    first, second = (one.scores(total) for one, total in zip(sums, totals, strict=True))
    return {name: second[name] - first[name] for name in first}
