from dataclasses import replace

import numpy as np
import pytest

from stancelib.errors import DataError
from stancelib.evaluation.intervals import Interval
from stancelib.evaluation.probes import not_probed, probe_target
from stancelib.evaluation.targets import same_text_sets, shuffled_targets
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet(("a", "b", "c"))
FEW = {"n_resamples": 200}


def truth(text, target):
    """The planted rule: the label depends on text and target together."""
    return (int(text.split()[1]) + int(target.split()[1])) % 3


def planted(n_texts=60, *, n_targets=9, seed=0):
    """Every text twice, towards two targets and with two labels; a target alone tells nothing."""
    random = np.random.default_rng(seed)
    texts, targets = [], []
    for i in range(n_texts):
        first = int(random.integers(n_targets))
        second = (first + 1 + 3 * int(random.integers(n_targets // 3))) % n_targets
        texts += [f"text {i}"] * 2
        targets += [f"target {first}", f"target {second}"]
    gold = np.array([truth(*row) for row in zip(texts, targets, strict=True)])
    return Statements(texts, targets, LABELS, gold, columns={"group": [i // 2 for i in range(2 * n_texts)]})


def judge_by(rule):
    """A model that follows a rule about text and target; the target may be None."""

    def judge(statements):
        ids = [rule(*row) for row in zip(statements.texts, statements.targets, strict=True)]
        return Predictions(statements, LABELS, np.eye(3)[ids] * 0.97 + 0.01)

    return judge


def oracle(text, target):
    return truth(text, target) if target else 0


def target_blind(text, target):
    return truth(text, "target 0")


def target_only(text, target):
    return truth("text 0", target) if target else 0


def controls_of(statements):
    return {"text": judge_by(target_blind)(statements), "target": judge_by(target_only)(statements)}


def test_an_oracle_passes_the_gate():
    statements = planted()
    found = probe_target(judge_by(oracle), statements, controls=controls_of(statements), **FEW)
    assert found.gate() == []
    assert found.right == 1.0
    assert found.pair_accuracy.value == 1.0
    assert found.target_reliance.low > 0.2
    assert found.gap.low > 0.2
    assert found.swapped == 0.0


def test_a_single_pair_proves_nothing():
    statements = planted().take([0, 1])
    found = probe_target(judge_by(oracle), statements, **FEW)
    assert found.metrics()["probe/pair_accuracy"] == 1.0
    assert "probe/pair_accuracy_low" not in found.metrics()
    assert "pair accuracy is 1.000 on a single cluster" in found.gate()[1]


def test_a_target_blind_model_fails_with_reliance_and_pair_accuracy_of_exactly_zero():
    statements = planted()
    found = probe_target(judge_by(target_blind), statements, controls=controls_of(statements), **FEW)
    assert found.right > 0
    assert found.target_reliance.value == found.target_reliance.high == 0.0
    assert found.swap_reliance.value == found.pair_accuracy.value == found.pair_accuracy.high == 0.0
    assert found.right == found.blanked == found.shuffled
    reasons = found.gate(min_gap=None)
    assert [reason.partition(" is ")[0] for reason in reasons] == ["target reliance", "pair accuracy"]
    assert "0.000 [0.000, 0.000], and must be above 0" in reasons[0]


def test_a_model_that_looks_at_the_target_alone_is_exposed_by_the_gap_to_its_control():
    """Targets give the label away here, so the model scores well and relies on them."""
    texts, targets = [f"text {i}" for i in range(90)], [f"target {i * i // 7 % 9}" for i in range(90)]
    gold = np.array([target_only(*row) for row in zip(texts, targets, strict=True)])
    statements = Statements(texts, targets, LABELS, gold)
    found = probe_target(judge_by(target_only), statements, controls=controls_of(statements), **FEW)
    assert found.right == 1.0
    assert found.target_reliance.low > 0.2
    assert found.best_control == "target"
    assert found.gap.value == 0.0
    assert [reason.partition(" is ")[0] for reason in found.gate()] == ["the gap to the control 'target'"]
    assert found.gate(min_gap=None) == []


def test_the_gate_asks_for_the_whole_interval_and_can_ask_for_more():
    statements = planted(30)
    found = probe_target(judge_by(oracle), statements, controls=controls_of(statements), **FEW)
    doubtful = replace(found, gap=Interval(0.02, -0.01, 0.05))
    assert [reason[:47] for reason in doubtful.gate()] == ["the gap to the control 'text' is 0.020 [-0.010,"]
    assert doubtful.gate(min_gap=-0.02) == []
    assert len(found.gate(min_reliance=0.99, min_pair_accuracy=1.0)) == 2


def test_a_model_that_uses_the_target_half_the_time_lies_between():
    def half(text, target):
        return (oracle if int(text.split()[1]) % 2 else target_blind)(text, target)

    statements = planted(200)
    found = [probe_target(judge_by(rule), statements, **FEW) for rule in (target_blind, half, oracle)]
    reliance = [one.target_reliance.value for one in found]
    assert reliance[0] < reliance[1] - 0.1 < reliance[2] - 0.2
    assert found[1].pair_accuracy.value == pytest.approx(0.5)


def test_intervals_hold_the_true_reliance_and_pair_accuracy_at_their_level():
    def noisy(random):
        def judge(statements):
            said = judge_by(oracle)(statements)
            luck = np.repeat(random.random(len(statements) // 2), 2)  # shared within a group
            wrong = np.flatnonzero(luck < 0.4)
            chosen = said.label_ids.copy()
            chosen[wrong] = random.integers(3, size=len(wrong))
            return replace(said, chosen=chosen)

        return judge

    def probe(n_texts, seed):
        random = np.random.default_rng(seed)
        return probe_target(noisy(random), planted(n_texts, seed=seed), n_resamples=300, seed=seed)

    true = np.mean([probe(1000, 900 + seed).target_reliance.value for seed in range(4)])
    found = [probe(60, seed) for seed in range(80)]
    assert 0.88 <= np.mean([one.target_reliance.low <= true <= one.target_reliance.high for one in found]) < 1
    both_right = 0.6 + 0.4 / 9
    assert 0.88 <= np.mean([one.pair_accuracy.low <= both_right <= one.pair_accuracy.high for one in found]) < 1


def test_no_statement_keeps_its_target_and_every_target_is_used_again():
    targets = ["x"] * 40 + ["y"] * 30 + [f"t{i}" for i in range(10)]
    statements = Statements([str(i) for i in range(80)], targets)
    for seed in range(50):
        moved = shuffled_targets(statements, seed=seed)
        assert all(new != old for new, old in zip(moved, targets, strict=True))
        assert sorted(moved) == sorted(targets)
    assert shuffled_targets(statements, seed=1) == shuffled_targets(statements, seed=1)
    assert shuffled_targets(statements, seed=1) != shuffled_targets(statements, seed=2)


def test_a_target_that_holds_most_statements_is_exchanged_as_far_as_it_goes():
    statements = Statements(
        [f"text {i}" for i in range(8)], ["target 1"] * 6 + ["target 2"] * 2, LABELS, np.arange(8) % 3
    )
    found = probe_target(judge_by(oracle), statements, **FEW)
    assert found.n_unmoved == 4


def test_spelling_alone_makes_no_other_target():
    statements = Statements(["a", "b"], ["The Fence", "the  fence"], LABELS, np.array([0, 1]))
    assert not_probed(statements) == "all statements have the same target."
    with pytest.raises(DataError, match="can't be probed: all statements have the same target"):
        probe_target(judge_by(oracle), statements)


def test_statements_without_a_target_are_left_out():
    statements = planted(20)
    half = replace(statements, targets=[*statements.targets[:20], *[None] * 20])
    found = probe_target(judge_by(oracle), half, controls=controls_of(half), **FEW)
    assert found.n_statements == 20
    assert found.right == 1.0
    with pytest.raises(DataError, match="no statement has a target"):
        probe_target(judge_by(oracle), replace(statements, targets=[None] * 40))


def test_without_pairs_nothing_is_said_about_pairs():
    statements = planted(30).take(range(0, 60, 2))
    found = probe_target(judge_by(oracle), statements, **FEW)
    assert found.n_pairs == 0
    assert found.swapped is found.swap_reliance is found.pair_accuracy is found.gap is None
    assert found.gate() == []
    assert not [name for name in found.metrics() if "pair_acc" in name or "swap" in name or "gap" in name]


def test_pairs_need_one_text_two_targets_and_two_labels():
    texts = ["p", "p", "q", "q", "r", "r", "s"]
    targets = ["x", "y", "x", "x", "x", "y", "x"]
    gold = np.array([0, 1, 0, 1, 2, 2, 0])
    assert same_text_sets(Statements(texts, targets, LABELS, gold)) == [[0, 1]]


def test_the_column_pair_decides_where_it_has_values():
    statements = Statements(["p"] * 4, ["x", "y", "z", "w"], LABELS, np.array([0, 1, 0, 1]))
    assert same_text_sets(replace(statements, columns={"pair": ["1", "1", "", None]})) == [[0, 1]]
    assert same_text_sets(replace(statements, columns={"pair": ["", None, "", ""]})) == [[0, 1, 2, 3]]


def test_three_targets_of_one_text_make_their_pairs_of_different_labels():
    statements = Statements(["text 0"] * 3 + ["text 5"], ["target 0", "target 1", "target 3", "target 2"], LABELS)
    gold = np.array([truth(*row) for row in zip(statements.texts, statements.targets, strict=True)])
    found = probe_target(judge_by(oracle), replace(statements, label_ids=gold), **FEW)
    assert found.n_pairs == 2  # labels a, b, a
    found = probe_target(judge_by(target_blind), replace(statements, label_ids=gold), **FEW)
    assert found.pair_accuracy.value == 0.0


def test_metrics_are_finite_and_one_level_deep():
    statements = planted()
    found = probe_target(judge_by(oracle), statements, controls=controls_of(statements), **FEW).metrics()
    assert all(name.startswith("probe/") and name.count("/") == 1 and np.isfinite(v) for name, v in found.items())
    for name in ("target_reliance", "pair_accuracy", "gap_to_control"):
        assert found[f"probe/{name}_low"] <= found[f"probe/{name}"] <= found[f"probe/{name}_high"]
    assert {"probe/blanked", "probe/shuffled", "probe/swapped", "probe/control_text"} <= set(found)


def test_same_seed_same_probe():
    statements = planted()
    first, second = (probe_target(judge_by(oracle), statements, **FEW, seed=3) for _ in range(2))
    assert first == second


def test_a_control_about_other_statements_is_refused():
    statements = planted()
    other = judge_by(target_blind)(planted(seed=1))
    with pytest.raises(DataError, match="control 'text' is not about the statements that are probed"):
        probe_target(judge_by(oracle), statements, controls={"text": other}, **FEW)


def test_a_model_with_other_labels_is_refused():
    def judge(statements):
        return Predictions(statements, LabelSet(("a", "c", "b")), np.full((len(statements), 3), 1 / 3))

    with pytest.raises(DataError, match="'judge' has the labels a, c, b, and the statements have a, b, c"):
        probe_target(judge, planted(), **FEW)


def test_an_unknown_score_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"score must be one of macro_f1, accuracy, mcc, .*, got 'f2'"):
        probe_target(judge_by(oracle), planted(), score="f2", **FEW)
