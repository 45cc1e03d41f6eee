import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
