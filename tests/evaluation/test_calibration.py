import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stancelib.evaluation.calibration import apply_temperature, fit_temperature


def simulated(n, *, temperature, seed=0):
    """Gold labels drawn from a softmax, and what a model says that is too sure (temperature > 1) or too shy."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, 3)) * 1.5
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gold = (random.random((n, 1)) > true.cumsum(1)[:, :-1]).sum(1)
    said = np.exp(logits * temperature) / np.exp(logits * temperature).sum(1, keepdims=True)
    return gold, said


def test_the_planted_temperature_is_found():
    for planted in (0.5, 1.0, 3.0):
        gold, said = simulated(20_000, temperature=planted)
        assert abs(fit_temperature(gold, said) / planted - 1) < 0.06


def test_scaling_never_lowers_the_likelihood_it_was_fitted_on():
    gold, said = simulated(300, temperature=2.0)
    scaled = apply_temperature(said, fit_temperature(gold, said))
    rows = np.arange(len(gold))
    assert np.log(scaled[rows, gold]).sum() >= np.log(said[rows, gold]).sum()


def test_certainty_about_everything_stays_finite():
    said = np.eye(3)[[0, 1, 2, 0]]
    scaled = apply_temperature(said, fit_temperature(np.array([0, 1, 2, 1]), said))
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled.sum(1), 1)


@given(st.floats(0.1, 10), st.integers(0, 100))
def test_scaling_keeps_the_order_of_the_labels(temperature, seed):
    _, said = simulated(5, temperature=1.0, seed=seed)
    scaled = apply_temperature(said, temperature)
    assert (scaled.argsort(1) == said.argsort(1)).all()


def test_statements_without_an_error_make_no_model_surer_of_itself():
    gold = np.arange(20) % 2
    said = np.where(np.eye(2)[gold] == 1, 0.6, 0.4)
    assert fit_temperature(gold, said) == 1.0
    assert fit_temperature(np.append(gold, 0), np.vstack([said, [[0.4, 0.6]]])) < 1
