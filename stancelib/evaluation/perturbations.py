"""Changes to a text that leave its stance alone, and what they cost a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stancelib.errors import ConfigError, DataError, nearest
from stancelib.evaluation.comparison import compare
from stancelib.evaluation.intervals import Interval, clusters_of, with_bounds
from stancelib.evaluation.metrics import HEADLINES
from stancelib.schema import Judge, Predictions, Statements

if TYPE_CHECKING:
    import numpy as np

NOISE_RATE = 0.06
SPEAKERS = ("the spokesperson", "one of those present", "a member of the delegation", "the person in charge")
ATTRIBUTIONS = (
    '{Speaker} said: "{text}"',
    '{Speaker} said the following: "{text}"',
    '"{text}" These were the words of {speaker}.',
    'As {speaker} put it: "{text}"',
    'According to {speaker}: "{text}"',
    '{Speaker} was quoted with the words: "{text}"',
    '"{text}", {speaker} said.',
)
THAT = ("{Speaker} said that {text}", "{Speaker} stated that {text}", "{Speaker} let it be known that {text}")
NEUTRAL = (
    "The remark was made on a Tuesday.",
    "The minutes were taken by the usual secretary.",
    "It was a little after four in the afternoon.",
    "The whole conversation took about twenty minutes.",
    "Coffee and water were on the table.",
    "The room was on the second floor.",
    "A copy of these lines was kept in the archive.",
    "Two other items had been dealt with before.",
    "It had rained for most of the morning.",
    "Several people took notes.",
    "The next item was the seating plan.",
    "The text was later put on the website.",
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_CLAUSE = re.compile(r"(?:The|We|It|There|This|These|Those|They|Our|His|Her|Its|Their|He|She|A|An|In|No)\b(?!,)")


def _typos(text: str, speaker: str, random: np.random.Generator, rate: float = NOISE_RATE) -> str:
    """Letters swapped, dropped and doubled.

    Words of up to three letters and the first letter of each word stay, so that no *not* is lost and people still
    read the same sentence.
    """

    def noisy(word: re.Match[str]) -> str:
        letters = list(word.group())
        for at in (random.random(len(letters)) < rate).nonzero()[0].tolist():
            kind = random.integers(3)
            if at == 0 or not letters[at]:
                continue
            if kind == 0 and at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            else:
                letters[at] = "" if kind == 1 else letters[at] * 2
        return "".join(letters)

    return _WORD.sub(noisy, text)


def _attribution(text: str, speaker: str, random: np.random.Generator) -> str:
    """The text as something that its speaker said, in one of several wordings."""
    speaker = speaker or SPEAKERS[random.integers(len(SPEAKERS))]
    is_clause = _CLAUSE.match(text) and re.fullmatch(r"[^.!?:;\"“”]+\.", text)
    wordings = THAT if is_clause else ATTRIBUTIONS
    inner = text[0].lower() + text[1:] if is_clause else text.strip().replace('"', "'")
    wording = wordings[random.integers(len(wordings))]
    return wording.format(speaker=speaker, Speaker=speaker[0].upper() + speaker[1:], text=inner)


def _neutral_clause(text: str, speaker: str, random: np.random.Generator) -> str:
    """The text, then a sentence that says nothing about the target."""
    text = text.rstrip()
    end = "" if text.endswith((".", "!", "?", "…", '"', "”", "'", "’", ")")) else "."
    return f"{text}{end} {NEUTRAL[random.integers(len(NEUTRAL))]}"


PERTURBATIONS: Mapping[str, Callable[[str, str, np.random.Generator], str]] = {
    "typos": _typos,
    "lowercase": lambda text, speaker, random: text.lower(),
    "uppercase": lambda text, speaker, random: text.upper(),
    "attribution": _attribution,
    "neutral_clause": _neutral_clause,
}
"""What can be done to a text, by name."""


def perturb(statements: Statements, name: str, *, seed: int = 0) -> Statements:
    """The same statements with other texts; targets, labels and all other columns stay.

    Args:
        statements: Labelled or not. ``attribution`` takes the column ``speaker`` where there is one.
        name: One of ``PERTURBATIONS``.
        seed: Of the draws; ``lowercase`` and ``uppercase`` need none.

    Raises:
        ConfigError: If there is no such perturbation.
    """
    import numpy as np

    if name not in PERTURBATIONS:
        raise ConfigError(
            f"unknown perturbation {name!r}; there are {', '.join(PERTURBATIONS)}{nearest(name, PERTURBATIONS)}"
        )
    random = np.random.default_rng(seed)
    speakers = statements.columns.get("speaker") or [""] * len(statements)
    texts = [
        PERTURBATIONS[name](text, speaker if isinstance(speaker, str) else "", random) if text.strip() else text
        for text, speaker in zip(statements.texts, speakers, strict=True)
    ]
    return replace(statements, texts=texts)


@dataclass(frozen=True, slots=True)
class Drop:
    """What one perturbation costs.

    Args:
        name: Of the perturbation.
        score: On the perturbed statements.
        drop: Score without the perturbation minus ``score``, with its interval; positive where it does harm.
        flipped_fraction: Share of the statements that get another label, in [0, 1].
    """

    name: str
    score: float
    drop: Interval
    flipped_fraction: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """What each perturbation costs a model.

    Args:
        headline: The score, such as ``macro_f1``.
        score: On the statements as they are.
        drops: By name of the perturbation.
    """

    headline: str
    score: float
    drops: Mapping[str, Drop]

    def metrics(self) -> dict[str, float]:
        """``robustness/<name>`` (the score) and ``robustness/<name>_drop``, ``…_drop_low``, ``…_drop_high``."""
        found: dict[str, float] = {}
        for name, one in self.drops.items():
            found |= {name: one.score, f"{name}_drop": one.drop.value} | with_bounds({f"{name}_drop": one.drop})
        return {f"robustness/{name}": value for name, value in found.items()}


def robustness(
    judge: Judge,
    statements: Statements,
    *,
    names: Sequence[str] = tuple(PERTURBATIONS),
    headline: str = "macro_f1",
    skip_labels: Sequence[str] = (),
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Robustness:
    """Score a model on perturbed statements, all judged in one batch with the unperturbed ones.

    Args:
        judge: The model.
        statements: Labelled statements, with the model's labels.
        names: Perturbations; see ``PERTURBATIONS``.
        headline: The score: macro_f1, f_avg, accuracy or mcc.
        skip_labels: Labels left out of ``f_avg``.
        clusters: What each statement is drawn with; None takes ``clusters_of(statements)``.
        level: Of the intervals, which resample clusters and keep both answers to a statement together.
        n_resamples: Of the bootstrap.
        seed: Of perturbations and bootstrap.

    Raises:
        ConfigError: If there is no such perturbation or score, or none is named.
        DataError: If the statements are unlabelled, or their labels aren't the model's.
    """
    valid = HEADLINES if skip_labels else tuple(name for name in HEADLINES if name != "f_avg")
    if headline not in valid:
        raise ConfigError(f"headline must be one of {', '.join(valid)}, got {headline!r}{nearest(headline, valid)}")
    if not names:
        raise ConfigError(f"names is empty; name at least one of {', '.join(PERTURBATIONS)}.")
    n = len(statements.gold)
    said = judge(Statements.concatenate([statements, *(perturb(statements, name, seed=seed) for name in names)]))
    if statements.labels is None or said.labels.names != statements.labels.names:
        raise DataError(
            f"the model's labels are {', '.join(said.labels)}, those of the statements "
            f"{', '.join(statements.labels or ())}; they must be the same in the same order."
        )
    parts = [_part(said, statements, slice(i * n, (i + 1) * n)) for i in range(len(names) + 1)]
    clusters = clusters_of(statements) if clusters is None else clusters
    drops, score = {}, 0.0
    for name, part in zip(names, parts[1:], strict=True):
        found = compare(
            part,
            parts[0],
            clusters,
            skip_labels=skip_labels,
            level=level,
            n_resamples=n_resamples,
            n_permutations=1,
            seed=seed,
        ).differences[headline]
        score = found.second
        flipped = float((part.label_ids != parts[0].label_ids).mean())
        drops[name] = Drop(name, found.first, found.interval, flipped)
    return Robustness(headline, score, drops)


def _part(said: Predictions, statements: Statements, rows: slice) -> Predictions:
    """The answers to one perturbation, as answers to the statements it was made from."""
    chosen = None if said.chosen is None else said.chosen[rows]
    return Predictions(statements, said.labels, said.probabilities[rows], chosen)
