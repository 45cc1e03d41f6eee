import numpy as np
import pytest

from stancelib.evaluation.selective import risk_coverage
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet.of(("reject", "propose"))


def predictions(confidence, wrong):
    """Predictions of ``reject`` with these confidences, of which some are wrong."""
    confidence = np.asarray(confidence, dtype=float)
    gold = np.asarray(wrong).astype(int)
    statements = Statements(["x"] * len(gold), [None] * len(gold), LABELS, gold)
    return Predictions(statements, LABELS, np.column_stack([confidence, 1 - confidence]))


def test_the_curve_counts_errors_among_the_most_confident():
    curve = risk_coverage(predictions([0.9, 0.6, 0.8, 0.7], [False, True, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.best == pytest.approx([0, 0, 1 / 3, 1 / 2])


def test_equal_confidence_is_no_order():
    curve = risk_coverage(predictions([0.8] * 6, [True, True, True, False, False, False]))
    assert curve.risk == pytest.approx([0.5] * 6)


def test_the_order_of_the_rows_changes_nothing():
    random = np.random.default_rng(0)
    confidence, wrong = random.choice([0.6, 0.7, 0.8], 50), random.random(50) < 0.3
    shuffled = random.permutation(50)
    one, other = (risk_coverage(predictions(confidence[o], wrong[o])) for o in (np.arange(50), shuffled))
    assert one.risk == pytest.approx(other.risk)


def test_the_error_rate_stands_at_full_coverage():
    curve = risk_coverage(predictions([0.9, 0.8, 0.7, 0.6], [False, True, False, False]))
    assert curve.risk_at(1.0) == 0.25
    assert curve.risk_at(0.25) == 0


def test_the_area_is_the_error_rate_for_confidence_that_tells_nothing_and_less_for_one_that_does():
    random = np.random.default_rng(0)
    blind, honest = [], []
    for _ in range(200):
        confidence = random.uniform(0.5, 1, 300)
        blind.append(risk_coverage(predictions(confidence, random.random(300) < 0.25)).area)
        honest.append(risk_coverage(predictions(confidence, random.random(300) > confidence)).area)
    assert np.mean(blind) == pytest.approx(0.25, abs=0.01)
    assert np.mean(honest) == pytest.approx(0.125, abs=0.01)  # the mean of the mean error above each confidence
