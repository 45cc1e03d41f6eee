"""A run put to the gates; one whose number is missing is failed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from stancelib.errors import DataError, nearest
from stancelib.evaluation.comparison import Difference, compare
from stancelib.evaluation.intervals import clusters_of
from stancelib.evaluation.slices import slice_scores
from stancelib.learned import BY_CHANCE
from stancelib.promoting.gates import Gates
from stancelib.schema import Predictions

BEHAVIOUR = "behaviour/"
LEFT_OUT, EXACT = "nothing: left out", 1e-9
JUDGED_ANEW = "judge the champion on these statements with rescore_champion: true in a policy of your own."
ONE_CLUSTER = "it was taken on a single cluster of statements, so nobody knows how sure it is; score more data"
LEAST_LEVEL, LEAST_RESAMPLES = 0.95, 1000
PROBES = ("target_reliance", "pair_accuracy", "gap_to_control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run as the gates see it.

    Args:
        name: What people call it.
        metrics: Its numbers, by names such as ``validation/ece`` and ``probe/target_reliance_low``.
        digest: Of the split that it was scored on; empty if it wasn't.
        predictions: Its labelled predictions of that split; None if there are none.
        n_learned: How many of their statements it has learned from; None if its model doesn't tell.
        level: Of the intervals among its numbers; None if the run doesn't record it.
        n_resamples: That these intervals were taken from; None likewise.
        slices: Results of its own table of slices, such as ``target in training/unseen``; None for too small ones.
    """

    name: str
    metrics: Mapping[str, float]
    digest: str
    predictions: Predictions | None
    n_learned: int | None = None
    level: float | None = None
    n_resamples: int | None = None
    slices: Mapping[str, float | None] = field(default_factory=dict)


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


def judge(candidate: Candidate, champion: Candidate | None, gates: Gates) -> Verdict:
    """Put a run to all gates.

    Args:
        candidate: The run.
        champion: What holds the alias now; None if nothing does.
        gates: What the run must show.
    """
    found = [*_score(candidate, champion, gates), *_newness(candidate)]
    for kind, gate in (("slice", _slices), ("behaviour", _behaviour)):
        asked = getattr(gates, f"min_{kind}") is not None or getattr(gates, f"{kind}_floors")
        found += gate(candidate, gates) if asked else [_left_out(kind)]
    found += [_left_out("ece")] if gates.max_ece is None else _calibration(candidate, gates.max_ece, gates.split)
    for name in PROBES:
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
        reason = f"{champion.name} has no predictions of this split; {JUDGED_ANEW}"
        yield _missing(gates.score, required, reason)
    elif candidate.digest != champion.digest:
        reason = (
            f"{candidate.name} was scored on a split with digest {candidate.digest or 'unknown'}, {champion.name} on "
            f"{champion.digest or 'unknown'}: scores on different statements can't be compared. "
            f"Train on the champion's data, or {JUDGED_ANEW}"
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


def _newness(candidate: Candidate) -> Iterator[Check]:
    """Scores of statements that a model has learned from say nothing; a few are there twice by nobody's fault."""
    required = f"at most {BY_CHANCE:.0%} of the statements learned from"
    if candidate.predictions is None:
        return
    if candidate.n_learned is None:
        reason = f"the model of {candidate.name} doesn't tell what it has learned from; train it anew."
        yield _missing("new statements", required, reason)
        return
    n_rows = len(candidate.predictions.statements)
    reason = "its scores tell what it remembers; train it on other statements than those that it is judged on."
    is_new = candidate.n_learned <= BY_CHANCE * n_rows
    measured = f"{candidate.n_learned:,} of {n_rows:,}"
    yield Check(gate="new statements", measured=measured, required=required, reason="" if is_new else reason)


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
    values = {name: value for name, value in candidate.slices.items() if value is not None}
    values |= {name: one.interval.value for name, one in slices.items() if one.interval is not None}
    for name, floor in own.items():
        if floor is not None and name not in values:
            known = {**candidate.slices, **slices}
            why = f"there is no such slice{nearest(name, known)}" if name not in known else "it is too small to judge."
            why = f"{slices[name].reason}." if name in slices else why
            yield _missing(f"slice {name}", _at_least(floor), f"{why} Mend slice_floors, or score more data.")
    if gates.min_slice is not None and not values:
        reason = f"none of {len(slices)} slices is large enough to judge; score more data, {_or_left_out('min_slice')}"
        yield _missing("slices", _at_least(gates.min_slice), reason)
    floors = {name: own.get(name, gates.min_slice) for name in values}
    yield from _floors("slice", values, floors, n_too_small=len({**candidate.slices, **slices}) - len(values))


def _behaviour(candidate: Candidate, gates: Gates) -> Iterator[Check]:
    """No capability below its floor."""
    own = gates.behaviour_floors or {}
    rates = {
        name.removeprefix(BEHAVIOUR): rate
        for name, rate in candidate.metrics.items()
        if name.startswith(BEHAVIOUR) and name != f"{BEHAVIOUR}all" and not math.isnan(rate)
    }
    if gates.min_behaviour is not None and not rates:
        reason = (
            f"{candidate.name} logged no {BEHAVIOUR} numbers; train it with evaluation.analyses.behaviour=true. Where "
            "its labels are none of the shipped cases, add cases of your own with evaluation.analyses.behaviour_files, "
            f"{_or_left_out('min_behaviour').removesuffix('.')}, and behaviour_floors: null."
        )
        yield _missing("capabilities", _at_least(gates.min_behaviour), reason)
        return
    for name, floor in own.items():
        if floor is not None and name not in rates:
            reason = (
                f"{candidate.name} logged no {BEHAVIOUR}{name}{nearest(name, rates)} Train it with that case file, "
                f"{_or_left_out(f'behaviour_floors: {{{name}').removesuffix('.')}}}."
            )
            yield _missing(f"capability {name}", _at_least(floor), reason)
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
        too_high = "its probabilities are not what they claim; calibrate on more statements, or take another model."
        reason = too_high if found > highest + EXACT else ""
        yield Check(gate="ece", measured=f"{found:.4f}", required=required, reason=reason)


def _probe(candidate: Candidate, name: str, bound: float) -> Iterator[Check]:
    """A number of the target probes above its bound with its whole interval."""
    title, required = name.replace("_", " "), f"above {bound:g} with its whole interval"
    value, low, high = (candidate.metrics.get(f"probe/{name}{end}", math.nan) for end in ("", "_low", "_high"))
    if math.isnan(low):
        why = _why_not_probed(candidate, name) if math.isnan(value) else ONE_CLUSTER
        yield _missing(title, required, f"{why}, {_or_left_out(f'min_{name}')}")
    elif too_weak := _too_weak(candidate):
        yield _missing(title, required, too_weak)
    else:
        reason = "" if low > bound else _not_proved(candidate, name)
        yield Check(gate=title, measured=f"{value:.4f} [{low:.4f}, {high:.4f}]", required=required, reason=reason)


def _too_weak(candidate: Candidate) -> str:
    """Why the run's intervals prove nothing; empty where they do."""
    level, n_resamples = candidate.level, candidate.n_resamples
    if level is None or n_resamples is None:
        return f"{candidate.name} doesn't record what its intervals rest on; train it anew."
    if level >= LEAST_LEVEL and n_resamples >= LEAST_RESAMPLES:
        return ""
    return (
        f"its interval is one of level {level:g} from {n_resamples:,} resamples, and at least {LEAST_LEVEL:g} and "
        f"{LEAST_RESAMPLES:,} are needed; train it with evaluation.level and evaluation.n_resamples at their defaults."
    )


def _why_not_probed(candidate: Candidate, name: str) -> str:
    if name == "pair_accuracy" and candidate.metrics.get("probe/n_pairs") == 0:
        return "no two statements share their text and differ in target and label; choose data with such pairs"
    if name == "gap_to_control":
        return (
            f"{candidate.name} was not compared with controls, models trained on the text alone and on the target "
            "alone; train it with evaluation.analyses.probes=true and evaluation.analyses.controls=true"
        )
    return f"{candidate.name} logged no probe/{name}_low; train it with evaluation.analyses.probes=true"


def _not_proved(candidate: Candidate, name: str) -> str:
    if name != "gap_to_control":
        return "the model does not prove that it uses the target."
    scores = {one: candidate.metrics.get(f"probe/control_{one}", -math.inf) for one in ("text", "target")}
    best = max(scores, key=scores.__getitem__)
    return f"the model does not prove that it is better than one trained on the {best} alone."


def _or_left_out(gate: str) -> str:
    return f"or leave the gate out in a policy of your own: {gate}: null."


def _left_out(gate: str) -> Check:
    return Check(gate=gate, measured="", required=LEFT_OUT)


def _missing(gate: str, required: str, reason: str) -> Check:
    return Check(gate=gate, measured="missing", required=required, reason=reason)


def _unscored(candidate: Candidate) -> str:
    return f"{candidate.name} kept no predictions of this split; train it with that split in evaluation.splits."


def _at_least(floor: float | None) -> str:
    return "every floor" if floor is None else f"at least {floor:g}"
