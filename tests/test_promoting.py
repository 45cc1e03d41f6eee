"""The gates one by one: what passes, what fails, and what a failed one says."""

from dataclasses import replace

import numpy as np
import pytest

from stancelib.errors import ConfigError
from stancelib.evaluation.cases import load_suite
from stancelib.promoting import Candidate, Gates, judge, loosenings
from stancelib.promoting.gates import BEHAVIOUR_FLOORS
from stancelib.schema import Predictions

from .conftest import make_statements

NUMBERS = {
    "validation/ece": 0.05,
    "behaviour/all": 0.1,
    "behaviour/absurd_condition": 0.4,
    "behaviour/idiom": 0.6,
    "behaviour/sarcasm": 0.9,
    "behaviour/questions": 0.9,
    "probe/target_reliance": 0.3,
    "probe/target_reliance_low": 0.2,
    "probe/target_reliance_high": 0.4,
    "probe/pair_accuracy": 0.5,
    "probe/pair_accuracy_low": 0.4,
    "probe/pair_accuracy_high": 0.6,
    "probe/gap_to_control": 0.1,
    "probe/gap_to_control_low": 0.05,
    "probe/gap_to_control_high": 0.15,
    "probe/control_text": 0.7,
    "probe/control_target": 0.3,
}
REGISTERS = ("chat", "quote")


def answers(n_right, n=120, *, start=0):
    """Predictions of ``n`` statements in clusters of one, of which the first ``n_right`` are right."""
    statements = make_statements(n, start=start)
    statements = replace(
        statements,
        targets=[f"plan {row}" for row in range(n)],
        columns={"register": [REGISTERS[row % 2] for row in range(n)]},
    )
    said = np.where(np.arange(n) < n_right, statements.gold, (statements.gold + 1) % 3)
    return Predictions(statements, statements.labels, np.eye(3)[said] * 0.7 + 0.1)


def run(n_right=108, *, without="", digest="", start=0, **numbers):
    said = answers(n_right, start=start)
    metrics = {
        name: value for name, value in (NUMBERS | numbers).items() if not without or not name.startswith(without)
    }
    options = {"n_learned": 0, "level": 0.95, "n_resamples": 2000}
    digest = digest or said.statements.digest[:12]
    return Candidate(name="tfidf", metrics=metrics, digest=digest, predictions=said, **options)


def failed(candidate, champion=None, **gates):
    """The failed gates by name, each with its reason."""
    verdict = judge(candidate, champion, Gates(**gates))
    assert verdict.passed is (not verdict.failed)
    return {check.gate: check.reason for check in verdict.failed}


def test_a_run_above_all_floors_passes_and_a_first_champion_needs_no_predecessor():
    verdict = judge(run(), None, Gates())
    assert verdict.passed
    first, *_ = verdict.checks
    assert (first.gate, first.measured) == ("macro_f1", "there is no champion yet")
    assert {check.gate for check in verdict.checks} >= {"every slice", "every capability", "ece", "pair accuracy"}


def test_a_drop_that_is_no_chance_is_refused():
    (reason,) = failed(run(78), run(108)).values()
    assert "is more than chance (p = 0.0002)" in reason


def test_a_better_or_equal_run_passes():
    assert failed(run(115), run(108)) == {}
    assert failed(run(108), run(108)) == {}


def test_a_drop_that_may_be_chance_passes_up_to_max_drop():
    candidate, champion = run(104), run(108)
    (reason,) = failed(candidate, champion).values()
    assert "is over max_drop (0.02), though the test can't tell it from chance" in reason
    assert failed(candidate, champion, max_drop=0.05) == {}
    assert failed(candidate, champion, max_drop=None) == {}


def test_a_sure_drop_within_the_tolerance_passes():
    candidate, champion = run(96), run(108)
    assert "is more than chance" in failed(candidate, champion, max_drop=None)["macro_f1"]
    assert failed(candidate, champion, tolerance=0.12, max_drop=0.12) == {}


def test_scores_on_different_splits_are_not_compared():
    reason = failed(run(120), run(12, digest="0123456789ab"))["macro_f1"]
    assert "on 0123456789ab: scores on different statements can't be compared" in reason
    assert "rescore_champion: true in a policy of your own" in reason


def test_the_rows_are_compared_even_where_the_digests_claim_to_be_equal():
    candidate, champion = run(120, digest="aa"), run(12, digest="aa", start=500)
    assert "not about the same statements" in failed(candidate, champion)["macro_f1"]


def test_a_champion_without_predictions_is_no_free_pass():
    champion = replace(run(), predictions=None)
    assert "has no predictions of this split" in failed(run(), champion)["macro_f1"]


def test_a_run_without_predictions_fails_score_and_slices():
    found = failed(replace(run(), predictions=None))
    assert set(found) == {"macro_f1", "slices"}
    assert all("train it with that split in evaluation.splits" in reason for reason in found.values())


def test_a_slice_below_its_floor_is_named():
    assert {"slice register/chat", "slice register/quote"} <= set(failed(run(108), min_slice=0.95))
    assert set(failed(run(108), slice_floors={"register/chat": 0.99})) == {"slice register/chat"}
    assert "slice register/chat" not in failed(run(108), min_slice=0.95, slice_floors={"register/chat": None})


def test_a_floor_for_a_slice_that_is_not_there_fails():
    reason = failed(run(), slice_floors={"register/chatt": 0.1})["slice register/chatt"]
    assert "did you mean 'register/chat'?" in reason


def test_slices_too_small_to_judge_fail_only_if_all_are():
    few = answers(12, 12)
    small = replace(run(), predictions=few)
    assert "large enough to judge; score more data, or leave the gate out" in failed(small)["slices"]
    assert failed(small, min_slice=None) == {}


def test_a_capability_below_its_floor_is_named_and_their_mean_is_no_capability():
    assert set(failed(run(), min_behaviour=0.7)) == {"capability idiom"}
    assert failed(run(), min_behaviour=0.7, behaviour_floors={"idiom": 0.6, "absurd_condition": 0.4}) == {}
    assert set(failed(run(), min_behaviour=0.4, behaviour_floors={"sarcasm": 0.95})) == {"capability sarcasm"}


def test_capabilities_that_models_are_weak_in_have_floors_of_their_own():
    assert failed(run(**{"behaviour/absurd_condition": 0.3, "behaviour/sarcasm": 0.4})) == {}
    assert set(failed(run(**{"behaviour/absurd_condition": 0.29}))) == {"capability absurd_condition"}
    assert set(failed(run(**{"behaviour/idiom": 0.49}))) == {"capability idiom"}


def test_every_capability_with_a_floor_of_its_own_is_one_of_the_library():
    assert set(BEHAVIOUR_FLOORS) <= {one.metric.partition("/")[2] for one in load_suite()}


def test_a_model_must_be_better_than_one_of_the_text_alone_with_the_whole_interval():
    reason = failed(run(**{"probe/gap_to_control_low": 0.0}))["gap to control"]
    assert reason == "the model does not prove that it is better than one trained on the text alone."
    assert failed(run(**{"probe/gap_to_control_low": 0.0}), min_gap_to_control=-0.1) == {}
    of_targets = run(**{"probe/gap_to_control_low": -0.1, "probe/control_target": 0.8})
    assert "one trained on the target alone" in failed(of_targets)["gap to control"]


def test_a_run_without_controls_is_told_how_to_get_them():
    reason = failed(run(without="probe/gap"))["gap to control"]
    assert reason.startswith("tfidf was not compared with controls, models trained on the text alone and on the target")
    assert "evaluation.analyses.controls=true" in reason
    assert reason.endswith("or leave the gate out in a policy of your own: min_gap_to_control: null.")


def test_probabilities_that_do_not_mean_what_they_say_fail():
    assert set(failed(run(**{"validation/ece": 0.11}))) == {"ece"}
    assert failed(run(**{"validation/ece": 0.1})) == {}


def test_target_use_must_be_proved_with_the_whole_interval():
    assert set(failed(run(**{"probe/target_reliance_low": 0.0}))) == {"target reliance"}
    assert set(failed(run(), min_target_reliance=0.2)) == {"target reliance"}
    assert set(failed(run(**{"probe/pair_accuracy_low": 0.0}))) == {"pair accuracy"}


@pytest.mark.parametrize(
    ("numbers", "gate", "option", "step"),
    [
        ("validation/ece", "ece", "max_ece", "evaluation.splits"),
        ("probe/target", "target reliance", "min_target_reliance", "evaluation.analyses.probes=true"),
        ("probe/pair", "pair accuracy", "min_pair_accuracy", "evaluation.analyses.probes=true"),
        ("probe/gap", "gap to control", "min_gap_to_control", "evaluation.analyses.controls=true"),
    ],
)
def test_a_missing_number_fails_its_gate_unless_the_gate_is_left_out(numbers, gate, option, step):
    found = failed(run(without=numbers))
    assert set(found) == {gate}
    assert step in found[gate]
    assert failed(run(without=numbers), **{option: None}) == {}


def test_a_run_without_behavioural_cases_fails_and_no_floor_is_forgotten():
    found = failed(run(without="behaviour/"))
    assert set(found) == {"capabilities"}
    assert "evaluation.analyses.behaviour=true" in found["capabilities"]
    assert "add cases of your own" in found["capabilities"]
    found = failed(run(without="behaviour/"), min_behaviour=None)
    assert set(found) == {f"capability {name}" for name, floor in BEHAVIOUR_FLOORS.items() if floor is not None}
    assert found["capability sarcasm"].endswith("in a policy of your own: behaviour_floors: {sarcasm: null}.")
    assert failed(run(without="behaviour/"), min_behaviour=None, behaviour_floors=None) == {}


@pytest.mark.parametrize(
    "name",
    ["validation/ece", "probe/target_reliance_low", "probe/pair_accuracy_low", "probe/gap_to_control_low"],
)
def test_a_number_that_is_none_counts_as_missing(name):
    assert len(failed(run(**{name: float("nan")}))) == 1


def test_a_number_without_an_interval_is_told_from_one_that_is_missing():
    reason = failed(run(without="probe/pair_accuracy_"))["pair accuracy"]
    assert reason.startswith("it was taken on a single cluster of statements, so nobody knows how sure it is")


def test_data_without_pairs_is_told_from_probes_that_were_off():
    reason = failed(run(without="probe/pair", **{"probe/n_pairs": 0.0}))["pair accuracy"]
    assert "no two statements share their text" in reason


def test_the_digest_of_a_verdict_changes_with_any_number():
    first, same, other = (judge(run(**{"validation/ece": e}), None, Gates()) for e in (0.05, 0.05, 0.06))
    assert first.digest == same.digest != other.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "macrof1"}, r"score must be one of .*, got 'macrof1'; did you mean 'macro_f1'\?"),
        ({"score": "f_avg"}, "score 'f_avg' needs skip_labels"),
        ({"alpha": 1.0}, "alpha must be above 0 and below 1, got 1"),
        ({"tolerance": -0.1}, "tolerance must be at least 0"),
        ({"tolerance": 0.1}, r"max_drop must be at least tolerance \(0.1\), got 0.02"),
        ({"tolerance": float("nan")}, "tolerance must be at least 0, got nan"),
        ({"max_drop": float("nan")}, "max_drop must be at least tolerance"),
        ({"split": "train"}, "split must be validation or test, got 'train'"),
        ({"max_ece": 2.0}, "max_ece must be between 0 and 1, got 2"),
        ({"behaviour_floors": {"idiom": 60}}, "behaviour_floors 'idiom' must be between 0 and 1, got 60"),
    ],
)
def test_a_gate_out_of_range_is_a_mistake(options, message):
    with pytest.raises(ValueError, match=message):
        Gates(**options)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["max_ec=0.1"], r"'Gates' has no option 'max_ec' .*did you mean 'max_ece'\?"),
        (["max_ece=low"], r"promotion\.max_ece must be a number or null, got 'low'"),
        (["max_ece=2"], "promotion=default: max_ece must be between 0 and 1, got 2"),
        (["max_ece"], "'max_ece' is not of the form <gate>=<value>"),
        (["_target_=stancelib.models.prior.Prior"], "is not of the form <gate>=<value>"),
        (["promotion._target_=stancelib.models.prior.Prior"], "is not of the form <gate>=<value>"),
        (["behaviour_floors={_target_: stancelib.models.prior.Prior}"], "is not of the form <gate>=<value>"),
        (["promotion=strict"], "promotion has no option 'strict'; it has default.* named with -cd <folder>"),
    ],
)
def test_a_mistake_in_an_override_is_one_sentence(overrides, message):
    pytest.importorskip("hydra")
    from stancelib.app.promoting import compose_gates

    with pytest.raises(ConfigError, match=message):
        compose_gates(overrides)


def test_gates_come_from_the_config_and_the_command_line_makes_them_stricter():
    pytest.importorskip("hydra")
    from stancelib.app.promoting import compose_gates

    assert compose_gates().gates == Gates(skip_labels=[])
    policy = compose_gates(["max_ece=0.05", "promotion.min_slice=0.5", "slice_floors={register/chat: 0.5}"])
    gates = policy.gates
    assert (gates.max_ece, gates.min_slice, gates.slice_floors) == (0.05, 0.5, {"register/chat": 0.5})
    assert (policy.name, policy.written) == ("default", Gates(skip_labels=[]))


def test_a_floor_on_the_command_line_leaves_those_of_the_file():
    pytest.importorskip("hydra")
    from stancelib.app.promoting import compose_gates

    assert compose_gates(["behaviour_floors={idiom: 0.8}"]).gates.behaviour_floors == BEHAVIOUR_FLOORS | {"idiom": 0.8}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("split=test", "split=test would change a gate: promotion=default has split=validation"),
        ("score=accuracy", "score=accuracy would change a gate: promotion=default has score=macro_f1"),
        ("skip_labels=[a]", "skip_labels=['a'] would change a gate: promotion=default has skip_labels=[]"),
        ("alpha=0.01", "alpha=0.01 would loosen a gate: promotion=default has alpha=0.05"),
        ("tolerance=0.01", "tolerance=0.01 would loosen a gate: promotion=default has tolerance=0"),
        ("max_drop=null", "max_drop=null would remove a gate: promotion=default has max_drop=0.02"),
        ("rescore_champion=true", "would loosen a gate: promotion=default has rescore_champion=false"),
        ("min_slice=0.3", "min_slice=0.3 would loosen a gate: promotion=default has min_slice=0.4"),
        ("min_behaviour=null", "min_behaviour=null would remove a gate: promotion=default has min_behaviour=0.5"),
        ("max_ece=0.5", "max_ece=0.5 would loosen a gate: promotion=default has max_ece=0.1"),
        ("min_target_reliance=-1", "would loosen a gate: promotion=default has min_target_reliance=0"),
        ("min_pair_accuracy=null", "would remove a gate: promotion=default has min_pair_accuracy=0"),
        ("min_gap_to_control=null", "would remove a gate: promotion=default has min_gap_to_control=0"),
        ("slice_floors={register/chat: null}", "slice_floors.register/chat=null would remove a gate: .*min_slice=0.4"),
        ("behaviour_floors.idiom=0.2", "behaviour_floors.idiom=0.2 would loosen a gate: .* has min_behaviour=0.5"),
        ("behaviour_floors.sarcasm=0.3", "would loosen a gate: promotion=default has behaviour_floors.sarcasm=0.4"),
        ("behaviour_floors=null", "would remove a gate: promotion=default has behaviour_floors.absurd_condition=0.3"),
    ],
)
def test_a_gate_is_not_loosened_on_the_command_line(override, says):
    pytest.importorskip("hydra")
    from stancelib.app.promoting import compose_gates

    with pytest.raises(ConfigError, match=says.replace("[", r"\[")) as caught:
        compose_gates([override])
    assert "write that value into a policy of your own" in str(caught.value)
    assert str(caught.value).count(". ") == 0  # one sentence


def test_every_gate_has_a_direction():
    """Loosened one at a time; a new gate that loosenings doesn't know fails here."""
    strict = Gates(rescore_champion=False, slice_floors={"a/b": 0.5}, min_slice=0.5)
    loose = {"split": "test", "score": "mcc", "skip_labels": ("x",)}
    loose |= {"alpha": 0.01, "tolerance": 0.01, "max_drop": None, "rescore_champion": True, "max_ece": 0.2}
    loose |= {"min_slice": None, "slice_floors": None, "min_behaviour": 0.1, "behaviour_floors": {}}
    loose |= {"min_target_reliance": -1.0, "min_pair_accuracy": None, "min_gap_to_control": -1.0}
    assert set(loose) == set(Gates.__dataclass_fields__)
    for name, value in loose.items():
        assert list(loosenings(strict, replace(strict, **{name: value}))), name
    assert list(loosenings(strict, strict)) == []


def policy(folder, text, name="ours"):
    (folder / "promotion").mkdir(exist_ok=True)
    (folder / "promotion" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_policy_of_ones_own_says_what_it_changes(tmp_path):
    pytest.importorskip("hydra")
    from stancelib.app.promoting import compose_gates

    text = "defaults: [default, _self_]\nmin_behaviour: 0.2\nmax_ece: null\nbehaviour_floors: {sarcasm: null}\n"
    folder = policy(tmp_path, text)
    found = compose_gates(["promotion=ours"], folder)
    floors = BEHAVIOUR_FLOORS | {"sarcasm": None}
    assert found.gates == Gates(skip_labels=[], min_behaviour=0.2, max_ece=None, behaviour_floors=floors)
    assert found.record()["policy"]["name"] == "ours"
    with pytest.raises(
        ConfigError, match=r"min_behaviour=0.1 would loosen a gate: promotion=ours has min_behaviour=0.2"
    ):
        compose_gates(["promotion=ours", "min_behaviour=0.1"], folder)


@pytest.mark.parametrize("place", ["it's here", "a, b", "größe [1]"])
def test_the_folder_of_policies_may_have_any_name(tmp_path, place):
    pytest.importorskip("hydra")
    from stancelib.app.promoting import compose_gates

    (tmp_path / place).mkdir()
    folder = policy(tmp_path / place, "_target_: stancelib.promoting.Gates\nmax_ece: 0.3\n")
    assert compose_gates(["promotion=ours"], folder).gates == Gates(max_ece=0.3)


def test_a_policy_that_is_no_set_of_gates_or_hides_one_of_the_library_is_refused(tmp_path):
    pytest.importorskip("hydra")
    from stancelib.app.promoting import compose_gates

    policy(tmp_path, "_target_: stancelib.models.prior.Prior\n")
    with pytest.raises(ConfigError, match=r"promotion=ours builds no gates; its _target_ must be stancelib\.promoting"):
        compose_gates(["promotion=ours"], tmp_path)
    policy(tmp_path, "max_ece: 0.1\n")
    with pytest.raises(ConfigError, match="promotion has no _target_"):
        compose_gates(["promotion=ours"], tmp_path)
    policy(tmp_path, "_target_: stancelib.promoting.Gates\n", name="default")
    with pytest.raises(ConfigError, match="has a policy 'default', and so has the library; give yours another name"):
        compose_gates([], tmp_path)
    with pytest.raises(ConfigError, match="has no folder 'promotion'"):
        compose_gates([], tmp_path / "promotion")


@pytest.mark.parametrize(("n_learned", "is_new"), [(0, True), (6, True), (7, False), (120, False)])
def test_scores_of_statements_that_the_model_has_learned_from_promote_nobody(n_learned, is_new):
    verdict = failed(replace(run(), n_learned=n_learned))
    assert verdict == ({} if is_new else {"new statements": verdict.get("new statements")})
    assert is_new or "its scores tell what it remembers" in verdict["new statements"]


def test_a_model_that_does_not_tell_what_it_has_learned_from_is_refused():
    assert "doesn't tell what it has learned from" in failed(replace(run(), n_learned=None))["new statements"]


@pytest.mark.parametrize("intervals", [{"level": 0.5}, {"n_resamples": 1}])
def test_intervals_that_a_run_has_made_narrow_for_itself_prove_nothing(intervals):
    verdict = failed(replace(run(), **intervals))
    assert set(verdict) == {"target reliance", "pair accuracy", "gap to control"}
    assert "at least 0.95 and 1,000 are needed" in verdict["pair accuracy"]


@pytest.mark.parametrize("missing", ["level", "n_resamples"])
def test_a_run_that_does_not_record_what_its_intervals_rest_on_is_refused_for_that(missing):
    verdict = failed(replace(run(), **{missing: None}))
    assert set(verdict) == {"target reliance", "pair accuracy", "gap to control"}
    assert verdict["pair accuracy"].endswith("doesn't record what its intervals rest on; train it anew.")


def test_slices_of_the_run_itself_have_floors_too():
    own = {"target in training/unseen": 0.45, "target in training/seen": None}
    assert failed(replace(run(), slices=own)) == {}
    assert set(failed(replace(run(), slices=own), min_slice=0.5)) == {"slice target in training/unseen"}
    floors = {"target in training/unseen": 0.5}
    assert set(failed(replace(run(), slices=own), slice_floors=floors)) == {"slice target in training/unseen"}
    floors = {"target in training/seen": 0.5}
    found = failed(replace(run(), slices=own), slice_floors=floors)["slice target in training/seen"]
    assert found.startswith("it is too small to judge.")
