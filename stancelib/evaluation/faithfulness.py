"""Explanations of predictions by tokens, and whether they can be believed.

An explanation is faithful if deleting the tokens that it names moves the model more than deleting others does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stancelib.evaluation.intervals import Interval
from stancelib.schema import Judge, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["exact", "gradients", "occlusion"]
SHARES = (0.1, 0.2, 0.5)
_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What led a model to a label.

    Args:
        text: The statement.
        target: Its target.
        label: The label that is explained: the one that the model chose.
        spans: Start and end of every token of the text.
        weights: What each token adds to the log-odds of the label, in nats; negative where it speaks against it.
        target_weight: What the target adds; 0 for a model that doesn't see it.
        method: ``exact``, a sum that a linear model really forms; ``gradients``, integrated from padding to the
            statement; or ``occlusion``: the label's log-odds, minus those without the token.
    """

    text: str
    target: str | None
    label: str
    spans: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]
    target_weight: float
    method: Method

    @property
    def tokens(self) -> list[tuple[str, float]]:
        """Tokens with their weights, in the order of the text."""
        return [(self.text[start:end], weight) for (start, end), weight in zip(self.spans, self.weights, strict=True)]

    @property
    def strongest_first(self) -> list[int]:
        """Positions of the tokens, those that speak most for the label first."""
        return sorted(range(len(self.weights)), key=lambda token: -self.weights[token])


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """What deleting tokens costs the explained labels.

    Args:
        n: Statements.
        strongest: Mean drop in probability without the strongest tokens.
        random: The same without as many random ones.
        difference: The first minus the second, with its interval; above 0 for explanations that say something.
    """

    n: int
    strongest: float
    random: float
    difference: Interval


def token_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of every word and punctuation mark."""
    return tuple(match.span() for match in _TOKEN.finditer(text))


def without(text: str, spans: Sequence[tuple[int, int]], tokens: Collection[int]) -> str:
    """The text without some of its tokens, and without the gaps that they leave."""
    kept, at = [], 0
    for start, end in (spans[token] for token in sorted(tokens)):
        kept.append(text[at:start])
        at = end
    return " ".join("".join([*kept, text[at:]]).split())


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """``log(p / (1 - p))``, with p kept 1e-9 away from 0 and 1."""
    import numpy as np

    clipped = np.asarray(probability).clip(1e-9, 1 - 1e-9)
    odds: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return odds


def faithfulness(
    judge: Judge,
    explanations: Sequence[Explanation],
    *,
    shares: Sequence[float] = SHARES,
    n_random: int = 5,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Faithfulness | None:
    """Delete the strongest tokens of every explanation, and random ones, all judged in one batch.

    Args:
        judge: The model.
        explanations: Of its predictions; those of fewer than two tokens are left out.
        shares: Of the tokens that are deleted, each in (0, 1); at least one token. The drops are averaged over them.
        n_random: Random deletions for each of the strongest.
        level: Of the interval, which resamples statements.
        n_resamples: Of the bootstrap.
        seed: Of random deletions and bootstrap.

    Returns:
        The drops, or None without such an explanation.

    References:
        Samek et al. (2017), Evaluating the Visualization of What a Deep Neural Network Has Learned, on the area over
        the perturbation curve; DeYoung et al. (2020), ERASER, on comprehensiveness.
    """
    import numpy as np

    usable = [one for one in explanations if len(one.spans) > 1]
    if not usable:
        return None
    random = np.random.default_rng(seed)
    drops = np.array(_drops(judge, usable, shares, n_random, random))
    gaps = drops[:, 0] - drops[:, 1]
    drawn = gaps[random.integers(len(gaps), size=(n_resamples, len(gaps)))].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    strongest, at_random = drops.mean(axis=0).tolist()
    return Faithfulness(len(usable), strongest, at_random, Interval(float(gaps.mean()), float(low), float(high)))


def _drops(
    judge: Judge,
    explanations: Sequence[Explanation],
    shares: Sequence[float],
    n_random: int,
    random: np.random.Generator,
) -> list[list[float]]:
    """Mean drop in probability without the strongest tokens, and without random ones, of each statement."""
    texts: list[str] = []
    for one in explanations:
        n, order = len(one.spans), one.strongest_first
        texts.append(one.text)
        for share in shares:
            n_deleted = max(1, round(share * n))
            deleted = [order[:n_deleted], *(random.permutation(n)[:n_deleted].tolist() for _ in range(n_random))]
            texts += [without(one.text, one.spans, tokens) for tokens in deleted]
    per_statement = len(texts) // len(explanations)
    said = judge(Statements(texts, [one.target for one in explanations for _ in range(per_statement)]))
    found = []
    for i, one in enumerate(explanations):
        own = said.probabilities[i * per_statement : (i + 1) * per_statement, said.labels.id_of(one.label)]
        lost = (own[0] - own[1:]).reshape(len(shares), 1 + n_random)
        found.append([float(lost[:, 0].mean()), float(lost[:, 1:].mean())])
    return found
