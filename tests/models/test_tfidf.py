import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from stancelib.errors import DataError
from stancelib.models.tfidf import Tfidf
from stancelib.training.ngrams import Ngrams

from ..conftest import make_corpus, make_statements

TRAIN = make_corpus().split("train")


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_learns_what_the_wording_gives_away(classifier, statements):
    found = Tfidf(classifier=classifier).fit(TRAIN).predict_proba(statements)
    assert (found.argmax(axis=1) == statements.gold).mean() > 0.9


def test_target_matters_only_where_it_is_used(statements):
    elsewhere = make_statements(12, start=1003)
    for use_target in (True, False):
        model = Tfidf(use_target=use_target).fit(TRAIN)
        one, other = model.predict_proba(statements), model.predict_proba(statements.take(range(12)))
        swapped = type(statements)(statements.texts, elsewhere.targets)
        assert model.uses_target is use_target
        assert np.array_equal(one, other)
        assert np.array_equal(one, model.predict_proba(swapped)) is not use_target


def test_fit_reports_the_number_of_features():
    seen = []
    Tfidf().fit(TRAIN, report=seen.append)
    assert [progress.step for progress in seen] == [1, 2]
    assert seen[0].metrics["train/n_features"] > 100


def test_the_seed_changes_nothing_for_logistic_regression(statements):
    one, other = (Tfidf(seed=seed).fit(TRAIN).predict_proba(statements) for seed in (0, 1))
    assert np.array_equal(one, other)


def test_the_saved_model_is_arrays_and_json_alone(tmp_path):
    """What is stored suffices to predict, whatever scikit-learn wrote it or reads it: no estimator is kept."""
    Tfidf(ngrams=Ngrams(word=(1, 1), char=None, min_df=1)).fit(TRAIN).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "blocks.json",
        "head.safetensors",
        "idf.safetensors",
        "labels.json",
        "vocabulary.target.json",
        "vocabulary.word.json",
    ]
    terms = json.loads((tmp_path / "vocabulary.word.json").read_text())
    idf, head = load_file(tmp_path / "idf.safetensors"), load_file(tmp_path / "head.safetensors")
    assert idf["word"].shape == (len(terms),)
    assert head["coef"].shape == (len(terms) + len(idf["target"]) + 3, 3)
    assert json.loads((tmp_path / "labels.json").read_text()) == list(TRAIN.labels)


def test_a_model_on_loaded_parts_needs_nothing_that_fit_alone_sets(tmp_path, statements, monkeypatch):
    """Another scikit-learn is emulated: nothing but what load itself builds is at hand, and fitting is impossible."""
    model = Tfidf().fit(TRAIN)
    before = model.predict_proba(statements)
    model.save(tmp_path)

    def refuse(*args, **kwargs):
        raise AssertionError("nothing is fitted again")

    monkeypatch.setattr("sklearn.feature_extraction.text.TfidfVectorizer.fit", refuse)
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression.fit", refuse)
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression.predict_proba", refuse)
    assert np.array_equal(Tfidf.load(tmp_path).predict_proba(statements), before)


def test_one_row_per_label_can_be_learned(statements):
    tiny = make_statements(3)
    assert np.allclose(Tfidf().fit(tiny).predict_proba(statements).sum(axis=1), 1)


def test_unlabelled_statements_cannot_be_learned_from():
    with pytest.raises(DataError, match="no labels"):
        Tfidf().fit(type(TRAIN)(["a"], ["b"]))
