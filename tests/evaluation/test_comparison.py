import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from stancelib.errors import ConfigError, DataError
from stancelib.evaluation.comparison import compare, compare_slices
from stancelib.evaluation.intervals import ClusterSums
from stancelib.evaluation.paired import drawn_differences, swapped_differences
from stancelib.evaluation.significance import detectable_difference, holm, mcnemar
from stancelib.evaluation.slices import SliceRule, take
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet(("a", "b", "c"))
FEW = {"n_resamples": 200, "n_permutations": 400}


def pair(seed, *, gain=0.0, n_clusters=80, size=4):
    """Two models' predictions of the same clustered statements; the second is better by ``gain``."""
    random = np.random.default_rng(seed)
    n = n_clusters * size
    gold = random.integers(3, size=n)
    statements = Statements([f"s{i}" for i in range(n)], [None] * n, LABELS, gold)
    easy = np.repeat(random.normal(size=n_clusters), size)
    models = []
    for extra in (0.0, gain):
        own, luck = random.normal(size=(n, 3)), np.repeat(random.normal(size=n_clusters), size)
        own[np.arange(n), gold] += 1.0 + easy + luck + extra
        odds = np.exp(own)
        models.append(Predictions(statements, LABELS, odds / odds.sum(1, keepdims=True)))
    return models, np.repeat(np.arange(n_clusters), size).tolist()


def test_models_that_are_alike_are_told_apart_one_time_in_twenty():
    rejected = 0
    for seed in range(300):
        (first, second), clusters = pair(seed)
        rejected += (
            compare(first, second, clusters, n_resamples=2, n_permutations=300).differences["macro_f1"].p_value <= 0.05
        )
    assert 0.02 <= rejected / 300 <= 0.085


def test_testing_rows_of_clustered_data_rejects_too_often():
    rejected = 0
    for seed in range(200):
        (first, second), clusters = pair(seed, size=8, n_clusters=40)
        rows = list(range(len(clusters)))
        rejected += (
            compare(first, second, rows, n_resamples=2, n_permutations=200).differences["macro_f1"].p_value <= 0.05
        )
    assert rejected / 200 > 0.1


def test_a_better_model_is_found_with_an_interval_above_zero():
    (first, second), clusters = pair(1, gain=1.0)
    found = compare(first, second, clusters, **FEW)
    difference = found.differences["macro_f1"]
    assert difference.p_value < 0.01
    assert difference.interval.low > 0
    assert difference.second - difference.first == pytest.approx(difference.interval.value)
    assert found.mcnemar_p < 0.01
    assert len(found.only_second) > len(found.only_first)


def test_a_model_compared_with_itself_differs_in_nothing():
    (first, _), clusters = pair(2)
    found = compare(first, first, clusters, **FEW)
    assert found.only_first == found.only_second == []
    assert found.mcnemar_p == 1.0
    assert all(d.interval.value == 0 and d.p_value == 1 for d in found.differences.values())


def test_flips_are_the_rows_that_one_model_alone_gets_right():
    statements = Statements(["p", "q", "r"], [None] * 3, LABELS, np.array([0, 1, 2]))
    first = Predictions(statements, LABELS, np.eye(3)[[0, 1, 0]])
    second = Predictions(statements, LABELS, np.eye(3)[[0, 0, 2]])
    found = compare(first, second, [0, 1, 2], **FEW)
    assert (found.only_first, found.only_second) == ([1], [2])


def test_the_detectable_difference_is_found_four_times_out_of_five():
    error = 0.02
    true = detectable_difference(error, 10_000)
    draws = np.random.default_rng(0).normal(true, error, size=100_000)
    assert (abs(draws) > 1.96 * error).mean() == pytest.approx(0.8, abs=0.01)


def test_with_few_clusters_a_difference_must_be_larger_to_be_found_as_often():
    n_clusters, spread = 8, 0.1
    error = spread / np.sqrt(n_clusters) * np.sqrt((n_clusters - 1) / n_clusters)  # as resampling finds it
    true = detectable_difference(error, n_clusters)
    draws = np.random.default_rng(0).normal(true, spread, size=(50_000, n_clusters))
    assert (ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.03)
    assert true > 1.1 * detectable_difference(error, 10_000)
    assert detectable_difference(error, 1) == np.inf


def test_other_statements_are_refused():
    (first, _), clusters = pair(3)
    (_, second), _ = pair(4)
    with pytest.raises(DataError, match="not about the same statements: 320 rows with digest"):
        compare(first, second, clusters)


def test_other_labels_are_refused():
    (first, _), clusters = pair(5)
    other = LabelSet(("a", "b", "d"))
    foreign = replace(first.statements, labels=other)
    with pytest.raises(DataError, match="differ in labels: a, b, c and a, b, d"):
        compare(first, Predictions(foreign, other, first.probabilities), clusters)


def test_mcnemar_on_known_counts():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 10) == pytest.approx(2 / 1024)


def test_holm_on_a_known_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert all(adjusted[i] <= adjusted[j] for i, j in pairwise(order))


def sliced(seed, *, gain=0.0, size=120, n_domains=5):
    """Two models whose answers are alike but on the first domain, where the second is better by ``gain``."""
    random = np.random.default_rng(seed)
    n = size * n_domains
    gold, domains = random.integers(3, size=n), np.repeat(np.arange(n_domains), size)
    columns = {"domain": [f"d{domain}" for domain in domains], "group": list(range(n))}
    statements = Statements(["a b"] * n, [None] * n, LABELS, gold, columns=columns)
    models = []
    for extra in (0.0, gain):
        own = random.normal(size=(n, 3))
        own[np.arange(n), gold] += 1.0 + extra * (domains == 0)
        odds = np.exp(own)
        models.append(Predictions(statements, LABELS, odds / odds.sum(1, keepdims=True)))
    return models


def differences_by_domain(models, **options):
    found = compare_slices(*models, range(len(models[0].statements)), **{**FEW, "n_resamples": 20, **options})
    assert {one.kind for one in found} == {"domain"}  # a slice with all statements is none
    return {one.value: one for one in found}


def test_a_model_that_is_better_on_one_slice_is_found_there_and_nowhere_else_beyond_chance():
    hits, false, families = 0, 0, 0
    for seed in range(100):
        found = differences_by_domain(sliced(seed, gain=1.3))
        planted = found.pop("d0")
        assert planted.difference.second_is_better or planted.adjusted_p > 0.05
        hits += planted.adjusted_p <= 0.05
        false += sum(one.difference.p_value <= 0.05 for one in found.values())
        families += any(one.adjusted_p <= 0.05 for one in found.values())
    assert hits >= 95
    assert 0.025 <= false / 400 <= 0.08
    assert families <= 11  # Holm holds the chance of any at 5 %


def test_a_slice_is_compared_as_its_rows_alone_are():
    first, second = sliced(1, gain=1.0)
    slices = differences_by_domain((first, second))
    rows = range(120, 240)
    alone = compare(take(first, rows), take(second, rows), rows, **FEW).differences["macro_f1"]
    one = slices["d1"].difference
    assert (one.first, one.second, one.interval.value) == (alone.first, alone.second, alone.interval.value)
    assert (slices["d1"].n_statements, slices["d1"].n_clusters) == (120, 120)
    assert one.p_value == pytest.approx(alone.p_value, abs=0.08)
    assert slices["d1"].adjusted_p >= one.p_value


def test_slices_too_small_to_judge_say_so_and_cost_the_others_nothing():
    models = sliced(2, gain=1.5, size=20, n_domains=2)
    found = differences_by_domain(models)
    assert all(one.difference is None and one.adjusted_p == 1 for one in found.values())
    assert found["d0"].reason == "too small: 20 of the 30 statements needed"
    judged = differences_by_domain(models, rule=SliceRule(min_statements=10))
    assert all(one.difference and not one.reason for one in judged.values())


def test_slices_that_lack_a_label_are_compared_by_accuracy():
    first, second = sliced(3)
    gold = np.where(np.arange(600) < 120, first.statements.gold % 2, first.statements.gold)
    models = [
        Predictions(replace(one.statements, label_ids=gold), LABELS, one.probabilities) for one in (first, second)
    ]
    assert {one.difference.name for one in differences_by_domain(models).values()} == {"accuracy"}
    assert {one.difference.name for one in differences_by_domain(models, score="brier").values()} == {"brier"}


def test_clusters_that_are_alike_are_drawn_together_without_another_result():
    (first, second), _ = pair(6, gain=0.3, n_clusters=600, size=1)
    sums = [ClusterSums.of(said, range(600)).without_probabilities() for said in (first, second)]
    spread = {}
    for worth_it in (8, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stancelib.evaluation.paired.WORTH_IT", worth_it)
            drawn, swapped = drawn_differences(sums, 4000, 0), swapped_differences(sums, 4000, 0)
        spread[worth_it] = [(values.mean(), values.std()) for one in (drawn, swapped) for values in one.values()]
    np.testing.assert_allclose(spread[8], spread[10**9], rtol=0.06, atol=0.005)


def test_ten_thousand_statements_are_compared_on_all_slices_in_seconds():
    random = np.random.default_rng(0)
    models, n = sliced(0, size=500, n_domains=20), 10_000
    columns = {**models[0].statements.columns, "phenomena": random.integers(40, size=(n, 2)).tolist()}
    statements = replace(models[0].statements, columns=columns)
    first, second = (Predictions(statements, LABELS, one.probabilities) for one in models)
    started = time.process_time()
    found = compare_slices(first, second, range(n))
    assert time.process_time() - started < 8
    assert len(found) == 60


def test_of_losses_the_lower_one_is_better():
    (first, second), clusters = pair(7, gain=1.0)
    found = compare(first, second, clusters, **FEW).differences
    assert found["accuracy"].second_is_better
    assert found["brier"].second_is_better
    assert found["brier"].interval.value < 0


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("f_avg", "the score f_avg needs the labels that its mean leaves out: name them with --skip-label."),
        ("macro-f1", "there is no score 'macro-f1'; there are macro_f1, accuracy, .* did you mean 'macro_f1'"),
        ("f1.d", "such as f1.c; did you mean 'f1.c'"),
    ],
)
def test_an_unknown_score_is_refused_with_the_nearest(score, message):
    (first, second), clusters = pair(8)
    with pytest.raises(ConfigError, match=message):
        compare_slices(first, second, clusters, score=score)


def test_labels_in_another_order_are_the_same_labels():
    (first, second), clusters = pair(6, gain=0.5)
    turned = LabelSet(("c", "a", "b"))
    columns = [LABELS.id_of(name) for name in turned]
    statements = replace(
        second.statements, labels=turned, label_ids=turned.encode(list(second.statements.column("label")))
    )
    other = Predictions(statements, turned, second.probabilities[:, columns])
    found, same = compare(first, other, clusters, **FEW), compare(first, second, clusters, **FEW)
    assert found.only_second == same.only_second
    for name, difference in found.differences.items():
        assert difference.interval.value == pytest.approx(same.differences[name].interval.value)
