import numpy as np
import pytest

from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.models.base import Member
from stancelib.models.distil import Distil
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.schema import Statements

from ..conftest import LABELS, make_corpus, make_statements

CORPUS = make_corpus()
TRAIN, TEST = CORPUS.split("train"), CORPUS.split("test")
MORE = make_statements(120, start=500)
UNLABELLED = Statements(MORE.texts, MORE.targets)


class Certain:
    """A teacher that is always sure of one label."""

    uses_target = False

    def predict_proba(self, statements):
        return np.tile([0.0, 0.0, 1.0], (len(statements), 1))


class Split:
    """A teacher that gives two labels 3 : 1."""

    uses_target = False

    def predict_proba(self, statements):
        return np.tile([0.75, 0.25, 0.0], (len(statements), 1))


def test_the_student_learns_the_teachers_opinion_on_unlabelled_text():
    few = TRAIN.take(range(6))
    alone = Tfidf().fit(few).predict_proba(TEST)
    teacher = Member(Tfidf().fit(TRAIN), LABELS)
    taught = Distil(teacher=teacher, student=Tfidf(), unlabelled=UNLABELLED).fit(few).predict_proba(TEST)
    accuracy = [(said.argmax(1) == TEST.gold).mean() for said in (alone, taught)]
    assert accuracy[1] > 0.9
    assert accuracy[1] >= accuracy[0]


def test_labels_are_drawn_at_the_teachers_rates():
    student = Prior()
    Distil(teacher=Member(Split(), LABELS), student=student, unlabelled=UNLABELLED, n_draws=20).fit(
        TRAIN.take(range(3))
    )
    np.testing.assert_allclose(student.overall_, [0.75, 0.25, 0.0], atol=0.03)


def test_without_unlabelled_text_the_training_statements_are_judged():
    student = Prior()
    Distil(teacher=Member(Certain(), LABELS), student=student, n_draws=9).fit(TRAIN)
    assert student.overall_[2] == pytest.approx((9 + 1 / 3) / 10, abs=0.01)


def test_same_seed_same_student_and_another_seed_another():
    def found(seed):
        model = Distil(teacher=Member(Split(), LABELS), student=Tfidf(), unlabelled=UNLABELLED, seed=seed)
        return model.fit(TRAIN).predict_proba(TEST)

    np.testing.assert_array_equal(found(0), found(0))
    assert not np.array_equal(found(0), found(1))


def test_saved_student_answers_alike_without_the_teacher(tmp_path):
    model = Distil(teacher=Member(Tfidf().fit(TRAIN), LABELS), student=Tfidf()).fit(TRAIN)
    model.save(tmp_path)
    np.testing.assert_array_equal(Distil.load(tmp_path).predict_proba(TEST), model.predict_proba(TEST))


def test_a_student_from_elsewhere_is_not_saved(tmp_path):
    with pytest.raises(ConfigError, match="saves stancelib's own families only"):
        Distil(teacher=None, student=Certain()).save(tmp_path)


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="n_draws must be at least 1, got 0"):
        Distil(teacher=None, student=Prior(), n_draws=0)


def test_a_teacher_of_other_labels_is_named():
    corpus = make_corpus(LabelSet.of(("accept", "reject")))
    teacher = Member(Tfidf().fit(corpus.split("train")), corpus.labels, name="runs/other")
    with pytest.raises(DataError, match="the teacher runs/other doesn't know the label 'conditional-accept'"):
        Distil(teacher=teacher, student=Tfidf()).fit(make_corpus().split("train"))
