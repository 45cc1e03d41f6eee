"""What a run must show before its model is given an alias; a gate whose number is missing is failed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from stancelib.errors import DataError, nearest
from stancelib.evaluation.comparison import Difference, compare
from stancelib.evaluation.intervals import clusters_of
from stancelib.evaluation.metrics import HEADLINES
from stancelib.evaluation.slices import slice_scores
from stancelib.schema import Predictions

BEHAVIOUR = "behaviour/"
LEFT_OUT, EXACT = "nothing: left out", 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What a run must show; None leaves a gate out.

    Args:
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

    Raises:
        ValueError: If a value is out of range, or ``f_avg`` has no labels to skip.
    """

    score: str = "macro_f1"
    skip_labels: Sequence[str] = ()
    alpha: float = 0.05
    tolerance: float = 0.0
    max_drop: float | None = 0.02
    rescore_champion: bool = False
    min_slice: float | None = 0.4
    slice_floors: Mapping[str, float | None] | None = None
    min_behaviour: float | None = 0.5
    behaviour_floors: Mapping[str, float | None] | None = None
    max_ece: float | None = 0.1
    min_target_reliance: float | None = 0.0
    min_pair_accuracy: float | None = 0.0

    def __post_init__(self) -> None:
        if self.score not in HEADLINES:
            valid = f"{', '.join(HEADLINES)}, got {self.score!r}{nearest(self.score, HEADLINES)}"
            raise ValueError(f"score must be one of {valid}")
        if self.score == "f_avg" and not self.skip_labels:
            raise ValueError("score 'f_avg' needs skip_labels: the labels that its mean leaves out, such as ['NONE'].")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be above 0 and below 1, got {self.alpha}.")
        if self.max_drop is not None and self.max_drop < self.tolerance:
            raise ValueError(f"max_drop must be at least tolerance ({self.tolerance}), got {self.max_drop}.")
        if self.tolerance < 0:
            raise ValueError(f"tolerance must be at least 0, got {self.tolerance}.")
        shares = {name: getattr(self, name) for name in ("min_slice", "min_behaviour", "max_ece", "min_pair_accuracy")}
        for kind in ("slice_floors", "behaviour_floors"):
            shares |= {f"{kind} '{name}'": floor for name, floor in (getattr(self, kind) or {}).items()}
        for name, share in shares.items():
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run as the gates see it.

    Args:
        name: What people call it.
        metrics: Its numbers, by names such as ``validation/ece`` and ``probe/target_reliance_low``.
        digest: Of the split that it was scored on; empty if it wasn't.
        predictions: Its labelled predictions of that split; None if there are none.
    """

    name: str
    metrics: Mapping[str, float]
    digest: str
    predictions: Predictions | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One gate.

    Args:
        gate: What was asked.
        measured: What was found.
        required: What it must be.
        reason: Why the gate is failed, and what to do; empty if it is passed.
    """

    gate: str
    measured: str
    required: str
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether what was found is what it must be."""
        return not self.reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """All gates of a run, also those that were left out."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The gates that it doesn't pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Whether it passes them all."""
        return not self.failed

    @property
    def digest(self) -> str:
        """SHA-256 of every gate and what was measured (64 hex digits)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def judge(candidate: Candidate, champion: Candidate | None, gates: Gates, *, split: str) -> Verdict:
    """Put a run to all gates.

    Args:
        candidate: The run.
        champion: What holds the alias now; None if nothing does.
        gates: What the run must show.
        split: The split that scores and calibration are taken on.
    """
    found = [*_score(candidate, champion, gates)]
    for kind, gate in (("slice", _slices), ("behaviour", _behaviour)):
        asked = getattr(gates, f"min_{kind}") is not None or getattr(gates, f"{kind}_floors")
        found += gate(candidate, gates) if asked else [_left_out(kind)]
    found += [_left_out("ece")] if gates.max_ece is None else _calibration(candidate, gates.max_ece, split)
    for name in ("target_reliance", "pair_accuracy"):
        bound = getattr(gates, f"min_{name}")
        found += [_left_out(name.replace("_", " "))] if bound is None else _probe(candidate, name, bound)
    return Verdict(tuple(found))


def _score(candidate: Candidate, champion: Candidate | None, gates: Gates) -> Iterator[Check]:
    """Not below the champion, on the same statements."""
    required = f"not below the champion (tolerance {gates.tolerance:g})"
    if candidate.predictions is None:
        yield _missing(gates.score, required, _unscored(candidate))
    elif champion is None:
        yield Check(gate=gates.score, measured="there is no champion yet", required=required)
    elif champion.predictions is None:
        reason = f"{champion.name} has no predictions of this split; judge it anew with rescore_champion=true."
        yield _missing(gates.score, required, reason)
    elif candidate.digest != champion.digest:
        reason = (
            f"{candidate.name} was scored on a split with digest {candidate.digest or 'unknown'}, {champion.name} on "
            f"{champion.digest or 'unknown'}: scores on different statements can't be compared. "
            "Train on the champion's data, or judge the champion on these statements with rescore_champion=true."
        )
        yield _missing(gates.score, required, reason)
    else:
        first, second = champion.predictions, candidate.predictions
        try:
            found = compare(first, second, clusters_of(first.statements), skip_labels=gates.skip_labels)
        except DataError as error:
            yield _missing(gates.score, required, str(error))
        else:
            yield _difference(found.differences[gates.score], required, gates)


def _difference(found: Difference, required: str, gates: Gates) -> Check:
    """A drop fails if the test is sure of it, or if it is too large for a test that is not."""
    drop, reason = -found.interval.value, ""
    if drop > gates.tolerance + EXACT and found.p_value <= gates.alpha:
        reason = f"a drop of {drop:.4f} is more than chance (p = {found.p_value:.4f}) and the tolerance."
    elif gates.max_drop is not None and drop > gates.max_drop + EXACT:
        reason = (
            f"a drop of {drop:.4f} is over max_drop ({gates.max_drop:g}), though the test can't tell it from chance "
            f"(p = {found.p_value:.4f}): it would find one of {found.detectable:.3f} four times out of five."
        )
    measured = (
        f"{found.second:.4f}, champion {found.first:.4f}, difference {found.interval.value:+.4f} "
        f"[{found.interval.low:+.4f}, {found.interval.high:+.4f}], p = {found.p_value:.4f}"
    )
    return Check(gate=found.name, measured=measured, required=required, reason=reason)


def _slices(candidate: Candidate, gates: Gates) -> Iterator[Check]:
    """No slice below its floor; one that is too small to judge is passed over, unless it has a floor of its own."""
    if candidate.predictions is None:
        yield _missing("slices", _at_least(gates.min_slice), _unscored(candidate))
        return
    own = gates.slice_floors or {}
    slices = {f"{one.kind}/{one.value}": one for one in slice_scores(candidate.predictions).slices}
    values = {name: one.interval.value for name, one in slices.items() if one.interval is not None}
    for name, floor in own.items():
        if floor is not None and name not in values:
            why = slices[name].reason + "." if name in slices else f"there is no such slice{nearest(name, slices)}"
            yield _missing(f"slice {name}", _at_least(floor), f"{why} Mend slice_floors, or score more data.")
    if gates.min_slice is not None and not values:
        reason = f"none of {len(slices)} slices is large enough to judge; min_slice=null leaves the gate out."
        yield _missing("slices", _at_least(gates.min_slice), reason)
    floors = {name: own.get(name, gates.min_slice) for name in values}
    yield from _floors("slice", values, floors, n_too_small=len(slices) - len(values))


def _behaviour(candidate: Candidate, gates: Gates) -> Iterator[Check]:
    """No capability below its floor."""
    own = gates.behaviour_floors or {}
    rates = {
        name.removeprefix(BEHAVIOUR): rate
        for name, rate in candidate.metrics.items()
        if name.startswith(BEHAVIOUR) and name != f"{BEHAVIOUR}all" and not math.isnan(rate)
    }
    for name, floor in own.items():
        if floor is not None and name not in rates:
            reason = f"{candidate.name} logged no {BEHAVIOUR}{name}{nearest(name, rates)} Train it with that case file."
            yield _missing(f"capability {name}", _at_least(floor), reason)
    if gates.min_behaviour is not None and not rates:
        step = "train it with evaluation.analyses.behaviour=true, or leave the gate out: min_behaviour=null."
        reason = f"{candidate.name} logged no {BEHAVIOUR} numbers; {step}"
        yield _missing("capabilities", _at_least(gates.min_behaviour), reason)
    yield from _floors("capability", rates, {name: own.get(name, gates.min_behaviour) for name in rates})


def _floors(
    kind: str, values: Mapping[str, float], floors: Mapping[str, float | None], *, n_too_small: int = 0
) -> Iterator[Check]:
    """A check for each that is below its floor, and one for all others, which names the closest to it."""
    above: list[tuple[float, str]] = []
    for name, value in values.items():
        if (floor := floors[name]) is None:
            continue
        if value + EXACT >= floor:
            above.append((value - floor, name))
        else:
            gate, reason = f"{kind} {name}", f"{value:.4f} is below its floor."
            yield Check(gate=gate, measured=f"{value:.4f}", required=_at_least(floor), reason=reason)
    if above:
        _, closest = min(above)
        measured = f"{len(above)} above, closest {closest} with {values[closest]:.4f}"
        measured += f"; {n_too_small} too small to judge" if n_too_small else ""
        yield Check(gate=f"every {kind}", measured=measured, required=_at_least(floors[closest]))


def _calibration(candidate: Candidate, highest: float, split: str) -> Iterator[Check]:
    required, found = f"at most {highest:g}", candidate.metrics.get(f"{split}/ece", math.nan)
    if math.isnan(found):
        reason = f"{candidate.name} logged no {split}/ece; train it with that split in evaluation.splits."
        yield _missing("ece", required, reason)
    else:
        too_high = "its probabilities are not what they claim; evaluation.calibrate=true may mend it."
        reason = too_high if found > highest + EXACT else ""
        yield Check(gate="ece", measured=f"{found:.4f}", required=required, reason=reason)


def _probe(candidate: Candidate, name: str, bound: float) -> Iterator[Check]:
    """A number of the target probes above its bound with its whole interval."""
    title, required = name.replace("_", " "), f"above {bound:g} with its whole interval"
    value, low, high = (candidate.metrics.get(f"probe/{name}{end}", math.nan) for end in ("", "_low", "_high"))
    if math.isnan(low):
        why = f"{candidate.name} logged no probe/{name}_low; train it with evaluation.analyses.probes=true"
        if name == "pair_accuracy" and candidate.metrics.get("probe/n_pairs") == 0:
            why = "no two statements share their text and differ in target and label; choose data with such pairs"
        yield _missing(title, required, f"{why}, or leave the gate out: min_{name}=null.")
    else:
        reason = "" if low > bound else "the model does not prove that it uses the target."
        yield Check(gate=title, measured=f"{value:.4f} [{low:.4f}, {high:.4f}]", required=required, reason=reason)


def _left_out(gate: str) -> Check:
    return Check(gate=gate, measured="", required=LEFT_OUT)


def _missing(gate: str, required: str, reason: str) -> Check:
    return Check(gate=gate, measured="missing", required=required, reason=reason)


def _unscored(candidate: Candidate) -> str:
    return f"{candidate.name} kept no predictions of this split; train it with that split in evaluation.splits."


def _at_least(floor: float | None) -> str:
    return "every floor" if floor is None else f"at least {floor:g}"
