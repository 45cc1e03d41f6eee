import json

import numpy as np
import pytest

from stancelib.errors import DataError
from stancelib.labels import LabelSet
from stancelib.models.prior import Prior
from stancelib.schema import Statements

LABELS = LabelSet(("yes", "no"))


def statements(targets, label_ids, labels=LABELS):
    return Statements(["x"] * len(targets), targets, labels, np.array(label_ids))


TRAIN = statements(["a", "a", "a", "b"], [0, 0, 1, 1])


def test_prior_gives_the_label_frequencies_whatever_is_said():
    found = Prior().fit(statements(["a"] * 4, [0, 0, 0, 1])).predict_proba(statements(["z", None], [0, 0]))
    assert found.tolist() == [[0.75, 0.25], [0.75, 0.25]]


def test_per_target_prior_gives_the_frequencies_of_the_own_target():
    found = Prior(per_target=True, smoothing=0).fit(TRAIN).predict_proba(statements(["a", "b"], [0, 0]))
    assert np.allclose(found, [[2 / 3, 1 / 3], [0, 1]])


def test_smoothing_pulls_a_target_towards_the_overall_frequencies():
    found = Prior(per_target=True, smoothing=1).fit(TRAIN).predict_proba(statements(["b"], [0]))
    assert np.allclose(found, [[0.5 / 2, 1.5 / 2]])


def test_an_unseen_target_gets_the_overall_frequencies():
    found = Prior(per_target=True).fit(TRAIN).predict_proba(statements(["c", None], [0, 0]))
    assert np.allclose(found, 0.5)


def test_an_empty_target_counts_as_none():
    model = Prior(per_target=True, smoothing=0).fit(statements([None, "", "a"], [0, 0, 1]))
    assert np.allclose(model.predict_proba(statements(["", None], [0, 0])), [[1, 0], [1, 0]])


@pytest.mark.parametrize("per_target", [False, True])
def test_only_the_per_target_prior_uses_the_target(per_target):
    assert Prior(per_target=per_target).uses_target is per_target


def test_negative_smoothing_is_refused():
    with pytest.raises(ValueError, match="smoothing must be at least 0, got -1"):
        Prior(smoothing=-1)


def test_a_label_without_a_row_is_refused():
    with pytest.raises(DataError, match="label 'no' has no training row"):
        Prior().fit(statements(["a"], [0]))


def test_a_saved_prior_is_readable_json(tmp_path):
    Prior(per_target=True).fit(TRAIN).save(tmp_path)
    content = json.loads((tmp_path / "prior.json").read_text())
    assert content["labels"] == ["yes", "no"]
    assert content["overall"] == [0.5, 0.5]
    assert set(content["by_target"]) == {"a", "b"}
