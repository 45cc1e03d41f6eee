import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from stancelib.errors import ConfigError
from stancelib.evaluation.metrics import (
    Evaluation,
    brier,
    confusion_matrix,
    log_loss,
    macro_f1,
    matthews,
    precision_recall_f1,
    reliability,
    scores,
)
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

N_LABELS = 4
LABEL_IDS = st.integers(0, N_LABELS - 1)
PAIRS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(hnp.arrays(int, n, elements=LABEL_IDS), hnp.arrays(int, n, elements=LABEL_IDS))
)
LABELS = LabelSet(("FAVOR", "AGAINST", "NONE"))


def predictions(gold, probabilities, labels=LABELS):
    statements = Statements(["x"] * len(gold), [None] * len(gold), labels, np.array(gold))
    return Predictions(statements, labels, np.array(probabilities, dtype=float))


@given(PAIRS)
def test_macro_f1_is_that_of_scikit_learn(pair):
    gold, predicted = pair
    wanted = reference.f1_score(gold, predicted, labels=range(N_LABELS), average="macro", zero_division=0)
    assert macro_f1(gold, predicted, n_labels=N_LABELS) == pytest.approx(wanted)


@given(PAIRS, st.sets(LABEL_IDS, max_size=N_LABELS - 1))
def test_skipped_labels_leave_the_mean_and_not_the_counts(pair, skip):
    gold, predicted = pair
    kept = [label for label in range(N_LABELS) if label not in skip]
    wanted = reference.f1_score(gold, predicted, labels=kept, average="macro", zero_division=0)
    assert macro_f1(gold, predicted, n_labels=N_LABELS, skip=skip) == pytest.approx(wanted)


@given(PAIRS)
def test_precision_recall_and_f1_of_each_label_are_those_of_scikit_learn(pair):
    gold, predicted = pair
    wanted = reference.precision_recall_fscore_support(gold, predicted, labels=range(N_LABELS), zero_division=0)[:3]
    assert np.allclose(precision_recall_f1(gold, predicted, n_labels=N_LABELS), wanted)


@given(PAIRS)
def test_confusion_matrix_has_gold_in_rows_and_counts_every_statement_once(pair):
    gold, predicted = pair
    counts = confusion_matrix(gold, predicted, n_labels=N_LABELS)
    assert np.array_equal(counts, reference.confusion_matrix(gold, predicted, labels=range(N_LABELS)))
    assert counts.sum() == len(gold)


@given(PAIRS)
def test_renaming_labels_does_not_change_macro_f1(pair):
    gold, predicted = pair
    renamed = np.array([2, 0, 3, 1])
    assert macro_f1(renamed[gold], renamed[predicted], n_labels=N_LABELS) == pytest.approx(
        macro_f1(gold, predicted, n_labels=N_LABELS)
    )


def test_a_label_absent_from_both_arrays_scores_zero():
    assert macro_f1(np.array([0, 1]), np.array([0, 1]), n_labels=4) == 0.5


def test_skipping_every_label_is_refused():
    with pytest.raises(ValueError, match=r"skip=\[0, 1\] leaves none of the 2 labels"):
        macro_f1(np.array([0]), np.array([0]), n_labels=2, skip={0, 1})


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"gold has shape \(2,\), predicted \(3,\)"):
        macro_f1(np.array([0, 1]), np.array([0, 1, 1]), n_labels=2)


def test_mcc_of_a_constant_prediction_is_zero():
    assert matthews(np.array([0, 1, 2, 0]), np.array([1, 1, 1, 1])) == 0


def test_log_loss_is_the_mean_surprise_in_nats():
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert log_loss(np.array([0, 0]), probabilities) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_log_loss_of_an_impossible_gold_label_is_finite():
    assert log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(1e-15))


def test_brier_sums_squares_over_all_labels():
    assert brier(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])) == pytest.approx((0 + 2) / 2)
    assert brier(np.array([0]), np.array([[0.5, 0.3, 0.2]])) == pytest.approx(0.25 + 0.09 + 0.04)


def test_calibration_error_weighs_each_bin_by_its_statements():
    # three at confidence 0.9, two of them right; one at 0.6, wrong
    gold = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]])
    curve = reliability(gold, probabilities, n_bins=10)
    assert curve.count.tolist() == [1, 3]
    assert curve.accuracy.tolist() == pytest.approx([0, 2 / 3])
    assert curve.ece == pytest.approx((1 * 0.6 + 3 * (0.9 - 2 / 3)) / 4)


def test_full_confidence_falls_into_the_last_bin():
    assert reliability(np.array([0]), np.array([[1.0, 0.0]]), n_bins=5).ece == 0


@given(PAIRS)
def test_certain_and_right_predictions_have_no_loss_of_any_kind(pair):
    gold, _ = pair
    certain = np.eye(N_LABELS)[gold]
    assert (log_loss(gold, certain), brier(gold, certain), reliability(gold, certain).ece) == (0, 0, 0)


def test_scores_have_stable_names():
    found = scores(predictions([0, 1, 2], np.eye(3)), skip_labels=["NONE"])
    per_label = [f"{kind}.{name}" for kind in ("precision", "recall", "f1") for name in LABELS]
    assert list(found) == ["macro_f1", "f_avg", "accuracy", "mcc", "log_loss", "brier", "ece", *per_label]
    assert found["accuracy"] == found["macro_f1"] == found["f1.NONE"] == 1


def test_without_skipped_labels_there_is_no_f_avg():
    assert "f_avg" not in scores(predictions([0, 1, 2], np.eye(3)))


def test_f_avg_is_the_mean_over_the_other_labels():
    said = predictions([0, 0, 1, 2], np.eye(3)[[0, 1, 1, 0]])
    found = scores(said, skip_labels=["NONE"])
    assert found["f_avg"] == pytest.approx((found["f1.FAVOR"] + found["f1.AGAINST"]) / 2)


def test_an_unknown_skipped_label_is_refused():
    with pytest.raises(ConfigError, match=r"unknown label 'none'.*did you mean 'NONE'"):
        scores(predictions([0], [[1, 0, 0]]), skip_labels=["none"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": []}, "splits is empty; name at least one of train, validation, test"),
        ({"splits": ["tset"]}, "got 'tset'; did you mean 'test'"),
        ({"headline": "macrof1"}, "got 'macrof1'; did you mean 'macro_f1'"),
        ({"headline": "f_avg"}, "'f_avg' needs skip_labels"),
        ({"interval": "bac"}, "got 'bac'; did you mean 'bca'"),
    ],
)
def test_evaluation_refuses_what_cannot_be_scored(options, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(**options)


@pytest.mark.skipif("STANCELIB_BENCHMARKS" not in os.environ, reason="STANCELIB_BENCHMARKS names no folder of corpora")
def test_reference_predictions_of_semeval_2016_get_the_published_score():
    root = Path(os.environ["STANCELIB_BENCHMARKS"]) / "semeval2016_t6"
    said = {}
    for line in (root / "reference_predictions.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        said[row["id"]] = row["predicted"]
    rows = [json.loads(line) for line in (root / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    gold = LABELS.encode([row["label"] for row in rows])
    predicted = LABELS.encode([said[row["id"]] for row in rows])
    score = macro_f1(gold, predicted, n_labels=3, skip={LABELS.id_of("NONE")})
    assert score == pytest.approx(0.72436, abs=5e-6)


def test_the_log_loss_of_a_model_that_is_sure_and_right_is_0_and_not_below():
    assert str(log_loss(np.array([0, 1]), np.eye(2))) == "0.0"
