import tracemalloc

import numpy as np
import pytest

from stancelib.evaluation.intervals import Interval, clusters_of, exact_end, intervals, tails, with_bounds
from stancelib.evaluation.metrics import is_end, scores
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet(("a", "b", "c"))


def simulated(n_clusters, size, *, skill, seed, shared=0.0):
    """Predictions whose rows share luck within a cluster; more skill, more right answers."""
    random = np.random.default_rng(seed)
    n = n_clusters * size
    gold = random.integers(3, size=n)
    luck = np.repeat(random.normal(size=n_clusters), size) * shared
    logits = random.normal(size=(n, 3))
    logits[np.arange(n), gold] += skill + luck
    odds = np.exp(logits)
    statements = Statements([f"s{i}" for i in range(n)], [None] * n, LABELS, gold)
    return Predictions(statements, LABELS, odds / odds.sum(1, keepdims=True)), np.repeat(
        np.arange(n_clusters), size
    ).tolist()


def share_of_intervals_that_hold(truth, *, by_cluster, method="percentile", n_rounds=200, n_clusters=60, size=5):
    held = 0
    for seed in range(n_rounds):
        said, clusters = simulated(n_clusters, size, skill=1.0, seed=seed, shared=1.0)
        rows = clusters if by_cluster else list(range(len(clusters)))
        found = intervals(said, rows, n_resamples=400, method=method, seed=seed)["macro_f1"]
        held += found.low <= truth <= found.high
    return held / n_rounds


@pytest.fixture(scope="module")
def truth():
    said, _ = simulated(40_000, 5, skill=1.0, seed=999, shared=1.0)
    return scores(said)["macro_f1"]


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_hold_the_true_score_at_their_level(truth, method):
    assert 0.90 <= share_of_intervals_that_hold(truth, by_cluster=True, method=method) <= 0.99


@pytest.mark.parametrize(("n_clusters", "lowest"), [(5, 0.86), (8, 0.9), (12, 0.9)])
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_few_clusters_are_wider_and_nearly_hold_too(truth, method, n_clusters, lowest):
    share = share_of_intervals_that_hold(truth, by_cluster=True, method=method, n_clusters=n_clusters, size=40)
    assert lowest <= share <= 0.99


def test_the_ends_move_out_with_fewer_clusters_and_to_the_plain_ones_with_many():
    spans = [tails(0.95, n_clusters) for n_clusters in (2, 5, 20, 100, 10**6)]
    assert [span.low for span in spans] == sorted(span.low for span in spans)
    assert spans[-1] == pytest.approx((0.025, 0.975), abs=1e-5)
    assert all(span.low + span.high == pytest.approx(1) for span in spans)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_a_few_statements_without_an_error_hold_the_true_score_too(method):
    """Of twelve statements with one error in twenty, half of all samples have none."""
    held, n_rounds = 0, 300
    for seed in range(n_rounds):
        said = answered(np.random.default_rng(seed).random(12) < 0.95)
        found = intervals(said, list(range(12)), n_resamples=400, method=method)["accuracy"]
        held += found.low <= 0.95 <= found.high
    assert held / n_rounds >= 0.94


def answered(right, gold=None):
    """Predictions that are right where it says so; gold labels in turn."""
    n = len(right)
    gold = np.arange(n) % 3 if gold is None else np.array(gold)
    said = np.where(right, gold, (gold + 1) % 3)
    statements = Statements([f"s{i}" for i in range(n)], [None] * n, LABELS, gold)
    return Predictions(statements, LABELS, np.eye(3)[said] * 0.97 + 0.01)


def test_a_label_that_a_resample_has_drawn_nothing_of_is_no_error():
    said = answered([True] * 40, gold=[0] * 20 + [1] * 19 + [2])
    found = intervals(said, list(range(40)), n_resamples=400)
    assert found["macro_f1"] == found["accuracy"]
    assert found["macro_f1"].low == pytest.approx(0.025 ** (1 / 40))


def test_a_label_that_no_statement_has_counts_as_0_in_every_resample():
    found = intervals(answered([True] * 40, gold=[0, 1] * 20), list(range(40)), n_resamples=100)
    assert found["macro_f1"] == Interval(pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_scores_of_a_label_rest_on_the_statements_that_have_it(method):
    """Three answers without an error prove little, however many statements there are of other labels."""
    said = answered([True] * 40, gold=[0] * 20 + [1] * 17 + [2] * 3)
    found = intervals(said, list(range(40)), n_resamples=400, method=method)
    for name in ("precision.c", "recall.c", "f1.c"):
        assert found[name] == Interval(1.0, pytest.approx(0.025 ** (1 / 3)), 1.0)
    assert found["recall.a"].low == pytest.approx(0.025 ** (1 / 20))


def test_resamples_without_a_label_say_nothing_about_its_recall():
    said = answered([True] * 37 + [True, True, False], gold=[0] * 20 + [1] * 17 + [2] * 3)
    found = intervals(said, list(range(40)), n_resamples=2000)["recall.c"]
    assert (found.value, found.high) == (pytest.approx(2 / 3), 1.0)
    assert exact_end(1.0, 0.95, 3) == pytest.approx(0.025 ** (1 / 3))
    assert exact_end(0.99, 0.95, 3) == 0.99


def test_bca_is_defined_for_two_clusters():
    said, _ = simulated(2, 30, skill=1.0, seed=3)
    found = intervals(said, [0, 1] * 30, method="bca", n_resamples=200)
    assert all(np.isfinite([one.low, one.high]).all() and one.low <= one.high for one in found.values())


def test_resampling_rows_of_clustered_data_claims_too_much(truth):
    assert share_of_intervals_that_hold(truth, by_cluster=False) < 0.9


def test_values_equal_the_scores():
    said, clusters = simulated(30, 4, skill=0.5, seed=1)
    found, expected = intervals(said, clusters, skip_labels=["c"], n_resamples=50), scores(said, skip_labels=["c"])
    assert set(found) == set(expected)
    for name, interval in found.items():
        assert interval.value == pytest.approx(expected[name], abs=1e-9)
        assert interval.low <= interval.high


def test_more_statements_make_narrower_intervals():
    widths = []
    for n_clusters in (50, 800):
        said, clusters = simulated(n_clusters, 3, skill=1.0, seed=2)
        found = intervals(said, clusters, n_resamples=300)["accuracy"]
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2.5


def test_a_single_cluster_leaves_nothing_to_resample():
    said, _ = simulated(1, 30, skill=1.0, seed=3)
    for method in ("percentile", "bca"):
        found = intervals(said, [0] * 30, n_resamples=20, method=method)["macro_f1"]
        assert np.isnan([found.low, found.high]).all()
        assert not found.known
        assert with_bounds({"macro_f1": found}) == {}


def test_memory_does_not_grow_with_the_resamples():
    said, clusters = simulated(20_000, 1, skill=1.0, seed=6)
    peaks = []
    for n_resamples in (100, 800):
        tracemalloc.start()
        intervals(said, clusters, n_resamples=n_resamples)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 20_000 * 8 * 100  # an eighth of what 800 resamples would take at once


def test_same_seed_same_interval():
    said, clusters = simulated(40, 3, skill=1.0, seed=4)
    assert intervals(said, clusters, n_resamples=50, seed=7) == intervals(said, clusters, n_resamples=50, seed=7)
    assert intervals(said, clusters, n_resamples=50, seed=7) != intervals(said, clusters, n_resamples=50, seed=8)


def test_statements_stand_with_their_group_else_their_target_else_alone():
    texts, targets = [f"s{row}" for row in range(12)], ["t", "t", *(f"t{row}" for row in range(9)), None]
    assert clusters_of(Statements(texts, targets, columns={"group": ["g", "g", *[None] * 10]})) == [
        "g",
        "g",
        *range(2, 12),
    ]
    assert clusters_of(Statements(texts, targets)) == [*targets[:-1], 11]
    assert clusters_of(Statements(texts, [None] * 12)) == [*range(12)]


def test_fewer_targets_than_ten_are_no_sample_of_targets():
    targets = [f"t{row % 9}" for row in range(36)]
    assert clusters_of(Statements(["s"] * 36, targets)) == [*range(36)]


def test_bounds_become_metrics():
    found = {"macro_f1": Interval(0.5, 0.4, 0.6), "f1.risk": Interval(0.3, 0.2, 0.4)}
    ends = {"macro_f1_low": 0.4, "macro_f1_high": 0.6, "f1_low.risk": 0.2, "f1_high.risk": 0.4}
    assert with_bounds(found) == ends
    assert all(is_end(name) for name in ends)
    assert not any(is_end(name) for name in (*found, "f1.risk_low"))


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_that_is_no_share_is_refused(level):
    said, clusters = simulated(3, 3, skill=1.0, seed=5)
    with pytest.raises(ValueError, match="level must be above 0 and below 1"):
        intervals(said, clusters, level=level)


def test_rows_whose_group_is_blank_stand_alone_and_no_group_is_taken_for_a_row_number():
    groups = ["", None, float("nan"), 1, 1, "b"]
    clusters = clusters_of(Statements([*"abcdef"], ["t"] * 6, columns={"group": groups}))
    assert len(set(clusters)) == 5
    assert clusters[3] == clusters[4]


def test_a_label_that_is_only_answered_counts_as_0_in_every_resample():
    said = answered([True] * 40, gold=[0, 1] * 20)
    stray = said.probabilities.copy()
    stray[0] = [0.01, 0.01, 0.98]
    found = intervals(Predictions(said.statements, LABELS, stray), list(range(40)), n_resamples=200)
    assert found["macro_f1"].high <= 2 / 3 + 1e-9
