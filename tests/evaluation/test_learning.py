import numpy as np
import pytest

from stancelib.errors import DataError
from stancelib.evaluation.learning import group_positions, learning_curve
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet(("a", "b", "c"))


def labelled(n, *, seed=0, size=1, shares=(1 / 3, 1 / 3, 1 / 3)):
    """Labelled statements in groups of a size."""
    random = np.random.default_rng(seed)
    groups = [f"g{i // size}" for i in range(n)]
    gold = random.choice(3, size=n, p=shares)
    return Statements([f"s{seed}-{i}" for i in range(n)], [None] * n, LABELS, gold, columns={"group": groups})


def learner(skill, random=None, *, luck=0.0):
    """A planted model: right with probability ``skill(n)`` on n training statements, plus the luck of the draw."""
    random = random or np.random.default_rng(0)

    def fit(train):
        right_share = skill(len(train)) + luck * random.normal()

        def judge(statements):
            right = random.random(len(statements)) < right_share
            said = np.where(right, statements.gold, (statements.gold + 1) % 3)
            return Predictions(statements, LABELS, np.eye(3)[said] * 0.97 + 0.01)

        return judge

    return fit


def test_a_planted_curve_is_traced():
    def skill(n):
        return 0.9 - 0.5 * (n / 100) ** -0.5

    curve = learning_curve(labelled(2000), labelled(3000, seed=1), learner(skill), score="accuracy")
    assert [point.fraction for point in curve.points] == [0.1, 0.2, 0.4, 0.7, 1.0]
    for point in curve.points:
        assert point.n_statements == pytest.approx(2000 * point.fraction, rel=0.02)
        assert point.interval.value == pytest.approx(skill(point.n_statements), abs=0.03)
        assert point.interval.low < point.interval.value < point.interval.high
    assert curve.points[0].interval.high < curve.points[-1].interval.low


def test_intervals_hold_the_true_score_of_all_draws_and_all_tests_at_their_level():
    """True score 0.7; a draw of training statements moves it by 0.05, a test group of five stands or falls together."""
    held = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        test = labelled(300, seed=seed, size=5)
        hard = np.repeat(random.normal(size=60), 5) * 0.1

        def fit(train, random=random, hard=hard):
            share = 0.7 + 0.05 * random.normal()

            def judge(statements):
                right = random.random(len(statements)) < share + hard
                said = np.where(right, statements.gold, (statements.gold + 1) % 3)
                return Predictions(statements, LABELS, np.eye(3)[said])

            return judge

        curve = learning_curve(
            labelled(60), test, fit, fractions=[0.5], seeds=[0, 1, 2], score="accuracy", n_resamples=200
        )
        held.append(curve.points[0].interval.low <= 0.7 <= curve.points[0].interval.high)
    assert 0.91 <= np.mean(held) <= 0.99


def test_groups_are_whole_and_small_shares_lie_inside_large_ones():
    train, drawn = labelled(600, size=6), []

    def fit(part):
        drawn.append(part)
        return learner(lambda n: 0.5)(part)

    learning_curve(train, labelled(60, seed=1), fit, fractions=[0.2, 0.6], seeds=[0, 1], n_resamples=20)
    for part in drawn:
        counts = {group: list(part.columns["group"]).count(group) for group in set(part.columns["group"])}
        assert set(counts.values()) == {6}
    small, _, large, _ = drawn
    assert set(small.ids) < set(large.ids)
    assert set(drawn[0].ids) != set(drawn[1].ids)


def test_every_share_holds_every_label_in_its_proportion():
    train = labelled(1000, shares=(0.8, 0.15, 0.05))
    whole = np.bincount(train.gold) / 1000
    position = group_positions(train, seed=0)
    for fraction in (0.1, 0.3, 0.5):
        rows = np.flatnonzero(position < fraction)
        assert np.bincount(train.gold[rows], minlength=3) / len(rows) == pytest.approx(whole, abs=0.01)
    assert position.min() >= 0
    assert position.max() < 1


def test_all_statements_are_fitted_once_and_vary_in_nothing():
    sizes = []

    def fit(train):
        sizes.append(len(train))
        return learner(lambda n: 0.8)(train)

    curve = learning_curve(
        labelled(90), labelled(90, seed=1), fit, fractions=[1.0, 0.5], seeds=[0, 1, 2], n_resamples=20
    )
    assert len(sizes) == 4
    assert sizes[-1] == 90 > max(sizes[:-1])
    assert curve.points[-1].sd == 0
    assert len(curve.points[-1].scores) == 1


def test_the_deviation_is_that_of_the_draws():
    random = np.random.default_rng(3)
    curve = learning_curve(
        labelled(100),
        labelled(3000, seed=1),
        learner(lambda n: 0.6, random, luck=0.1),
        fractions=[0.5],
        seeds=range(20),
        n_resamples=20,
    )
    assert curve.points[0].sd == pytest.approx(np.std(curve.points[0].scores, ddof=1))
    assert 0.05 < curve.points[0].sd < 0.17


def test_the_table_has_a_row_per_size():
    table = learning_curve(labelled(90), labelled(90, seed=1), learner(lambda n: 0.8), n_resamples=20).columns()
    assert list(table) == ["fraction", "statements", "draws", "macro_f1", "sd", "low", "high"]
    assert {len(column) for column in table.values()} == {5}
    assert table["draws"] == [3, 3, 3, 3, 1]


def test_a_share_without_a_label_is_refused():
    with pytest.raises(DataError, match=r"share of 0.02 of 60 statements has none with label 'b'"):
        learning_curve(labelled(60), labelled(60), learner(lambda n: 0.5), fractions=[0.02])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"fractions": [0.0, 0.5]}, "fractions must be above 0 and at most 1, got 0.0"),
        ({"fractions": [1.5]}, "got 1.5"),
        ({"seeds": []}, "seeds must be one or more different numbers"),
        ({"seeds": [1, 1]}, "seeds must be one or more different numbers"),
        ({"score": "f2", "n_resamples": 20}, "score must be one of macro_f1, .*, got 'f2'"),
    ],
)
def test_an_option_out_of_range_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        learning_curve(labelled(90), labelled(90), learner(lambda n: 0.5), **option)


def test_no_interval_leaves_the_range_of_its_score():
    fit = learner(lambda n: 1.0 if n > 10 else 0.9)
    points = learning_curve(labelled(40), labelled(60, seed=1), fit, fractions=(0.2, 1.0), seeds=(0, 1)).points
    assert all(0 <= point.interval.low <= point.interval.high <= 1 for point in points)
