import numpy as np
import pytest

from stancelib.errors import ConfigError
from stancelib.evaluation.decisions import Decision, FittedDecision, conformal_thresholds, decision_scores
from stancelib.labels import LabelSet

LABELS = LabelSet(("conditional-accept", "accept", "reject"))
NOTHING = (np.zeros(0, int), np.zeros((0, 3)))


def simulated(n, seed):
    """Gold labels of unequal frequency and probabilities that are right about them on average."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, 3)) * 1.3 + np.array([0.8, 0.0, -0.8])
    said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gold = (random.random((n, 1)) > said.cumsum(1)[:, :-1]).sum(1)
    return gold, said


def test_plain_rule_takes_the_most_probable_label():
    rule = Decision().fit(LABELS, *NOTHING)
    assert rule.choose(LABELS, np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])).tolist() == [1, 0]
    assert not rule.may_abstain


def test_a_dear_mistake_is_avoided_even_where_it_is_more_probable():
    rule = Decision(costs={"conditional-accept": {"accept": 5.0}}).fit(LABELS, *NOTHING)
    unsure = np.array([[0.3, 0.6, 0.1]])
    assert rule.choose(LABELS, unsure).tolist() == [0]
    assert Decision().fit(LABELS, *NOTHING).choose(LABELS, unsure).tolist() == [1]


def test_costs_lower_the_mean_cost_on_calibrated_probabilities():
    gold, said = simulated(20_000, 1)
    rule = Decision(costs={"conditional-accept": {"accept": 5.0, "reject": 3.0}}).fit(LABELS, gold, said)
    plain_cost = rule.cost_matrix(LABELS)[gold, said.argmax(1)].mean()
    assert decision_scores(rule, LABELS, gold, said)["cost"] < 0.95 * plain_cost


def test_abstains_below_the_confidence_and_is_right_more_often_above_it():
    gold, said = simulated(5_000, 2)
    rule = Decision(min_confidence=0.7).fit(LABELS, gold, said)
    found = decision_scores(rule, LABELS, gold, said)
    assert (rule.abstains(LABELS, said) == (said.max(1) < 0.7)).all()
    assert 0.1 < found["abstained"] < 0.9
    assert found["kept_accuracy"] > (gold == said.argmax(1)).mean() + 0.05


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_each_label_at_the_chosen_rate(coverage):
    held = []
    for seed in range(40):
        gold, said = simulated(600, 100 + seed)
        rule = Decision(coverage=coverage).fit(LABELS, gold, said)
        new_gold, new_said = simulated(2_000, 900 + seed)
        found = decision_scores(rule, LABELS, new_gold, new_said)
        held.append([found[f"coverage.{name}"] for name in LABELS])
    assert (abs(np.mean(held, axis=0) - coverage) < 0.02).all()


def test_sets_lose_their_rate_where_the_probabilities_are_another_worlds():
    gold, said = simulated(2_000, 3)
    rule = Decision(coverage=0.9).fit(LABELS, gold, said)
    new_gold, new_said = simulated(2_000, 4)
    shifted = np.random.default_rng(0).permutation(new_gold)
    assert decision_scores(rule, LABELS, shifted, new_said)["coverage"] < 0.8
    assert decision_scores(rule, LABELS, new_gold, new_said)["coverage"] > 0.88


def test_a_label_with_too_few_statements_is_in_every_set():
    gold, said = simulated(400, 5)
    few = np.concatenate([np.flatnonzero(gold != 2), np.flatnonzero(gold == 2)[:5]])
    thresholds = conformal_thresholds(LABELS, gold[few], said[few], 0.9)
    assert thresholds["reject"] == 0.0
    assert thresholds["accept"] > 0.0


def test_with_sets_it_abstains_unless_one_label_is_left():
    rule = FittedDecision(thresholds={"conditional-accept": 0.3, "accept": 0.3, "reject": 0.3})
    said = np.array([[0.8, 0.1, 0.1], [0.4, 0.4, 0.2], [0.34, 0.33, 0.33]])
    assert rule.sets(LABELS, said).sum(1).tolist() == [1, 2, 3]
    assert rule.abstains(LABELS, said).tolist() == [False, True, True]


def test_rule_survives_as_plain_data():
    gold, said = simulated(500, 6)
    rule = Decision(costs={"reject": {"accept": 2.0}}, min_confidence=0.5, coverage=0.9).fit(LABELS, gold, said)
    content = {"costs": rule.costs, "min_confidence": rule.min_confidence, "thresholds": rule.thresholds}
    assert FittedDecision.of(content) == rule
    assert FittedDecision.of({}).choose(LABELS, said).tolist() == said.argmax(1).tolist()


def test_costs_of_an_unknown_label_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"unknown label 'acept'.*did you mean 'accept'"):
        Decision(costs={"reject": {"acept": 2.0}}).fit(LABELS, *NOTHING)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"min_confidence": 1.5}, r"min_confidence must be in \[0, 1\], got 1.5"),
        ({"coverage": 1.0}, "coverage must be above 0 and below 1, got 1.0"),
        ({"costs": {"a": {"b": -1.0}}}, "costs.a.b must be at least 0, got -1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        Decision(**option)
