import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stancelib.errors import ConfigError
from stancelib.evaluation.decisions import Decision, FittedDecision, conformal_thresholds, decision_scores
from stancelib.labels import LabelSet
from stancelib.options import config_dir
from stancelib.schema import Statements

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


def test_the_only_label_of_a_set_is_the_answer_whatever_else_is_likelier_or_cheaper():
    thresholds = {"conditional-accept": 0.9, "accept": 0.3, "reject": 0.9}
    said = np.array([[0.6, 0.35, 0.05]])
    for costs in ({}, {"conditional-accept": {"accept": 5.0}}):
        answer = FittedDecision(costs, thresholds=thresholds).apply(Statements(["x"], [None]), LABELS, said)
        assert answer.label_ids.tolist() == [1]
        assert answer.confidence.tolist() == [0.35]
        assert answer.abstained.tolist() == [False]
    assert FittedDecision({}, 0.5, thresholds).abstains(LABELS, said).tolist() == [True]


def test_the_best_guess_of_an_abstention_is_in_the_set_unless_that_is_empty():
    rule = FittedDecision(thresholds={"conditional-accept": 0.7, "accept": 0.2, "reject": 0.1})
    said = np.array([[0.65, 0.25, 0.1], [0.8, 0.15, 0.05], [0.69, 0.19, 0.09]])
    assert rule.sets(LABELS, said).sum(1).tolist() == [2, 1, 0]
    assert rule.choose(LABELS, said).tolist() == [1, 0, 0]
    assert rule.abstains(LABELS, said).tolist() == [True, False, True]


fractions = st.floats(0, 1)
rules = st.builds(
    FittedDecision,
    st.dictionaries(st.sampled_from(LABELS.names), st.dictionaries(st.sampled_from(LABELS.names), st.floats(0, 1e9))),
    fractions,
    st.one_of(st.just({}), st.fixed_dictionaries(dict.fromkeys(LABELS, fractions))),
)


@given(rules, hnp.arrays(float, (4, 3), elements=st.floats(0.001, 1)))
def test_a_label_that_is_answered_lies_in_its_set(rule, weights):
    said = weights / weights.sum(axis=1, keepdims=True)
    answers = rule.apply(Statements(["x"] * 4, [None] * 4), LABELS, said)
    answered = ~rule.abstains(LABELS, said)
    sets = rule.sets(LABELS, said)
    assert sets[np.arange(4), answers.label_ids][answered].all()
    assert (sets[answered].sum(axis=1) == 1).all()
    if answers.sets is not None:
        assert (answers.sets == sets).all()
        assert (answers.abstained == ~answered).all()


def test_rule_survives_as_plain_data():
    gold, said = simulated(500, 6)
    rule = Decision(costs={"reject": {"accept": 2.0}}, min_confidence=0.5, coverage=0.9).fit(LABELS, gold, said)
    content = {"costs": rule.costs, "min_confidence": rule.min_confidence, "thresholds": rule.thresholds}
    assert FittedDecision.of(content) == rule
    assert FittedDecision.of({}).choose(LABELS, said).tolist() == said.argmax(1).tolist()


def test_costs_of_an_unknown_label_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"decision.costs names 'acept'.*did you mean 'accept'"):
        Decision(costs={"reject": {"acept": 2.0}}).fit(LABELS, *NOTHING)


def test_costs_of_labels_that_the_shipped_corpus_has_and_its_core_lacks_are_left_out():
    core = LabelSet(("conditional-accept", "reject", "propose"))
    costs = {"conditional-accept": {"accept": 5.0, "reject": 2.0}, "none": {"reject": 3.0}}
    rule = Decision(costs=costs).fit(core, *NOTHING)
    assert rule.costs == {"conditional-accept": {"reject": 2.0}}
    assert rule.cost_matrix(core)[0].tolist() == [0, 2, 1]


def test_costs_are_refused_where_another_name_could_mean_the_label_that_is_not_there():
    own = LabelSet(("conditional-accept", "agree", "reject"))
    with pytest.raises(
        ConfigError, match=r"decision.costs names 'accept', but the labels are conditional-accept, agree, reject"
    ):
        Decision(costs={"conditional-accept": {"accept": 5.0}}).fit(own, *NOTHING)


@pytest.mark.parametrize("labels", ["statements", "statements_full"])
def test_the_cautious_option_fears_a_condition_overlooked_most(labels):
    names = LabelSet(tuple(option("data", labels)["labels"]))
    rule = Decision(costs=option("decision", "cautious")["costs"]).fit(names, *NOTHING)
    costs = rule.cost_matrix(names)
    condition = names.id_of("conditional-accept")
    assert (np.delete(costs[condition], condition) > np.delete(costs[:, condition], condition)).all()
    if "accept" in names:
        assert costs[condition].argmax() == names.id_of("accept")


def option(group, name):
    return yaml.safe_load((config_dir() / group / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"min_confidence": 1.5}, r"min_confidence must be in \[0, 1\], got 1.5"),
        ({"coverage": 1.0}, "coverage must be above 0 and below 1, got 1.0"),
        ({"costs": {"a": {"b": -1.0}}}, "costs.a.b must be finite and at least 0, got -1.0"),
        ({"costs": {"a": {"b": math.inf}}}, "costs.a.b must be finite and at least 0, got inf"),
    ],
)
def test_numbers_out_of_range_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        Decision(**option)
