"""The gates as a policy: their values, and which of two sets of them asks for less."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stancelib.errors import nearest
from stancelib.evaluation.metrics import HEADLINES
from stancelib.schema import TEST, VALIDATION

BEHAVIOUR_FLOORS: dict[str, float | None] = {
    "absurd_condition": 0.3,
    "questions": 0.45,
    "sarcasm": 0.4,
    "swapped_clauses": None,
}
SHARES = ("min_slice", "min_behaviour", "max_ece", "min_pair_accuracy")
FIXED = ("split", "score", "skip_labels")  # neither value asks for more than the other
STRICTER_LOWER = ("tolerance", "max_drop", "rescore_champion", "max_ece")
STRICTER_HIGHER = (
    *("alpha", "min_slice", "min_behaviour"),
    *("min_target_reliance", "min_pair_accuracy", "min_gap_to_control"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What a run must show; None leaves a gate out.

    Args:
        split: The split that score, slices and calibration are taken on: validation or test.
        score: The score compared with the champion's: macro_f1, f_avg, accuracy or mcc.
        skip_labels: Labels left out of ``f_avg``.
        alpha: At a p-value up to this, the paired test takes a drop for more than chance; in (0, 1).
        tolerance: Drop that is let through even where the test is sure of it, at least 0.
        max_drop: Largest drop let through where the test can't tell it from chance; None for any.
        rescore_champion: Judge the run's statements with a champion that was scored on others, or not at all.
        min_slice: Floor of every slice that is large enough to judge.
        slice_floors: Floors of single slices, such as ``register/chat``, instead of ``min_slice``.
        min_behaviour: Floor of every capability's pass rate.
        behaviour_floors: Floors of single capabilities, such as ``sarcasm``, instead of ``min_behaviour``.
        max_ece: Highest expected calibration error.
        min_target_reliance: Bound that target reliance must exceed with its whole interval.
        min_pair_accuracy: Bound that pair accuracy must exceed with its whole interval.
        min_gap_to_control: Bound that the gap to the best control must exceed with its whole interval.

    Raises:
        ValueError: If a value is out of range, or ``f_avg`` has no labels to skip.
    """

    split: str = VALIDATION
    score: str = "macro_f1"
    skip_labels: Sequence[str] = ()
    alpha: float = 0.05
    tolerance: float = 0.0
    max_drop: float | None = 0.02
    rescore_champion: bool = False
    min_slice: float | None = 0.4
    slice_floors: Mapping[str, float | None] | None = None
    min_behaviour: float | None = 0.5
    behaviour_floors: Mapping[str, float | None] | None = field(default_factory=BEHAVIOUR_FLOORS.copy)
    max_ece: float | None = 0.1
    min_target_reliance: float | None = 0.0
    min_pair_accuracy: float | None = 0.0
    min_gap_to_control: float | None = 0.0

    def __post_init__(self) -> None:
        if self.split not in (VALIDATION, TEST):
            raise ValueError(f"split must be {VALIDATION} or {TEST}, got {self.split!r}.")
        if self.score not in HEADLINES:
            valid = f"{', '.join(HEADLINES)}, got {self.score!r}{nearest(self.score, HEADLINES)}"
            raise ValueError(f"score must be one of {valid}")
        if self.score == "f_avg" and not self.skip_labels:
            raise ValueError("score 'f_avg' needs skip_labels: the labels that its mean leaves out, such as ['NONE'].")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be above 0 and below 1, got {self.alpha}.")
        if not self.tolerance >= 0:  # so that nan is refused too
            raise ValueError(f"tolerance must be at least 0, got {self.tolerance}.")
        if self.max_drop is not None and not self.max_drop >= self.tolerance:
            raise ValueError(f"max_drop must be at least tolerance ({self.tolerance}), got {self.max_drop}.")
        shares = {name: getattr(self, name) for name in SHARES}
        for kind in ("slice_floors", "behaviour_floors"):
            shares |= {f"{kind} '{name}'": floor for name, floor in (getattr(self, kind) or {}).items()}
        for name, share in shares.items():
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share}.")


@dataclass(frozen=True, slots=True)
class Loosening:
    """A gate that asks for less than the policy does.

    Args:
        asked: The gate and its value, such as ``max_ece=0.5``.
        verb: What that would do to the gate: loosen, remove or change.
        configured: What the policy has in its place, such as ``max_ece=0.1``.
    """

    asked: str
    verb: str
    configured: str


def loosenings(policy: Gates, asked: Gates) -> Iterator[Loosening]:
    """Where ``asked`` could let a run through that ``policy`` refuses."""
    for name in FIXED:
        before, after = getattr(policy, name), getattr(asked, name)
        if (before if isinstance(before, str) else list(before)) != (after if isinstance(after, str) else list(after)):
            yield Loosening(_spelled(name, after), "change", _spelled(name, before))
    for names, sign in ((STRICTER_LOWER, -1), (STRICTER_HIGHER, 1)):
        for name in names:
            before, after = getattr(policy, name), getattr(asked, name)
            if not _strictness(after, sign) >= _strictness(before, sign):
                yield Loosening(_spelled(name, after), _verb(after), _spelled(name, before))
    for kind in ("slice", "behaviour"):
        yield from _floor_loosenings(kind, policy, asked)


def _floor_loosenings(kind: str, policy: Gates, asked: Gates) -> Iterator[Loosening]:
    """Named floors that are lower than before, or no longer demanded by name: without it, a missing one would pass."""
    (own, general), (own_after, general_after) = (
        (getattr(gates, f"{kind}_floors") or {}, getattr(gates, f"min_{kind}")) for gates in (policy, asked)
    )
    for name in {**own, **own_after}:
        before, after = own.get(name, general), own_after.get(name, general_after)
        unnamed = own.get(name) is not None and own_after.get(name) is None
        if unnamed or not _strictness(after) >= _strictness(before):
            key, value = f"{kind}_floors.{name}", own_after.get(name)
            configured = _spelled(key, before) if name in own else _spelled(f"min_{kind}", before)
            yield Loosening(_spelled(key, value), _verb(value), configured)


def _strictness(value: float | None, sign: int = 1) -> float:
    return -math.inf if value is None else sign * value


def _verb(value: object) -> str:
    return "remove" if value is None else "loosen"


def _spelled(name: str, value: object) -> str:
    """As the command line and YAML have it."""
    if value is None or isinstance(value, bool):
        return f"{name}={'null' if value is None else str(value).lower()}"
    if isinstance(value, int | float):
        return f"{name}={value:g}"
    return f"{name}={list(value) if isinstance(value, list | tuple) else value}"
