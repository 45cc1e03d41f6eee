import numpy as np
import pytest

from stancelib.evaluation.faithfulness import Explanation, faithfulness, log_odds, token_spans, without
from stancelib.labels import LabelSet
from stancelib.schema import Predictions

LABELS = LabelSet.of(("reject", "propose"))
WORDS = [f"w{i}" for i in range(40)]
TRUTH = {word: 3.0 if i < 4 else 0.0 for i, word in enumerate(WORDS)}


def judge(statements):
    """A planted model: four words speak for ``reject``, and nothing else matters."""
    scores = np.array([sum(TRUTH.get(word, 0) for word in text.split()) - 3.0 for text in statements.texts])
    reject = 1 / (1 + np.exp(-scores))
    return Predictions(statements, LABELS, np.column_stack([reject, 1 - reject]))


def explanation(words, weights):
    text = " ".join(words)
    return Explanation(text, None, "reject", token_spans(text), tuple(weights), 0.0, "occlusion")


def planted(random, n, weight):
    """Explanations of statements of twelve words, two of which matter."""
    found = []
    for _ in range(n):
        words = [*random.choice(WORDS[:4], 2, replace=False), *random.choice(WORDS[4:], 10, replace=False)]
        words = [str(word) for word in random.permutation(words)]
        found.append(explanation(words, [weight(word) for word in words]))
    return found


def test_true_weights_are_faithful_and_false_ones_are_not():
    random = np.random.default_rng(0)
    true = faithfulness(judge, planted(random, 40, TRUTH.get))
    false = faithfulness(judge, planted(random, 40, lambda word: -TRUTH[word]))
    assert true.difference.low > 0.2
    assert false.difference.high < 0
    assert true.strongest - true.random == pytest.approx(true.difference.value)


def test_random_weights_are_called_faithful_as_rarely_as_the_level_says():
    random = np.random.default_rng(1)
    missed = 0
    for seed in range(200):
        found = faithfulness(judge, planted(random, 30, lambda word: random.random()), seed=seed, n_resamples=500)
        missed += not found.difference.low <= 0 <= found.difference.high
    assert 2 <= missed <= 24


def test_all_deletions_are_judged_in_one_batch():
    batches = []

    def counting(statements):
        batches.append(len(statements))
        return judge(statements)

    faithfulness(counting, planted(np.random.default_rng(0), 5, TRUTH.get), shares=(0.1, 0.5), n_random=3)
    assert batches == [5 * (1 + 2 * (1 + 3))]


def test_explanations_of_one_token_say_nothing_about_faithfulness():
    assert faithfulness(judge, [explanation(["w1"], [1.0])]) is None
    assert faithfulness(judge, [explanation(["w1"], [1.0]), explanation(["w1", "w9"], [3.0, 0.0])]).n == 1


def test_deleting_tokens_leaves_no_gaps():
    text = "No, we  won't go\nthere."
    spans = token_spans(text)
    assert [text[start:end] for start, end in spans] == ["No", ",", "we", "won't", "go", "there", "."]
    assert without(text, spans, [1, 3]) == "No we go there."
    assert without(text, spans, []) == "No, we won't go there."
    assert without(text, spans, range(7)) == ""


def test_tokens_come_with_their_weights_and_the_strongest_first():
    one = explanation(["w9", "w1", "w8"], [0.0, 3.0, -1.0])
    assert one.tokens == [("w9", 0.0), ("w1", 3.0), ("w8", -1.0)]
    assert one.strongest_first == [1, 0, 2]


def test_log_odds_stay_finite():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    assert log_odds(np.array([0.5]))[0] == 0
