import numpy as np
import pytest

from stancelib.models.base import Model
from stancelib.models.hybrid import Hybrid
from stancelib.training.encoders import EncoderSettings

from ..training.tiny_bert import LABELS, make_statements, make_tiny_encoder, odd_statements


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("STANCELIB_CACHE", str(tmp_path / "cache"))
    return EncoderSettings(name=str(make_tiny_encoder(tmp_path / "enc")), max_tokens=32, threads=1)


def test_learns(settings):
    train, test = make_statements(240), make_statements(60, seed=1)
    model = Hybrid(encoder=settings).fit(train)
    assert isinstance(model, Model)
    assert (model.predict_proba(test).argmax(1) == test.gold).mean() > 0.9


def test_sees_both_halves(settings):
    train = make_statements(60)
    hybrid = Hybrid(encoder=settings, vector_weight=3.0).fit(train)
    n_columns = len(hybrid.ngrams_.feature_names)
    assert hybrid.head_.coef.shape == (n_columns + 4 * 16, 3)
    assert np.abs(hybrid.head_.coef[:n_columns]).max() > 0.1
    assert np.abs(hybrid.head_.coef[n_columns:]).max() > 0.1


def test_weight_of_the_vectors_changes_what_is_learnt(settings):
    train = make_statements(60)
    light, heavy = (
        Hybrid(encoder=settings, vector_weight=weight).fit(train).predict_proba(train) for weight in (0.01, 9)
    )
    assert not np.allclose(light, heavy, atol=1e-3)


def test_loaded_model_gives_the_same_probabilities_without_the_original_encoder(settings, tmp_path):
    model = Hybrid(encoder=settings, vector_weight=3.0, cached=False).fit(make_statements(60))
    (tmp_path / "bundle").mkdir()
    model.save(tmp_path / "bundle")
    test = make_statements(20, seed=1)
    before = model.predict_proba(test)
    (tmp_path / "enc").rename(tmp_path / "gone")
    again = Hybrid.load(tmp_path / "bundle")
    assert list(again.labels_) == list(LABELS)
    assert np.array_equal(before, again.predict_proba(test))


def test_same_data_same_probabilities(settings):
    train = make_statements(60)
    first, second = (Hybrid(encoder=settings, cached=False).fit(train).predict_proba(train) for _ in range(2))
    assert np.array_equal(first, second)


def test_odd_statements_get_probabilities(settings):
    probabilities = Hybrid(encoder=settings).fit(make_statements(60)).predict_proba(odd_statements())
    assert np.isfinite(probabilities).all()
    assert np.allclose(probabilities.sum(1), 1)
    assert np.allclose(probabilities[4], probabilities[5])


def test_target_matters_only_where_it_is_used(settings):
    train = make_statements(60)
    one, other = (make_statements(12, targets=(target,)) for target in ("the truce", "the river vote"))
    blind, seeing = (Hybrid(encoder=settings, use_target=use).fit(train) for use in (False, True))
    assert (blind.uses_target, seeing.uses_target) == (False, True)
    assert np.array_equal(blind.predict_proba(one), blind.predict_proba(other))
    assert not np.array_equal(seeing.predict_proba(one), seeing.predict_proba(other))


def test_no_statement_gives_no_row(settings):
    train = make_statements(30)
    assert Hybrid(encoder=settings).fit(train).predict_proba(train.take([])).shape == (0, 3)
