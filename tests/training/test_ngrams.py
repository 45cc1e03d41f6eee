import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stancelib.errors import DataError
from stancelib.training.ngrams import N_OVERLAP, Ngrams, TextBlocks

TEXTS = ["We agree, if the fence is up.", "No fence! No deal.", "Why not talk?", "the deal is off", "agree or talk"]
TARGETS = ["a fence", "the deal", None, "the deal", ""]


def blocks(use_target=True, **ngrams):
    fitted = TextBlocks(ngrams=Ngrams(**{"min_df": 1} | ngrams), use_target=use_target)
    return fitted, fitted.fit_transform(TEXTS, TARGETS)


@pytest.mark.parametrize("use_target", [True, False])
@pytest.mark.parametrize("ngrams", [{}, {"word": None}, {"char": None}, {"max_features": 7}, {"min_df": 2}])
def test_saved_blocks_give_the_same_matrix(use_target, ngrams, tmp_path):
    fitted, matrix = blocks(use_target, **ngrams)
    fitted.save(tmp_path)
    again = TextBlocks.load(tmp_path).transform(TEXTS, TARGETS).toarray()
    assert np.array_equal(again, fitted.transform(TEXTS, TARGETS).toarray())
    assert np.allclose(again, matrix.toarray())


@given(st.lists(st.text(), min_size=1, max_size=5), st.data())
@settings(max_examples=50, deadline=None)
def test_any_text_in_any_script_survives_saving(tmp_path_factory, texts, data):
    targets = data.draw(st.lists(st.none() | st.text(), min_size=len(texts), max_size=len(texts)))
    fitted = TextBlocks(ngrams=Ngrams(min_df=1), use_target=True)
    fitted.fit_transform(texts, targets)
    matrix = fitted.transform(texts, targets)
    folder = tmp_path_factory.mktemp("blocks")
    fitted.save(folder)
    assert np.array_equal(TextBlocks.load(folder).transform(texts, targets).toarray(), matrix.toarray())


def test_overlap_counts_the_words_that_statement_and_target_share():
    _, matrix = blocks()
    overlap = matrix.toarray()[:, -N_OVERLAP:]
    # "We agree, if the fence is up." towards "a fence": 1 of 2 words; 1 of 8 in all; "fence" has 5 letters
    assert np.allclose(overlap[0], [1 / 2, 1 / 8, 0.5])
    assert np.allclose(overlap[[2, 4]], 0)


def test_without_the_target_there_is_no_target_block_and_no_overlap():
    fitted, _ = blocks(use_target=False)
    one, other = (fitted.transform(TEXTS, targets) for targets in (TARGETS, ["something else"] * len(TEXTS)))
    assert np.array_equal(one.toarray(), other.toarray())
    assert "target" not in fitted.vectorizers_


def test_a_question_mark_is_a_word():
    fitted, _ = blocks(char=None)
    assert "?" in fitted.vectorizers_["word"].vocabulary_


def test_rare_ngrams_are_left_out():
    fitted, _ = blocks(char=None, min_df=2)
    assert "fence" in fitted.vectorizers_["word"].vocabulary_
    assert "why" not in fitted.vectorizers_["word"].vocabulary_


def test_max_features_limits_each_block():
    fitted, _ = blocks(max_features=5)
    assert all(len(vectorizer.vocabulary_) <= 5 for vectorizer in fitted.vectorizers_.values())


def test_a_block_without_any_frequent_ngram_is_dropped():
    fitted = TextBlocks(ngrams=Ngrams(min_df=2, char=None), use_target=True)
    matrix = fitted.fit_transform(["one", "two"], ["a", "b"])
    assert matrix.shape == (2, N_OVERLAP)


def test_saved_vocabulary_is_a_json_list_in_column_order(tmp_path):
    fitted, _ = blocks()
    fitted.save(tmp_path)
    terms = json.loads((tmp_path / "vocabulary.word.json").read_text(encoding="utf-8"))
    assert [fitted.vectorizers_["word"].vocabulary_[term] for term in terms] == list(range(len(terms)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"word": (2, 1)}, r"word must be \[shortest, longest\] .* got \[2, 1\]"),
        ({"char": (0, 3)}, r"char must be \[shortest, longest\] .* got \[0, 3\]"),
        ({"word": (1, 2, 3)}, r"got \[1, 2, 3\]"),
        ({"word": None, "char": None}, "word and char are both null"),
        ({"min_df": 0}, "min_df must be at least 1, got 0"),
        ({"max_features": 0}, "max_features must be at least 1, got 0"),
    ],
)
def test_ngrams_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Ngrams(**options)


def test_texts_without_a_common_ngram_are_refused_where_they_are_all_there_is():
    blocks = TextBlocks(ngrams=Ngrams(char=None), use_target=False)
    with pytest.raises(DataError, match=r"no n-gram is in 2 of the 2 training statements: lower ngrams.min_df"):
        blocks.fit_transform(["yes", "no"], [None, None])
