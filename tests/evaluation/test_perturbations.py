import difflib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.errors import ConfigError, DataError
from stancelib.evaluation.comparison import compare
from stancelib.evaluation.intervals import clusters_of
from stancelib.evaluation.metrics import scores
from stancelib.evaluation.perturbations import ATTRIBUTIONS, NEUTRAL, PERTURBATIONS, perturb, robustness
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet(("conditional-accept", "reject", "propose"))
SAYINGS = (
    "We agree to the plan if the costs are shared.",
    "Never! Not while I am chairman of this club.",
    "let's just try it for a month, shall we?",
    "The council would sign once the survey is finished.",
    "No, we won't; the matter is closed.",
    "How about a joint committee of the neighbours",
)
FEW = {"n_resamples": 200}


def labelled(n, **columns):
    """Statements whose gold label is known from their wording, in clusters of three."""
    texts = [SAYINGS[i % 6] + f" (item {i})" * (i >= 6) for i in range(n)]
    gold = np.arange(n) % 3
    columns = {"group": [f"g{i // 3}" for i in range(n)], **columns}
    return Statements(texts, [f"plan {i // 3}" for i in range(n)], LABELS, gold, columns=columns)


def judge_of(rule):
    """A judge that is nearly sure of the label id that ``rule`` finds for a row's gold label and text."""

    def judge(statements):
        ids = [rule(gold, text) for gold, text in zip(statements.gold.tolist(), statements.texts, strict=True)]
        return Predictions(statements, LABELS, np.full((len(ids), 3), 0.05) + 0.85 * np.eye(3)[ids])

    return judge


oracle = judge_of(lambda gold, text: gold)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_only_texts_change(name):
    original = labelled(30, speaker=["the mayor"] * 30)
    changed = perturb(original, name, seed=1)
    assert changed.texts != original.texts
    assert (changed.targets, changed.ids, changed.columns) == (original.targets, original.ids, original.columns)
    assert (changed.gold == original.gold).all()


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_same_seed_same_texts(name):
    original = labelled(60)
    assert perturb(original, name, seed=3).texts == perturb(original, name, seed=3).texts
    if name in ("typos", "attribution", "neutral_clause"):
        assert perturb(original, name, seed=3).texts != perturb(original, name, seed=4).texts


@given(st.text(max_size=40), st.sampled_from(list(PERTURBATIONS)), st.integers(0, 20))
def test_no_text_is_emptied_and_an_empty_one_stays(text, name, seed):
    changed = perturb(Statements([text], ["t"]), name, seed=seed).texts[0]
    assert bool(changed.strip()) == bool(text.strip())


def test_typos_leave_short_words_first_letters_and_most_of_the_text():
    original = Statements(["We will not sign unless nobody else objects to the agreement."] * 200, ["t"] * 200)
    changed = perturb(original, "typos", seed=0).texts
    n_changed = sum(text != original.texts[0] for text in changed)
    assert n_changed > 100
    for text in changed:
        before, after = original.texts[0].split(), text.split()
        assert [word[0] for word in before] == [word[0] for word in after]
        assert [word for word in after if word in ("We", "not", "to", "the")] == ["We", "not", "to", "the"]
        assert difflib.SequenceMatcher(None, original.texts[0], text).ratio() > 0.7
    assert {len(text) - len(original.texts[0]) for text in changed} >= {-1, 0, 1}


def test_casing_changes_nothing_else():
    original = labelled(6)
    assert perturb(original, "lowercase").texts == [text.lower() for text in original.texts]
    assert perturb(original, "uppercase").texts == [text.upper() for text in original.texts]


def test_attribution_names_the_speaker_in_several_wordings_and_keeps_every_word():
    original = labelled(120, speaker=["the mayor of Oss"] * 120)
    changed = perturb(original, "attribution", seed=2).texts
    for before, after in zip(original.texts, changed, strict=True):
        assert "the mayor of oss" in after.lower()
        assert before.rstrip(".").lower() in after.lower()
    frames = {after.replace(before, "…") for before, after in zip(original.texts[:6] * 20, changed, strict=True)}
    assert len(frames) > len(ATTRIBUTIONS)
    assert perturb(labelled(1), "attribution", seed=0).texts[0].startswith(("The ", "One ", "A "))


def test_only_a_plain_clause_becomes_a_that_clause():
    texts = ["We agree to the plan if the costs are shared.", "Really? We refuse.", "No, we refuse.", "fine with us"]
    seen = {
        text: {perturb(Statements([text], ["t"]), "attribution", seed=s).texts[0] for s in range(40)} for text in texts
    }
    assert all(" that we agree" in text for text in seen[texts[0]])
    assert not any(" that " in text for other in texts[1:] for text in seen[other])


def test_quotes_inside_a_quoted_text_become_single_ones():
    said = perturb(Statements(['"Never", he said.'], ["t"]), "attribution", seed=1).texts[0]
    assert said.count('"') == 2
    assert "'Never', he said." in said


def test_a_neutral_clause_comes_after_a_full_stop():
    changed = perturb(labelled(6), "neutral_clause", seed=5).texts
    assert all(any(text.endswith(clause) for clause in NEUTRAL) for text in changed)
    assert changed[5].startswith("How about a joint committee of the neighbours. ")
    assert changed[2].startswith("let's just try it for a month, shall we? ")


def test_an_unknown_perturbation_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"unknown perturbation 'typo'; there are typos, .*did you mean 'typos'"):
        perturb(labelled(3), "typo")


def test_an_oracle_loses_nothing():
    found = robustness(oracle, labelled(60), **FEW)
    assert list(found.drops) == list(PERTURBATIONS)
    assert found.score == 1.0
    for drop in found.drops.values():
        assert (drop.score, drop.drop.value, drop.drop.low, drop.drop.high, drop.flipped_fraction) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("rule", "harmed"),
    [
        (lambda gold, text: 1 if text.isupper() else gold, {"uppercase"}),
        (lambda gold, text: 1 if text == text.lower() else gold, {"lowercase"}),
        (lambda gold, text: 2 if any(text.endswith(clause) for clause in NEUTRAL) else gold, {"neutral_clause"}),
        (lambda gold, text: 0 if any(f"{w} " in text for w in ("The", "One", "A", "the", "one")) else gold, None),
    ],
    ids=["capitals", "lower case", "last sentence", "speaker"],
)
def test_a_planted_weakness_shows_in_the_perturbation_named_for_it(rule, harmed):
    found = robustness(judge_of(rule), labelled(90), **FEW)
    low = {name for name, drop in found.drops.items() if drop.drop.low > 0.1}
    assert low == harmed if harmed else "attribution" in low
    for name in low:
        assert found.drops[name].flipped_fraction > 0.1
        assert found.drops[name].score < found.score


def test_the_drop_and_its_interval_are_those_of_the_paired_comparison():
    random = np.random.default_rng(0)
    original = labelled(90)
    guesses = {text: int(random.integers(3)) for text in perturb(original, "uppercase").texts}
    judge = judge_of(lambda gold, text: guesses.get(text, gold) if gold else gold)
    found = robustness(judge, original, names=["uppercase"], seed=7, **FEW)
    upper = judge(perturb(original, "uppercase"))
    wanted = compare(
        Predictions(original, LABELS, upper.probabilities), judge(original), clusters_of(original), seed=7, **FEW
    ).differences["macro_f1"]
    assert found.drops["uppercase"].drop == wanted.interval
    assert found.drops["uppercase"].score == pytest.approx(scores(upper)["macro_f1"])


def test_intervals_of_the_drop_hold_the_planted_one():
    held, n_rounds = 0, 120
    for seed in range(n_rounds):
        random = np.random.default_rng(seed)
        original = labelled(150)

        def judge(statements, random=random):
            n = len(statements) // 2
            wrong = np.concatenate([random.random(n) < 0.1, random.random(n) < 0.3])
            ids = np.where(wrong, (statements.gold + random.integers(1, 3, size=2 * n)) % 3, statements.gold)
            return Predictions(statements, LABELS, np.full((2 * n, 3), 0.05) + 0.85 * np.eye(3)[ids])

        drop = robustness(judge, original, names=["uppercase"], headline="accuracy", n_resamples=300, seed=seed).drops
        held += drop["uppercase"].drop.low <= 0.2 <= drop["uppercase"].drop.high
    assert 0.88 <= held / n_rounds <= 1.0


def test_everything_is_judged_in_one_batch():
    batches = []

    def judge(statements):
        batches.append(len(statements))
        return oracle(statements)

    robustness(judge, labelled(12), names=["typos", "uppercase"], **FEW)
    assert batches == [36]


def test_a_decision_rules_choice_is_what_counts():
    def judge(statements):
        return Predictions(statements, LABELS, np.full((len(statements), 3), 1 / 3), chosen=statements.gold)

    assert robustness(judge, labelled(12), names=["typos"], **FEW).score == 1.0


def test_metrics_carry_score_drop_and_the_ends_of_its_interval():
    judge = judge_of(lambda gold, text: 1 if text.isupper() else gold)
    metrics = robustness(judge, labelled(30), names=["uppercase"], **FEW).metrics()
    assert list(metrics) == [f"robustness/uppercase{end}" for end in ("", "_drop", "_drop_low", "_drop_high")]
    assert metrics["robustness/uppercase_drop"] == pytest.approx(1 - metrics["robustness/uppercase"])


def test_labels_that_the_score_leaves_out_are_left_out_of_the_drop():
    judge = judge_of(lambda gold, text: 2 if text.isupper() and gold else gold)
    whole = robustness(judge, labelled(30), names=["uppercase"], **FEW)
    part = robustness(judge, labelled(30), names=["uppercase"], headline="f_avg", skip_labels=["propose"], **FEW)
    assert part.drops["uppercase"].score == 0.5
    assert whole.drops["uppercase"].score != 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": []}, "names is empty; name at least one of typos, lowercase"),
        ({"names": ["noise"]}, "unknown perturbation 'noise'"),
        ({"headline": "f_avg"}, "headline must be one of macro_f1, accuracy, mcc, got 'f_avg'"),
        ({"headline": "macro_f2"}, "did you mean 'macro_f1'"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_judged(options, message):
    def judge(statements):
        raise AssertionError

    with pytest.raises(ConfigError, match=message):
        robustness(judge, labelled(6), **options)


def test_unlabelled_statements_and_foreign_labels_are_refused():
    with pytest.raises(DataError, match="carry no labels"):
        robustness(oracle, Statements(["a"], ["t"]))

    def foreign(statements):
        return Predictions(statements, LabelSet(("a", "b")), np.full((len(statements), 2), 0.5))

    with pytest.raises(DataError, match="the statements have the label 'conditional-accept', which is none of a, b"):
        robustness(foreign, labelled(6))
