from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.labels import LabelSet
from stancelib.schema import Statements
from stancelib.training.augmentation import augmented, contrasts, joined_in_twos
from stancelib.training.settings import AugmentSettings

from .tiny_bert import LABELS, make_statements


@given(n=st.integers(0, 40), share=st.floats(0, 1), seed=st.integers(0, 5))
def test_each_text_comes_twice_with_the_target_and_label_of_either_part(n, share, seed):
    statements = make_statements(n)
    labels_of = {
        (text, target): label
        for text, target, label in zip(statements.texts, statements.targets, statements.gold, strict=True)
    }
    made = joined_in_twos(statements, share, seed)
    assert len(made) <= share * n
    assert len(made) % 2 == 0
    for i in range(0, len(made), 2):
        (text, other), targets, gold = made.texts[i : i + 2], made.targets[i : i + 2], made.gold[i : i + 2]
        assert text == other
        assert targets[0] != targets[1]
        assert all(targets)
        halves = [(text[:cut], text[cut + 1 :]) for cut in range(len(text)) if text[cut] == " "]
        assert any(
            labels_of.get((first, targets[0])) == gold[0] and labels_of.get((second, targets[1])) == gold[1]
            for first, second in halves
        )


def test_all_statements_with_targets_of_their_own_can_be_joined():
    statements = make_statements(40, targets=tuple(f"target {i}" for i in range(40)))
    made = joined_in_twos(statements, 1.0, 0)
    assert len(made) == 40
    assert sorted(made.targets) == sorted(statements.targets)


def test_same_seed_same_statements_and_another_seed_others():
    statements = make_statements(60)
    first, again, other = (joined_in_twos(statements, 0.5, seed) for seed in (1, 1, 2))
    assert first.texts == again.texts
    assert np.array_equal(first.gold, again.gold)
    assert first.texts != other.texts


def test_without_targets_nothing_is_joined():
    assert len(joined_in_twos(make_statements(30, targets=(None,)), 1.0, 0)) == 0


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_a_share_below_two_statements_makes_none(share):
    assert len(joined_in_twos(make_statements(30), share, 0)) == 0


def test_contrasts_are_the_texts_that_have_two_labels():
    texts, targets = ["a", "b", "a", "c", "b"], ["x", "x", "y", "x", "y"]
    found = contrasts(Statements(texts, targets, LABELS, np.array([0, 1, 2, 0, 1])))
    assert (found.texts, found.targets, found.gold.tolist()) == (["a", "a"], ["x", "y"], [0, 2])


def test_what_is_made_follows_the_statements_themselves():
    statements = Statements(["a", "b", "a"], ["x", "x", "y"], LABELS, np.array([0, 1, 2]))
    found = augmented(statements, AugmentSettings(contrasts=2), 0)
    assert found.texts == ["a", "b", "a", "a", "a", "a", "a"]
    assert found.gold.tolist() == [0, 1, 2, 0, 2, 0, 2]
    assert augmented(statements, AugmentSettings(), 0).texts == statements.texts
    assert len(augmented(make_statements(60), AugmentSettings(joined=0.5, contrasts=1), 0)) > 60


def test_a_text_that_was_only_labelled_twice_is_no_contrast():
    texts, targets = ["same"] * 2 + ["other"] * 2, ["t", "t", "t", "u"]
    statements = Statements(texts, targets, LABELS, np.array([0, 1, 0, 1]))
    assert list(contrasts(statements).texts) == ["other", "other"]
    untargeted = Statements(texts[:2], [None, None], LABELS, np.array([0, 1]))
    assert len(contrasts(untargeted)) == 0


LABELS_AND_MORE = LabelSet((*LABELS, "other"))
DROPPED = AugmentSettings(dropped=0.5, dropped_label="other")


def with_evidence(statements, evidence):
    columns = {"why": [evidence(text) for text in statements.texts], "author": ["A"] * len(statements)}
    return replace(statements, labels=LABELS_AND_MORE, columns=columns)


def test_statements_lose_their_evidence_and_get_the_label_that_is_left():
    statements = with_evidence(make_statements(40), lambda text: text.split()[1] if len(text.split()) > 2 else "")
    n_with = sum(map(bool, statements.columns["why"]))
    made = augmented(statements, DROPPED, 0, evidence="why")
    assert made.texts[:40] == statements.texts
    new = made.take(range(40, len(made)))
    assert len(new) == round(n_with / 2)
    assert set(new.column("label")) == {"other"}
    assert set(new.columns["why"]) == {""}
    shortened = {
        (" ".join(text.replace(why, " ", 1).split()), target)
        for text, target, why in zip(statements.texts, statements.targets, statements.columns["why"], strict=True)
    }
    assert set(zip(new.texts, new.targets, strict=True)) <= shortened


def test_which_statements_lose_their_evidence_hangs_on_the_seed():
    statements = with_evidence(make_statements(40), lambda text: text.split()[0])
    first, again, other = (augmented(statements, DROPPED, seed, evidence="why").texts for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("evidence", "column", "label"),
    [
        (lambda text: text, "why", "other"),  # nothing would be left
        (lambda text: "", "why", "other"),
        (lambda text: None, "why", "other"),
        (lambda text: text.split()[0], None, "other"),
        (lambda text: text.split()[0], "reason", "other"),
        (lambda text: text.split()[0], "why", "unheard of"),
    ],
)
def test_where_there_is_no_evidence_or_no_such_label_nothing_is_dropped(evidence, column, label):
    statements = with_evidence(make_statements(20), evidence)
    settings = AugmentSettings(dropped=1.0, dropped_label=label)
    assert augmented(statements, settings, 0, evidence=column).texts == statements.texts


def test_joined_statements_keep_the_evidence_of_the_one_they_are_judged_by():
    statements = with_evidence(make_statements(30), lambda text: text.split()[0])
    made = joined_in_twos(statements, 1.0, 0)
    assert len(made)
    assert all(why in text for text, why in zip(made.texts, made.columns["why"], strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropped": 0.3}, "dropped needs dropped_label"),
        ({"dropped": 1.5, "dropped_label": "a"}, "dropped must be in"),
        ({"masked": 1.0}, "masked must be in"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AugmentSettings(**options)
