"""Pairs of statements as a task of the loop: those with the same label are drawn together, others apart.

Pairs are drawn when their step comes, from the row numbers of each label, so memory doesn't grow with their number.

Shapes: P pairs in a batch, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stancelib.training.batching import TokenRows
from stancelib.training.network import inputs_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How many pairs, and which.

    Args:
        per_statement: Pairs drawn per training statement and epoch, at least 1.
        at_most: Pairs per epoch, however many statements there are, at least 1.
        same_target_fraction: Of the pairs with different labels, how many share their target where they can, in [0, 1]:
            without them, the encoder learns to tell topics apart.

    Raises:
        ValueError: If an option is out of range.
    """

    per_statement: int = 32
    at_most: int = 8000
    same_target_fraction: float = 0.5

    def __post_init__(self) -> None:
        for name in ("per_statement", "at_most"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.same_target_fraction <= 1:
            raise ValueError(f"same_target_fraction must be in [0, 1], got {self.same_target_fraction}.")


class PairSampler:
    """Draws pairs of row numbers: half of them of one label, half of two.

    Args:
        label_ids: Of the rows.
        targets: Of the rows.
        settings: Which pairs.
        seed: A step's pairs are a function of the seed and the step.
    """

    def __init__(
        self, *, label_ids: NDArray[np.int_], targets: Sequence[str | None], settings: PairSettings, seed: int
    ) -> None:
        import numpy as np

        self.label_ids = label_ids
        self.settings = settings
        self.seed = seed
        self._by_label = [np.flatnonzero(label_ids == label) for label in range(int(label_ids.max()) + 1)]
        self._targets = targets
        by_target: dict[str, list[int]] = {}
        for row, target in enumerate(targets):
            by_target.setdefault(target or "", []).append(row)
        self._by_target = {target: np.array(rows) for target, rows in by_target.items()}

    def pairs(self, step: int, n: int) -> NDArray[np.int_]:
        """``n`` pairs, shape (n, 2)."""
        import numpy as np

        rng = np.random.default_rng([self.seed, step])
        pairs = []
        for i in range(n):
            label = int(rng.integers(len(self._by_label)))
            first = int(rng.choice(self._by_label[label]))
            second = self._alike(rng, first, label) if i % 2 == 0 else self._unlike(rng, first, label)
            pairs.append((first, second))
        return np.array(pairs)

    def _alike(self, rng: np.random.Generator, first: int, label: int) -> int:
        """Another row of the label; the same row where there is no other."""
        rows = self._by_label[label]
        second = int(rng.choice(rows))
        return second if second != first or len(rows) == 1 else int(rng.choice(rows[rows != first]))

    def _unlike(self, rng: np.random.Generator, first: int, label: int) -> int:
        """A row of another label, under the same target as often as asked for."""
        if rng.random() < self.settings.same_target_fraction:
            near = self._by_target[self._targets[first] or ""]
            near = near[self.label_ids[near] != label]
            if len(near):
                return int(rng.choice(near))
        other = int(rng.integers(len(self._by_label) - 1))
        return int(rng.choice(self._by_label[other + (other >= label)]))


class PairTask:
    """Pulls the cosine of a pair towards 1 where its labels agree, and towards 0 where they don't.

    Args:
        tokens: The training rows.
        sampler: Where pairs come from.
        batch_size: Pairs per step.
        score: What a network is worth, asked at each evaluation.
    """

    def __init__(
        self,
        *,
        tokens: TokenRows,
        sampler: PairSampler,
        batch_size: int,
        score: Callable[[Any], Mapping[str, float]],
    ) -> None:
        self.tokens = tokens
        self.sampler = sampler
        self.batch_size = batch_size
        self.evaluate = score
        n_pairs = min(len(tokens) * sampler.settings.per_statement, sampler.settings.at_most)
        self.n_batches = max(1, n_pairs // batch_size)

    def batch(self, step: int) -> NDArray[np.int_]:
        """The pairs of one step, shape (n_pairs, 2)."""
        return self.sampler.pairs(step, self.batch_size)

    def weight(self, rows: NDArray[np.int_]) -> float:
        """The number of pairs."""
        return float(len(rows))

    def loss(self, network: Any, rows: NDArray[np.int_]) -> Any:
        """Summed squared error of the cosines."""
        import numpy as np
        import torch

        inputs = inputs_for(getattr(network, "module", network), self.tokens.batch(rows.T.ravel()))
        first_PD, second_PD = network(inputs).float().chunk(2)
        agree = self.sampler.label_ids[rows[:, 0]] == self.sampler.label_ids[rows[:, 1]]
        wanted_P = torch.from_numpy(agree.astype(np.float32)).to(first_PD.device)
        return (torch.cosine_similarity(first_PD, second_PD) - wanted_P).square().sum()
