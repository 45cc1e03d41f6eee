from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.errors import DataError
from stancelib.evaluation.comparison import compare, detectable_difference, holm, mcnemar
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
    true = detectable_difference(error)
    draws = np.random.default_rng(0).normal(true, error, size=100_000)
    assert (abs(draws) > 1.96 * error).mean() == pytest.approx(0.8, abs=0.01)


def test_other_statements_are_refused():
    (first, _), clusters = pair(3)
    (_, second), _ = pair(4)
    with pytest.raises(DataError, match="not about the same statements: 320 rows with digest"):
        compare(first, second, clusters)


def test_other_labels_are_refused():
    (first, _), clusters = pair(5)
    other = LabelSet(("a", "b", "d"))
    with pytest.raises(DataError, match="differ in labels: a, b, c and a, b, d"):
        compare(first, Predictions(first.statements, other, first.probabilities), clusters)


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
