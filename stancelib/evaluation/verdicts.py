"""What an evaluation amounts to, in sentences: the part of a report that is read first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from stancelib.evaluation.findings import Findings
from stancelib.evaluation.intervals import Interval
from stancelib.evaluation.metrics import end_name
from stancelib.evaluation.probes import TargetProbe
from stancelib.evaluation.slices import Slice, Slices
from stancelib.schema import VALIDATION

Status = Literal["good", "warning", "bad", "neutral"]
SPELLED = {"macro_f1": "macro-F1", "f_avg": "F-avg", "mcc": "MCC", "ece": "ECE", "brier": "Brier score"}
GOOD_ECE, BAD_ECE = 0.05, 0.1
WIDE = 0.1
N_NAMED = 3
MANY_LEARNED = 0.05  # of the statements


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence about one question.

    Args:
        status: Whether to be glad.
        question: What was looked into, in a few words.
        answer: What came out.
    """

    status: Status
    question: str
    answer: str


def spell(score: str) -> str:
    """A score's name as people write it."""
    return SPELLED.get(score, score.replace("_", " "))


def with_interval(found: Interval, *, signed: bool = False) -> str:
    """``0.762 [0.728, 0.795]``, or with signs; the value alone where a single cluster gives no interval."""
    form = "+.3f" if signed else ".3f"
    if not found.known:
        return f"{found.value:{form}} (one cluster: no interval)".replace("-", "−")
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]".replace("-", "−")


def interval_of(scores: Mapping[str, float], name: str) -> Interval | None:
    """A logged score with its ends, where these were logged."""
    low, high = end_name(name, "low"), end_name(name, "high")
    return Interval(scores[name], scores[low], scores[high]) if low in scores else None


def verdicts(scores: Mapping[str, float], headline: str, findings: Findings, split: str = "") -> list[Verdict]:
    """What the numbers say about score, calibration, targets, slices, behaviour and robustness, in this order."""
    is_fitted = split == VALIDATION and "ece_uncalibrated" in scores
    return [
        *_score(scores, headline),
        *_calibration(scores, " The temperature was fitted on these statements." if is_fitted else ""),
        *_target(findings.probe, findings.remarks.get("probe", "")),
        *(_slices(findings.slices) if findings.slices else ()),
        *_behaviour(findings),
        *_robustness(findings),
    ]


def novelty(n_learned: int, n_statements: int) -> Verdict:
    """That the model has learned from some of the statements, and what that does to its scores."""
    status: Status = "bad" if n_learned > MANY_LEARNED * n_statements else "warning"
    answer = (
        f"No: it has learned from {n_learned:,} of {n_statements:,}, so these scores tell in part what it remembers."
    )
    return Verdict(status, "Are the statements new to the model?", answer)


def freshness(n_scored_before: int | None) -> Verdict:
    """How often a test split was scored by others, and what that does to its scores; None where nobody counts."""
    question = "Is the test split fresh?"
    if n_scored_before is None:
        return Verdict("neutral", question, "Not counted: this run isn't tracked, or its store gave no answer.")
    if not n_scored_before:
        return Verdict("good", question, "Yes: no run in this store has scored it before.")
    times = f"{n_scored_before:,} time{'s' * (n_scored_before != 1)}"
    answer = f"No: this test split has been scored {times} before by runs in this store"
    return Verdict("warning", question, f"{answer}; where that guided a choice, these scores are too good.")


def below_the_whole(found: Slices) -> list[Slice]:
    """Slices whose whole interval lies below the score of all statements, the worst gap first."""
    judged = [(one, one.interval) for one in found.slices if one.interval is not None]
    low = [(one, ends.value - found.whole[one.score].value) for one, ends in judged if _is_below(one, ends, found)]
    return [one for one, _ in sorted(low, key=lambda pair: pair[1])]


def _is_below(one: Slice, ends: Interval, found: Slices) -> bool:
    return ends.high < found.whole[one.score].value


def _score(scores: Mapping[str, float], headline: str) -> Iterator[Verdict]:
    around = interval_of(scores, headline)
    if around is None:
        yield Verdict("neutral", "How good?", f"{spell(headline)} is {scores[headline]:.3f}; it has no interval.")
        return
    width = around.high - around.low
    unsure = f" An interval {width:.2f} wide tells coarse differences only." if width > WIDE else ""
    yield Verdict(
        "warning" if unsure else "neutral", "How good?", f"{spell(headline)} is {with_interval(around)}.{unsure}"
    )


def _calibration(scores: Mapping[str, float], remark: str) -> Iterator[Verdict]:
    ece = scores["ece"]
    status: Status = "good" if ece <= GOOD_ECE else "warning" if ece <= BAD_ECE else "bad"
    before = f", {scores['ece_uncalibrated']:.1%} before calibration" if "ece_uncalibrated" in scores else ""
    answer = f"Confidence and accuracy differ by {ece:.1%} on average (ECE{before}).{remark}"
    yield Verdict(status, "Do the probabilities mean what they say?", answer)


def _target(probe: TargetProbe | None, remark: str) -> Iterator[Verdict]:
    question = "Does it use the target?"
    if probe is None:
        if remark:
            yield Verdict("neutral", question, f"Not probed: {remark}")
        return
    if reasons := probe.gate():
        yield Verdict("bad", question, "Not proven: " + re.sub(r"(?<!\w)-(?=\d)", "−", " ".join(reasons)))
        return
    sentence = f"Wrong targets cost {with_interval(probe.target_reliance)} of its {spell(probe.score)}"
    if probe.gap:
        sentence += f", and it is {with_interval(probe.gap)} above the control '{probe.best_control}'"
    yield Verdict("good", question, sentence + ".")


def _slices(found: Slices) -> Iterator[Verdict]:
    judged = [one for one in found.slices if one.interval is not None]
    low = below_the_whole(found)
    if not judged:
        yield Verdict("neutral", "Where does it fail?", f"None of {len(found.slices)} slices is large enough to judge.")
        return
    named = [f"{one.kind} “{one.value}” {with_interval(one.interval)}" for one in low[:N_NAMED] if one.interval]
    if not named:
        yield Verdict(
            "good", "Where does it fail?", f"None of {len(judged)} slices lies below all statements for sure."
        )
        return
    more = f", and {len(low) - N_NAMED} more" if len(low) > N_NAMED else ""
    answer = f"{len(low)} of {len(judged)} slices lie below all statements: {', '.join(named)}{more}."
    yield Verdict("warning", "Where does it fail?", answer)


def _behaviour(findings: Findings) -> Iterator[Verdict]:
    if findings.behaviour is None:
        return
    judged = [(one, rate) for one in findings.behaviour.results if (rate := one.pass_rate) is not None]
    if not judged:
        yield Verdict("neutral", "Does it behave?", "The behavioural cases use other labels than this model.")
        return
    lowest = sorted(judged, key=lambda pair: pair[1])[:N_NAMED]
    total = findings.behaviour.metrics()["behaviour/all"]
    status: Status = "bad" if lowest[0][1] < 0.5 else "warning" if total < 0.9 else "good"
    named = ", ".join(f"{one.capability.name} {rate:.0%}" for one, rate in lowest)
    n_cases = sum(one.n_judged for one, _ in judged)
    answer = f"It passes {total:.0%} of {n_cases} cases in {len(judged)} capabilities; weakest: {named}."
    yield Verdict(status, "Does it behave?", answer)


def _robustness(findings: Findings) -> Iterator[Verdict]:
    if findings.robustness is None:
        return
    worst = max(findings.robustness.drops.values(), key=lambda one: one.drop.value)
    status: Status = "warning" if worst.drop.low > 0 else "good"
    answer = f"The costliest perturbation, {worst.name.replace('_', ' ')}, takes {with_interval(worst.drop)}."
    yield Verdict(status, "Is it robust?", answer)
