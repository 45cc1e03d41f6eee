from dataclasses import replace

import numpy as np
import pytest

from stancelib.data.statements import statements as shipped
from stancelib.errors import DataError
from stancelib.evaluation.label_noise import cross_validated, label_noise
from stancelib.labels import LabelSet
from stancelib.models.tfidf import Tfidf
from stancelib.schema import TRAIN, Predictions, Statements

LABELS = LabelSet(("a", "b", "c"))


def learnable(n=600, *, seed=0, shares=(1 / 3, 1 / 3, 1 / 3), **columns):
    """Statements of ten words, of which most are typical of their label."""
    random = np.random.default_rng(seed)
    gold = random.choice(3, size=n, p=shares)
    texts = []
    for label in gold:
        own = random.random(10) < 0.4
        words = np.where(own, label * 40 + random.integers(40, size=10), random.integers(120, size=10))
        texts.append(" ".join(f"w{word}" for word in words))
    return Statements(texts, [None] * n, LABELS, gold, columns=columns)


def with_noise(statements, fraction=0.05, *, seed=0):
    """Labels moved on by one or two on a share of the rows, and these rows."""
    random = np.random.default_rng(seed)
    n = len(statements)
    wrong = random.choice(n, round(n * fraction), replace=False)
    gold = statements.gold.copy()
    gold[wrong] = (gold[wrong] + 1 + random.integers(2, size=len(wrong))) % len(statements.labels)
    return replace(statements, label_ids=gold), wrong


def bayes(train):
    """A quick model: naive Bayes on words."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    words = CountVectorizer()
    model = MultinomialNB().fit(words.fit_transform(train.texts), train.gold)
    return lambda judged: Predictions(judged, LABELS, model.predict_proba(words.transform(judged.texts)))


def recall(order, wrong, *, top=0.1):
    return np.isin(wrong, order[: round(len(order) * top)]).mean()


def test_planted_noise_of_five_percent_is_found_in_the_top_tenth():
    found = []
    for seed in range(10):
        noisy, wrong = with_noise(learnable(seed=seed), seed=seed)
        found.append(recall(label_noise(noisy, bayes, seed=seed).order, wrong))
    assert np.mean(found) >= 0.7
    assert min(found) >= 0.5


def test_the_right_label_is_suggested():
    clean = learnable()
    noisy, wrong = with_noise(clean)
    noise = label_noise(noisy, bayes)
    caught = np.intersect1d(wrong, noise.order[:60])
    assert (noise.suggested[caught] == clean.gold[caught]).mean() > 0.8
    assert (noise.suggested != noisy.gold).all()


def test_clean_labels_are_rarely_suspicious_and_wrong_ones_mostly():
    noisy, wrong = with_noise(learnable())
    noise = label_noise(noisy, bayes)
    assert noise.suspicious[wrong].mean() > 0.7
    assert np.delete(noise.suspicious, wrong).mean() < 0.15


def test_a_label_of_which_models_are_never_sure_does_not_fill_the_top():
    """The second label's probability is halved throughout: without thresholds, its statements would all rank first."""

    def timid(train):
        judge = bayes(train)

        def judged(statements):
            said = judge(statements).probabilities * [1, 0.5, 1]
            said[:, 0] += 1 - said.sum(axis=1)
            return Predictions(statements, LABELS, said)

        return judged

    statements = learnable()
    noise = label_noise(statements, timid)
    plain = np.argsort(noise.predictions.probabilities[np.arange(600), statements.gold], kind="stable")
    share = [np.mean(statements.gold[order[:150]] == 1) for order in (plain, noise.order)]
    assert share[0] > 0.6
    assert share[1] < share[0] - 0.15


def test_no_statement_is_judged_by_a_model_that_saw_it_or_its_group():
    groups = [f"g{i % 60}" for i in range(300)]
    statements = learnable(300, group=groups)

    def nosy(train):
        seen = set(train.columns["group"])

        def judge(judged):
            assert not seen & set(judged.columns["group"])
            return Predictions(judged, LABELS, np.full((len(judged), 3), 1 / 3))

        return judge

    assert len(cross_validated(statements, nosy).probabilities) == 300


def test_equal_texts_stay_together_where_there_are_no_groups():
    statements = replace(learnable(90), texts=[f"text {i // 3}" for i in range(90)])

    def nosy(train):
        def judge(judged):
            assert not set(train.texts) & set(judged.texts)
            return Predictions(judged, LABELS, np.full((len(judged), 3), 1 / 3))

        return judge

    cross_validated(statements, nosy)


def test_every_fold_has_its_share_of_every_label():
    statements = learnable(1000, shares=(0.7, 0.2, 0.1))
    shares = []

    def counting(train):
        def judge(judged):
            shares.append(np.bincount(judged.gold, minlength=3) / len(judged))
            return Predictions(judged, LABELS, np.full((len(judged), 3), 1 / 3))

        return judge

    cross_validated(statements, counting)
    assert len(shares) == 5
    assert np.ptp(shares, axis=0).max() < 0.02


def test_the_table_shows_place_label_and_suggestion_of_the_most_suspicious_first():
    noisy, _ = with_noise(learnable())
    noise = label_noise(noisy, bayes)
    table = noise.columns(limit=7)
    assert {len(column) for column in table.values()} == {7}
    assert table["quality"] == sorted(table["quality"])
    assert table["id"][0] == noisy.ids[noise.order[0]]
    assert table["place"][0] == f"statements row {noise.order[0] + 1}"
    assert all(a != b for a, b in zip(table["label"], table["suggested"], strict=True))


def test_same_seed_same_ranking():
    noisy, _ = with_noise(learnable(200))
    first, again, other = (label_noise(noisy, bayes, seed=seed).order.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_label_in_too_few_groups_is_refused():
    statements = learnable(60)
    gold = np.where(np.arange(60) == 7, 2, np.arange(60) % 2)
    with pytest.raises(DataError, match="label 'c' has too few statements for 5 folds"):
        label_noise(replace(statements, label_ids=gold), bayes)


def test_a_single_fold_is_refused():
    with pytest.raises(ValueError, match="n_folds must be at least 2, got 1"):
        label_noise(learnable(30), bayes, n_folds=1)


@pytest.mark.slow
def test_tfidf_finds_half_of_the_noise_planted_in_the_shipped_corpus():
    """Measured: 0.62 in the top tenth, where 0.10 is chance; a model that is right on 74 % of them finds no more."""
    corpus = shipped()
    noisy, wrong = with_noise(corpus.split(TRAIN))

    def fit(train):
        model = Tfidf().fit(train)
        return lambda judged: Predictions(judged, corpus.labels, model.predict_proba(judged))

    assert recall(label_noise(noisy, fit).order, wrong) >= 0.5
