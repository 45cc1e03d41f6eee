import numpy as np
import pytest

from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.models.base import Member
from stancelib.models.ensemble import Ensemble, fit_weights
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf

from ..conftest import LABELS, make_corpus, make_statements

CORPUS = make_corpus()
TRAIN, VALIDATION, TEST = (CORPUS.split(name) for name in ("train", "validation", "test"))


@pytest.fixture(scope="module")
def members():
    return [Member(Tfidf().fit(TRAIN), LABELS, name="tfidf"), Member(Prior().fit(TRAIN), LABELS, name="prior")]


class Foreign:
    uses_target = False

    def predict_proba(self, statements):
        return np.full((len(statements), 3), 1 / 3)


def test_equal_weights_give_the_mean_of_the_probabilities(members):
    model = Ensemble(members=members, weights="equal").fit(TRAIN)
    mean = (members[0].model.predict_proba(TEST) + members[1].model.predict_proba(TEST)) / 2
    np.testing.assert_allclose(model.predict_proba(TEST), mean, atol=1e-12)


def test_a_member_that_knows_nothing_gets_no_weight(members):
    model = Ensemble(members=members).fit(TRAIN, VALIDATION)
    assert model.weights_[0] > 0.95
    np.testing.assert_allclose(model.weights_.sum(), 1)


def test_fitted_weights_are_the_planted_shares_of_a_mixture():
    random = np.random.default_rng(0)
    said = random.dirichlet([1, 1, 1], size=(2, 40_000))
    source = (random.random(40_000) > 0.7).astype(int)
    drawn = said[source, np.arange(40_000)]
    gold = (random.random((40_000, 1)) > drawn.cumsum(1)[:, :-1]).sum(1)
    np.testing.assert_allclose(fit_weights(gold, said), [0.7, 0.3], atol=0.02)


def test_members_may_order_their_labels_differently(members):
    turned = LabelSet(tuple(reversed(LABELS.names)))
    train = type(TRAIN)(TRAIN.texts, TRAIN.targets, turned, turned.encode(TRAIN.column("label")))
    other = Member(Tfidf().fit(train), turned)
    model = Ensemble(members=[members[0], other], weights="equal").fit(TRAIN)
    assert (model.predict_proba(TEST).argmax(1) == TEST.gold).all()


def test_a_members_temperature_is_applied_before_averaging(members):
    cool = Ensemble(members=[members[0]], weights="equal").fit(TRAIN).predict_proba(TEST)
    warm = Ensemble(members=[Member(members[0].model, LABELS, 4.0)], weights="equal").fit(TRAIN).predict_proba(TEST)
    assert (warm.max(1) < cool.max(1)).all()


def test_saved_ensemble_answers_alike_without_its_members_folders(members, tmp_path):
    model = Ensemble(members=members).fit(TRAIN, VALIDATION)
    model.save(tmp_path)
    np.testing.assert_array_equal(Ensemble.load(tmp_path).predict_proba(TEST), model.predict_proba(TEST))


def test_members_with_other_labels_are_refused(members):
    other = LabelSet(("a", "b"))
    with pytest.raises(ValueError, match="members must know the same labels; odd knows a, b"):
        Ensemble(members=[members[0], Member(Prior(), other, name="odd")])


def test_data_with_other_labels_are_refused(members):
    labels = LabelSet.of(("reject", "propose"))
    with pytest.raises(DataError, match="the members know the labels"):
        Ensemble(members=members).fit(make_statements(12, labels))


def test_fitted_weights_need_validation(members):
    with pytest.raises(DataError, match="need a validation split"):
        Ensemble(members=members).fit(TRAIN)


def test_a_member_from_elsewhere_is_not_saved(members, tmp_path):
    model = Ensemble(members=[members[0], Member(Foreign(), LABELS)], weights="equal").fit(TRAIN)
    with pytest.raises(ConfigError, match="saves stancelib's own families only"):
        model.save(tmp_path)


@pytest.mark.parametrize(
    ("members_", "weights", "message"), [([], "fitted", "at least one trained model"), (None, "best", "'best'")]
)
def test_bad_options_are_refused(members, members_, weights, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(members=members if members_ is None else members_, weights=weights)
