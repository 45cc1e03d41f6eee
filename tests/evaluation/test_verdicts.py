from dataclasses import replace

import pytest

from stancelib.evaluation.behaviour import Behaviour, CapabilityResult, Failure
from stancelib.evaluation.cases import Capability, Case, Probe
from stancelib.evaluation.findings import Findings
from stancelib.evaluation.intervals import Interval
from stancelib.evaluation.perturbations import Drop, Robustness
from stancelib.evaluation.probes import TargetProbe
from stancelib.evaluation.slices import Slice, Slices
from stancelib.evaluation.verdicts import below_the_whole, verdicts

SURE = {"macro_f1": 0.75, "macro_f1_low": 0.72, "macro_f1_high": 0.78, "ece": 0.03}
PROBE = TargetProbe(
    score="macro_f1",
    n_statements=100,
    n_unmoved=0,
    n_pairs=10,
    right=0.75,
    blanked=0.5,
    shuffled=0.5,
    swapped=0.4,
    target_reliance=Interval(0.25, 0.2, 0.3),
    swap_reliance=None,
    pair_accuracy=Interval(0.6, 0.4, 0.8),
    controls={"text": 0.5},
    gap=Interval(0.25, 0.2, 0.3),
)


def answers(findings=None, **scores):
    return {one.question: one for one in verdicts(SURE | scores, "macro_f1", findings or Findings())}


def capability(name, n_failed):
    case = Case("c", "minimum functionality", (Probe("a", "t", "reject"),))
    failure = Failure(name, "c", "minimum functionality", "a", "t", "reject", "propose", "", {})
    return CapabilityResult(Capability(name, "x", (case,) * 10), 0, (failure,) * n_failed)


def test_a_narrow_interval_is_told_and_a_wide_one_warned_about():
    assert answers()["How good?"].status == "neutral"
    assert "0.750 [0.720, 0.780]" in answers()["How good?"].answer
    wide = answers(macro_f1_low=0.6, macro_f1_high=0.85)["How good?"]
    assert wide.status == "warning"
    assert "0.25 wide" in wide.answer


@pytest.mark.parametrize(("ece", "status"), [(0.03, "good"), (0.07, "warning"), (0.2, "bad")])
def test_calibration_is_judged_by_its_error(ece, status):
    assert answers(ece=ece)["Do the probabilities mean what they say?"].status == status


def test_a_model_that_passes_the_gate_uses_its_targets():
    verdict = answers(Findings(probe=PROBE))["Does it use the target?"]
    assert verdict.status == "good"
    assert "0.250 [0.200, 0.300]" in verdict.answer


def test_a_model_that_fails_the_gate_is_not_proven_to():
    blind = replace(PROBE, target_reliance=Interval(0.0, -0.1, 0.1))
    verdict = answers(Findings(probe=blind))["Does it use the target?"]
    assert verdict.status == "bad"
    assert "target reliance" in verdict.answer
    assert "[−0.100, 0.100]" in verdict.answer


def test_slices_count_as_failing_only_with_their_whole_interval():
    whole = {"accuracy": Interval(0.8, 0.78, 0.82), "macro_f1": Interval(0.8, 0.78, 0.82)}
    parts = tuple(
        Slice("domain", name, 50, 20, "accuracy", ends)
        for name, ends in (
            ("a", Interval(0.6, 0.5, 0.7)),
            ("b", Interval(0.7, 0.6, 0.81)),
            ("c", Interval(0.5, 0.4, 0.6)),
            ("d", None),
        )
    )
    found = Slices(whole, parts)
    assert [one.value for one in below_the_whole(found)] == ["c", "a"]
    verdict = answers(Findings(slices=found))["Where does it fail?"]
    assert verdict.status == "warning"
    assert "2 of 3 slices" in verdict.answer
    assert answers(Findings(slices=Slices(whole, parts[1:2])))["Where does it fail?"].status == "good"
    assert answers(Findings(slices=Slices(whole, parts[3:])))["Where does it fail?"].status == "neutral"


@pytest.mark.parametrize(("failed", "status"), [((0, 0), "good"), ((4, 0), "warning"), ((6, 0), "bad")])
def test_behaviour_is_judged_by_all_cases_and_by_the_weakest_capability(failed, status):
    names = ("sarcasm", "idiom")
    findings = Findings(behaviour=Behaviour(tuple(map(capability, names, failed))))
    verdict = answers(findings)["Does it behave?"]
    assert verdict.status == status
    assert f"weakest: sarcasm {1 - failed[0] / 10:.0%}" in verdict.answer


def test_a_perturbation_that_surely_costs_something_is_warned_about():
    drops = {"typos": Drop("typos", 0.7, Interval(0.05, 0.01, 0.09), 0.1)}
    verdict = answers(Findings(robustness=Robustness("macro_f1", 0.75, drops)))["Is it robust?"]
    assert verdict.status == "warning"
    assert "typos" in verdict.answer


def test_what_was_not_looked_into_is_not_judged():
    assert set(answers()) == {"How good?", "Do the probabilities mean what they say?"}


@pytest.mark.parametrize(("split", "is_told"), [("validation", True), ("test", False)])
def test_calibration_on_the_statements_that_it_was_fitted_on_says_so(split, is_told):
    told = verdicts({"macro_f1": 0.5, "ece": 0.02, "ece_uncalibrated": 0.1}, "macro_f1", Findings(), split)
    (calibration,) = [one.answer for one in told if "probabilities" in one.question]
    assert ("The temperature was fitted on these statements." in calibration) == is_told
