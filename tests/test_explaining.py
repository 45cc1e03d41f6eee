import json
from dataclasses import replace

import numpy as np
import pytest

from stancelib.bundle import Bundle
from stancelib.evaluation.faithfulness import faithfulness, log_odds
from stancelib.explaining import explain, explain_all
from stancelib.inference import StanceModel
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.distil import Distil
from stancelib.models.tfidf import Tfidf
from stancelib.schema import Statements
from stancelib.training.batching import tokenize
from stancelib.training.ngrams import Ngrams
from stancelib.training.settings import LoopSettings, OptimizerSettings

from .conftest import LABELS, make_statements

AWKWARD = [
    "We agree if the fence stands: today!",
    "no, NEVER the ferry…  never ever,\tno-one",
    "İstanbul ΣΟΦΟΣ straße a I",
    "we refuse; we refuse; we suggest",
    "?",
]


def loaded(model, **facts):
    return StanceModel(Bundle("nowhere", model, LABELS, {"family": "x", "uses_target": model.uses_target} | facts))


class Keyword:
    """Rejects where a text says *never*, unless its target is a feast."""

    uses_target = True
    n_batches = 0

    def predict_proba(self, statements):
        self.n_batches += 1
        score = [
            3.0 * ("never" in text.lower()) - 2.0 * (target == "a feast")
            for text, target in zip(statements.texts, statements.targets, strict=True)
        ]
        reject = 1 / (1 + np.exp(-np.array(score)))
        return np.column_stack([(1 - reject) / 2, reject, (1 - reject) / 2])


@pytest.mark.parametrize(
    "options", [{}, {"ngrams": Ngrams(char=None)}, {"ngrams": Ngrams(word=None)}, {"use_target": False}]
)
@pytest.mark.parametrize("text", AWKWARD)
def test_weights_of_tokens_and_target_add_up_to_the_score_of_a_linear_model(options, text):
    options.setdefault("ngrams", Ngrams(min_df=1))
    learnt = Statements.concatenate(
        [make_statements(60), Statements(AWKWARD, ["the fence"] * 5, LABELS, np.arange(5) % 3)]
    )
    model = Tfidf(**options).fit(learnt)
    found = explain(loaded(model, temperature=2.0), text, "the plan for the fence")
    head, features = model.head_, model.blocks_.transform([text], ["the plan for the fence"])
    scores = (features @ head.coef)[0] / 2.0
    label_id = LABELS.id_of(found.label)
    assert found.method == "exact"
    assert sum(found.weights) + found.target_weight == pytest.approx(scores[label_id] - scores.mean())


def test_a_support_vector_machine_is_taken_apart_too():
    model = Tfidf(classifier="svm").fit(make_statements(60))
    found = explain(loaded(model), "no, never the ferry today", "a plan")
    score = (model.blocks_.transform(["no, never the ferry today"], ["a plan"]) @ model.head_.coef)[0]
    assert sum(found.weights) + found.target_weight == pytest.approx(score[LABELS.id_of(found.label)])


def test_the_word_that_decides_a_linear_model_is_the_strongest():
    found = explain(loaded(Tfidf().fit(make_statements(120))), "we refuse the ferry today", "the plan for the river")
    assert found.label == "reject"
    assert found.tokens[found.strongest_first[0]][0] in ("refuse", "we")
    assert dict(found.tokens)["refuse"] > dict(found.tokens)["today"]


def test_tokens_are_spelt_as_in_the_text():
    found = explain(loaded(Tfidf().fit(make_statements(60))), AWKWARD[2], None)
    assert [token for token, _ in found.tokens] == ["İstanbul", "ΣΟΦΟΣ", "straße", "a", "I"]


def test_a_student_of_a_linear_family_is_taken_apart_like_it():
    student = Tfidf().fit(make_statements(60))
    model = Distil(teacher=None, student=student)
    assert explain(loaded(model), AWKWARD[0], "x") == explain(loaded(student), AWKWARD[0], "x")


@pytest.fixture(scope="module")
def fine_tuned():
    loop, optimizer = LoopSettings(epochs=1, precision="fp32"), OptimizerSettings(learning_rate=1e-3)
    return CrossEncoder(loop=loop, optimizer=optimizer).fit(make_statements(60))


def test_integrated_gradients_add_up_to_what_the_words_change(fine_tuned):
    import torch

    text, target = "no, NEVER the ferry", "the plan for the river"
    found = explain(loaded(fine_tuned, temperature=2.0), text, target)
    label_id = LABELS.id_of(found.label)
    encoding = fine_tuned.tokenizer_.encode(target, text)
    blank = [token if special else 0 for token, special in zip(encoding.ids, encoding.special_tokens_mask, strict=True)]
    odds = []
    for ids in (encoding.ids, blank):
        batch = tokenize(fine_tuned.tokenizer_, [text], [target]).batch([0]) | {"input_ids": torch.tensor([ids])}
        with torch.inference_mode():
            scores = fine_tuned.network_(batch)[0] / 2.0
        rest = [i for i in range(len(LABELS)) if i != label_id]
        odds.append(float(scores[label_id] - scores[rest].logsumexp(0)))
    assert found.method == "gradients"
    assert [token for token, _ in found.tokens] == ["no", ",", "NEVER", "the", "ferry"]
    assert any(found.weights)
    assert sum(found.weights) + found.target_weight == pytest.approx(odds[0] - odds[1], abs=0.1)


def test_integrated_gradients_are_more_faithful_than_chance(fine_tuned):
    model = loaded(fine_tuned)
    found = faithfulness(model.judge, explain_all(model, model.judge, make_statements(24, start=500)))
    assert found.difference.low > 0


def test_a_fine_tuned_encoder_explains_odd_statements(fine_tuned):
    model = loaded(fine_tuned)
    for text, target in [("", None), (" ", ""), ("x", None), ("no " * 500, "the plan"), ("否决", "計画")]:
        found = explain(model, text, target)
        assert np.isfinite([*found.weights, found.target_weight]).all()


def test_any_other_family_is_asked_again_without_each_token():
    found = explain(loaded(Keyword()), "This will never do.", "a plan")
    weights = dict(found.tokens)
    assert found.method == "occlusion"
    assert found.label == "reject"
    assert weights["never"] == pytest.approx(3.0)
    assert weights["This"] == weights["."] == 0.0


def test_the_weight_of_the_target_is_what_its_absence_changes():
    with_feast = explain(loaded(Keyword()), "never", "a feast")
    assert with_feast.target_weight == pytest.approx(-2.0)


def test_several_statements_are_explained_in_two_batches():
    model = Keyword()
    statements = Statements(["never say never", "all right then", "no"], ["a plan", "a feast", None])
    found = explain_all(loaded(model), loaded(model).judge, statements)
    assert model.n_batches == 2
    assert [len(one.spans) for one in found] == [3, 3, 1]
    assert [one.target for one in found] == ["a plan", "a feast", None]


def test_the_label_explained_is_the_one_the_decision_rule_chose():
    decision = {"costs": {"propose": {name: 50 for name in LABELS if name != "propose"}}}
    assert explain(loaded(Keyword(), decision=decision), "never", "a plan").label == "propose"


def test_occlusion_measures_calibrated_probabilities():
    plain, calibrated = (explain(loaded(Keyword(), temperature=t), "so never", "a plan") for t in (1.0, 2.0))
    assert 0 < dict(calibrated.tokens)["never"] < dict(plain.tokens)["never"]


def test_a_statement_without_tokens_has_no_weights():
    assert explain(loaded(Keyword()), " ", None).tokens == []
    assert explain(loaded(Tfidf().fit(make_statements(60))), " ", None).tokens == []


@pytest.mark.parametrize("family", ["tfidf", "keyword"])
def test_explanations_are_more_faithful_than_chance(family):
    model = loaded(Tfidf().fit(make_statements(120)) if family == "tfidf" else Keyword())
    statements = make_statements(36, start=500)
    if family == "keyword":
        statements = replace(statements, texts=[f"we said never about {text}" for text in statements.texts])
    found = faithfulness(model.judge, explain_all(model, model.judge, statements))
    assert found.difference.low > 0


def test_a_label_that_is_certain_has_finite_weights():
    assert np.isfinite(log_odds(np.ones(1))).all()


def test_the_terminal_shows_which_tokens_led_to_the_answer(cli, tfidf_bundle):
    said = cli("predict", tfidf_bundle, "no, never the ferry today", "--target", "the plan for the river", "--explain")
    assert said.code == 0
    assert "no, never the ferry today" in said.out
    assert "for reject: " in said.out
    assert "never +" in said.out
    assert "without random ones" in said.out
    plain = cli("predict", tfidf_bundle, "no, never the ferry today", "--target", "the plan for the river")
    assert "for reject: " not in plain.out


def test_markup_in_a_statement_is_shown_as_it_is(cli, tfidf_bundle):
    said = cli("predict", tfidf_bundle, "no, [bold]never[/bold] the ferry", "--target", "[red]x", "--explain")
    assert "no, [bold]never[/bold] the ferry" in said.out


def test_json_holds_the_explanation_when_asked(cli, tfidf_bundle):
    arguments = ("predict", tfidf_bundle, "no, never", "--target", "a plan", "--json")
    said = json.loads(cli(*arguments, "--explain").out)
    assert [token for token, _ in said["explanation"]["tokens"]] == ["no", ",", "never"]
    assert said["explanation"]["method"] == "exact"
    assert "explanation" not in json.loads(cli(*arguments).out)


def test_a_file_is_scored_without_explanations_and_says_so(cli, tfidf_bundle, in_tmp):
    (in_tmp / "rows.csv").write_text("text,target\nno never,a plan\n")
    assert "single statement" in cli("predict", tfidf_bundle, "rows.csv", "--explain").err
