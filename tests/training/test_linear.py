import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.sparse import csr_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.training.linear import LinearHead, check_head_options, fit_linear_head

NAMES = ("yes", "no", "maybe", "none", "both")


def task(n_labels, n=60, n_features=8, seed=0):
    """Features around one centre per label, and the ids."""
    rng = np.random.default_rng(seed)
    ids = np.arange(n) % n_labels
    return rng.normal(size=(n, n_features)) + 2 * rng.normal(size=(n_labels, n_features))[ids], ids


@pytest.mark.parametrize("n_labels", [2, 3, 5])
def test_logistic_head_gives_the_probabilities_of_scikit_learn(n_labels):
    features, ids = task(n_labels)
    head = fit_linear_head(features, ids, LabelSet(NAMES[:n_labels]), C=0.5)
    wanted = LogisticRegression(C=0.5, max_iter=2000).fit(features, ids).predict_proba(features)
    assert np.allclose(head.predict_proba(features), wanted, atol=1e-6)


@pytest.mark.parametrize("n_labels", [2, 3, 5])
def test_svm_head_gives_the_calibrated_probabilities_of_scikit_learn(n_labels):
    features, ids = task(n_labels)
    head = fit_linear_head(features, ids, LabelSet(NAMES[:n_labels]), classifier="svm", seed=3)
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    svm = CalibratedClassifierCV(LinearSVC(random_state=3), cv=folds, ensemble=False)
    assert np.allclose(head.predict_proba(features), svm.fit(features, ids).predict_proba(features), atol=1e-6)


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_sparse_and_dense_features_give_the_same_probabilities(classifier):
    features, ids = task(3)
    head = fit_linear_head(features, ids, LabelSet(NAMES[:3]), classifier=classifier)
    assert np.allclose(head.predict_proba(csr_matrix(features)), head.predict_proba(features))


@given(
    st.sampled_from(["softmax", "one-vs-rest"]),
    st.integers(2, 5),
    st.integers(1, 6),
    st.floats(0, 1e6),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_probabilities_are_finite_and_sum_to_one_whatever_the_weights(link, n_labels, n_features, scale, seed):
    rng = np.random.default_rng(seed)
    head = LinearHead(scale * rng.normal(size=(n_features, n_labels)), scale * rng.normal(size=n_labels), link)
    found = head.predict_proba(rng.normal(size=(4, n_features)))
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(axis=1), 1)


@given(st.sampled_from(["softmax", "one-vs-rest"]), st.integers(2, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_head_survives_its_file_bit_by_bit(link, n_labels, n_features, seed):
    rng = np.random.default_rng(seed)
    head = LinearHead(rng.normal(size=(n_features, n_labels)), rng.normal(size=n_labels), link)
    again = LinearHead.from_tensors(load(save(head.tensors())))
    features = rng.normal(size=(5, n_features))
    assert again.link == link
    assert np.array_equal(again.predict_proba(features), head.predict_proba(features))


def test_class_weights_by_name_favour_their_label():
    features, ids = task(2, n=200, n_features=2)
    labels = LabelSet(NAMES[:2])
    plain = fit_linear_head(features, ids, labels).predict_proba(features)[:, 1].mean()
    weighted = fit_linear_head(features, ids, labels, class_weight={"no": 20}).predict_proba(features)[:, 1].mean()
    assert weighted > plain + 0.02


def test_balanced_weights_help_the_rare_label():
    features, ids = task(2, n=200, n_features=2)
    kept = np.concatenate([np.flatnonzero(ids == 0), np.flatnonzero(ids == 1)[:6]])
    labels = LabelSet(NAMES[:2])
    plain = fit_linear_head(features[kept], ids[kept], labels, C=0.01)
    balanced = fit_linear_head(features[kept], ids[kept], labels, C=0.01, class_weight="balanced")
    assert balanced.predict_proba(features)[:, 1].mean() > plain.predict_proba(features)[:, 1].mean() + 0.05


def test_a_class_weight_of_no_label_is_refused():
    features, ids = task(2)
    with pytest.raises(ConfigError, match=r"class_weight names 'yess', but the labels are yes, no; did you mean 'yes'"):
        fit_linear_head(features, ids, LabelSet(NAMES[:2]), class_weight={"yess": 2})


@pytest.mark.parametrize(("classifier", "least"), [("logistic", 1), ("svm", 2)])
def test_a_label_with_too_few_rows_is_refused(classifier, least):
    features, ids = task(2, n=20)
    kept = np.concatenate([np.flatnonzero(ids == 0), np.flatnonzero(ids == 1)[: least - 1]])
    with pytest.raises(
        DataError, match=f"label 'no' has {least - 1} training rows; {classifier} needs at least {least}"
    ):
        fit_linear_head(features[kept], ids[kept], LabelSet(NAMES[:2]), classifier=classifier)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "logistik"}, "classifier must be 'logistic' or 'svm', got 'logistik'; did you mean 'logistic'"),
        ({"C": 0}, "C must be above 0 and finite, got 0"),
        ({"C": float("nan")}, "C must be above 0 and finite, got nan"),
        ({"class_weight": "even"}, "class_weight must be 'balanced', a weight per label, or null, got 'even'"),
        ({"class_weight": {"no": 0}}, "class_weight of 'no' must be above 0 and finite, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_head_options(**{"classifier": "svm", "C": 1.0, "class_weight": None} | options)
