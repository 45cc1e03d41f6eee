import json
from dataclasses import replace

import numpy as np
import pytest

from stancelib.analysis import Controls, Memory, analyse, check_analyses, explain_errors
from stancelib.bundle import Bundle
from stancelib.errors import DataError
from stancelib.evaluation.metrics import Analyses, Evaluation
from stancelib.experiment import evaluate_model, run_experiment
from stancelib.inference import StanceModel, load
from stancelib.journal import read_events
from stancelib.labels import LabelSet
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.schema import TRAIN, VALIDATION, Statements

from .conftest import LABELS, make_corpus, make_statements

QUICK = Evaluation(n_resamples=50)
CASES = """capability: openings
description: An opening gives the label away.
minimum functionality:
  - {id: one, target: a plan, text: "no, never the ferry today", label: reject}
  - {id: two, target: a plan, text: "we agree if the ferry today", label: conditional-accept}
"""


class Counting:
    """Knows the label from the first word, and counts what it is asked."""

    def __init__(self, uses_target=True):
        self.uses_target = uses_target
        self.n_asked = 0

    def predict_proba(self, statements):
        self.n_asked += len(statements)
        rows = [[0.1, 0.8, 0.1] if text.startswith("no") else [0.6, 0.2, 0.2] for text in statements.texts]
        return np.array(rows).reshape(-1, 3)


def wrapped(model, **facts):
    return StanceModel(
        Bundle("nowhere", model, LABELS, {"family": "counting", "uses_target": model.uses_target} | facts)
    )


def metrics_of(folder):
    found = [event["values"] for event, _ in read_events(folder) if event["event"] == "metrics"]
    return {name: value for values in found for name, value in values.items()}


def table(folder, name):
    content = json.loads((folder / "tables" / f"{name}.json").read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of tfidf on the small corpus, with both held-out splits scored."""
    evaluation = replace(QUICK, splits=(VALIDATION, "test"))
    folder = tmp_path_factory.mktemp("analysis") / "run"
    return run_experiment(
        corpus=make_corpus(n_validation=60, n_test=45), model=Tfidf(), folder=folder, evaluation=evaluation
    )


def test_a_run_has_metrics_of_probes_and_behaviour_one_level_deep(run):
    found = metrics_of(run.folder)
    assert {"probe/target_reliance", "probe/control_text", "probe/control_target", "probe/gap_to_control"} <= set(found)
    assert {"behaviour/all", "behaviour/negation_scope"} <= set(found)
    assert all(name.count("/") == 1 for name in found)


def test_slices_of_every_scored_split_and_behaviour_of_the_run_are_tables(run):
    tables = {path.stem for path in (run.folder / "tables").iterdir()}
    assert {"slices_validation", "slices_test", "behaviour", "behaviour_failures"} <= tables
    assert {row["slice"] for row in table(run.folder, "slices_test")} >= {"length", "target in text"}


def test_metrics_are_those_of_the_first_split(run):
    said = run.predictions["validation"]
    model = load(run.folder)
    train = make_corpus().split(TRAIN)
    found = analyse(Memory(model), said, QUICK, train=train, controls=Controls.fit(train))
    logged = metrics_of(run.folder)
    assert found.metrics()["probe/right"] == pytest.approx(logged["probe/right"])
    assert logged["probe/right"] == pytest.approx(run.scores["validation"]["macro_f1"])


def test_the_worst_gap_is_that_of_the_slice_that_was_planted_wrong():
    statements = make_statements(240)
    domain = ["hard" if row % 4 == 0 else "easy" for row in range(240)]
    statements = replace(statements, columns={"domain": domain, "group": list(range(240))})
    wrong = np.array([name == "hard" for name in domain])
    probabilities = np.eye(3)[np.where(wrong, (statements.gold + 1) % 3, statements.gold)]
    memory = Memory(wrapped(Counting()))
    found = analyse(memory, replace(memory(statements), probabilities=probabilities, chosen=None), QUICK)
    assert found.metrics()["slice/worst_gap"] == pytest.approx(-0.75, abs=0.02)


def test_evaluating_a_trained_model_analyses_it_too(run, tmp_path):
    result = evaluate_model(model=load(run.folder), corpus=make_corpus(), folder=tmp_path / "e", evaluation=QUICK)
    assert {"probe/target_reliance", "behaviour/all"} <= set(metrics_of(result.folder))


def test_what_is_switched_off_leaves_no_trace(tmp_path):
    nothing = Analyses(probes=False, behaviour=False, report=False, slices=())
    result = run_experiment(
        corpus=make_corpus(), model=Prior(), folder=tmp_path / "run", evaluation=replace(QUICK, analyses=nothing)
    )
    found = metrics_of(result.folder)
    assert not [name for name in found if name.startswith(("probe/", "behaviour/", "robustness/"))]
    assert not (result.folder / "tables" / "behaviour.json").exists()


def test_without_controls_the_probe_compares_with_none(tmp_path):
    evaluation = replace(QUICK, analyses=Analyses(controls=False))
    result = run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path / "run", evaluation=evaluation)
    found = metrics_of(result.folder)
    assert "probe/target_reliance" in found
    assert not [name for name in found if "control" in name]


def test_robustness_is_measured_when_asked_for(tmp_path):
    evaluation = replace(QUICK, analyses=Analyses(robustness=True))
    result = run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path / "run", evaluation=evaluation)
    assert {"robustness/typos", "robustness/typos_drop", "robustness/typos_drop_low"} <= set(metrics_of(result.folder))
    assert table(result.folder, "robustness_validation")[0]["perturbation"] == "typos"


def test_behavioural_cases_of_the_user_are_judged_beside_the_shipped_ones(tmp_path):
    (tmp_path / "mine.yaml").write_text(CASES)
    evaluation = replace(QUICK, analyses=Analyses(behaviour_files=(str(tmp_path / "mine.yaml"),)))
    result = run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path / "run", evaluation=evaluation)
    assert metrics_of(result.folder)["behaviour/openings"] == 1


def test_a_missing_file_of_cases_is_found_before_fitting(tmp_path):
    evaluation = Evaluation(analyses=Analyses(behaviour_files=(str(tmp_path / "none.yaml"),)))
    with pytest.raises(DataError, match=r"none\.yaml"):
        check_analyses(evaluation, make_corpus())
    with pytest.raises(DataError, match=r"none\.yaml"):
        run_experiment(corpus=make_corpus(), model=Unfittable(), folder=tmp_path / "run", evaluation=evaluation)


def test_a_column_to_slice_by_that_is_not_there_is_found_before_fitting(tmp_path):
    evaluation = Evaluation(analyses=Analyses(slices=("dialect",)))
    with pytest.raises(DataError, match="dialect"):
        run_experiment(corpus=make_corpus(), model=Unfittable(), folder=tmp_path / "run", evaluation=evaluation)


class Unfittable(Prior):
    """Fitting it is a failure of the test."""

    def fit(self, train, validation=None, *, report=None):
        pytest.fail("fitted although the evaluation can't be had")


def test_no_statement_is_judged_twice():
    model = Counting()
    memory, statements = Memory(wrapped(model)), make_statements(12)
    first = memory(statements)
    second = memory(Statements.concatenate([statements, make_statements(3, start=900)]))
    assert model.n_asked == 15
    assert np.array_equal(first.probabilities, second.probabilities[:12])


def test_answers_known_before_are_not_asked_again():
    model = Counting()
    said = wrapped(model).judge(make_statements(12))
    Memory(wrapped(model), [said])(make_statements(12))
    assert model.n_asked == 12


def test_a_model_without_targets_is_not_asked_again_for_another_target():
    model = Counting(uses_target=False)
    memory, statements = Memory(wrapped(model)), make_statements(12)
    memory(statements)
    memory(replace(statements, targets=[None] * 12))
    assert model.n_asked == 12


def test_answers_from_memory_are_calibrated_and_decided_like_the_models_own():
    model = wrapped(Counting(), temperature=2.0, decision={"min_confidence": 0.5})
    statements = make_statements(12)
    memory, own = Memory(model), model.judge(statements)
    for said in (memory(statements), memory(statements)):
        assert np.allclose(said.probabilities, own.probabilities)
        assert np.array_equal(said.abstained, own.abstained)


def test_controls_see_the_text_alone_and_the_target_alone():
    train = make_statements(60)
    told = [f"about {name}" for name in train.column("label")]
    given_away = replace(train, targets=told)
    controls = Controls.fit(given_away)
    blank = replace(given_away, texts=["x"] * 60)
    said = controls.judge(blank)
    assert (said["target"].label_ids == train.gold).all()
    assert len(set(said["text"].label_ids.tolist())) == 1


def test_a_split_without_targets_is_not_probed_and_says_why():
    statements = replace(make_statements(24), targets=[None] * 24)
    memory = Memory(wrapped(Counting()))
    found = analyse(memory, memory(statements), QUICK)
    assert found.probe is None
    assert "no statement has a target" in found.remarks["probe"]
    assert found.slices is not None


def test_without_resamples_only_behaviour_is_looked_into(tmp_path):
    result = run_experiment(
        corpus=make_corpus(), model=Tfidf(), folder=tmp_path / "run", evaluation=Evaluation(n_resamples=0)
    )
    found = metrics_of(result.folder)
    assert "behaviour/all" in found
    assert not [name for name in found if name.startswith(("probe/", "slice/"))]


def test_a_training_split_that_lacks_a_label_leaves_the_controls_out(run, tmp_path):
    corpus = make_corpus()
    train = corpus.split(TRAIN)
    partial = train.take([row for row, label in enumerate(train.gold) if label != 1])
    lacking = replace(corpus, splits={**corpus.splits, TRAIN: partial})
    result = evaluate_model(model=load(run.folder), corpus=lacking, folder=tmp_path / "e", evaluation=QUICK)
    found = metrics_of(result.folder)
    assert "probe/target_reliance" in found
    assert "probe/control_text" not in found


def test_other_labels_than_the_librarys_own_are_analysed(tmp_path):
    labels = LabelSet.of(("FAVOR", "AGAINST", "NONE"))
    corpus = make_corpus()
    splits = {name: replace(part, labels=labels) for name, part in corpus.splits.items()}
    other = replace(corpus, labels=labels, splits=splits)
    evaluation = replace(QUICK, headline="f_avg", skip_labels=("NONE",))
    result = run_experiment(corpus=other, model=Tfidf(), folder=tmp_path / "run", evaluation=evaluation)
    found = metrics_of(result.folder)
    assert found["probe/right"] == pytest.approx(result.scores["validation"]["f_avg"])
    assert "behaviour/all" not in found


def test_every_scored_split_has_a_report_among_the_artifacts(run):
    artifacts = {event["path"] for event, _ in read_events(run.folder) if event["event"] == "artifact"}
    for split in ("validation", "test"):
        assert {f"report_{split}.html", f"report_{split}.md"} <= artifacts
        page = (run.folder / f"report_{split}.html").read_text(encoding="utf-8")
        assert f"{run.scores[split]['macro_f1']:.3f}" in page
        assert "Does it use the target?" in page


def test_a_report_can_be_left_out(tmp_path):
    evaluation = replace(QUICK, analyses=Analyses(report=False))
    result = run_experiment(corpus=make_corpus(), model=Prior(), folder=tmp_path / "run", evaluation=evaluation)
    assert not list(result.folder.glob("report_*"))


def test_the_worst_errors_are_those_of_the_highest_confidence():
    statements = make_statements(30)
    memory = Memory(wrapped(Counting()))
    said = memory(statements)
    found = explain_errors(memory, said, replace(QUICK, analyses=Analyses(n_explained=3)))
    wrong = np.flatnonzero(said.label_ids != statements.gold)
    assert list(found.errors) == sorted(wrong, key=lambda row: -said.confidence[row])[:3]
    for row, one in found.errors.items():
        assert one.text == statements.texts[row]
        assert one.label == LABELS.names[said.label_ids[row]]


def test_faithfulness_is_measured_on_right_answers_too():
    statements = make_statements(60)
    memory = Memory(wrapped(Counting()))
    found = explain_errors(memory, memory(statements), QUICK)
    assert found.faithfulness.n == 24
    assert found.faithfulness.strongest >= found.faithfulness.random


def test_no_explanations_are_made_when_none_are_wanted():
    model = Counting()
    memory, statements = Memory(wrapped(model)), make_statements(12)
    said = memory(statements)
    found = explain_errors(memory, said, replace(QUICK, analyses=Analyses(n_explained=0)))
    assert not found.errors
    assert found.faithfulness is None
    assert model.n_asked == 12


def test_a_negative_number_of_explanations_is_refused():
    with pytest.raises(ValueError, match="n_explained must be at least 0, got -1"):
        Analyses(n_explained=-1)


def test_numbers_of_the_probes_are_of_a_held_out_split_even_if_train_is_scored_first(tmp_path):
    both = replace(QUICK, splits=("train", "validation"))
    for name, evaluation in (("both", both), ("alone", QUICK)):
        run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path / name, evaluation=evaluation)
    found = [
        {key: value for key, value in metrics_of(tmp_path / name).items() if key.startswith(("probe/", "slice/"))}
        for name in ("both", "alone")
    ]
    assert found[0] == found[1]
    assert found[0]


@pytest.mark.parametrize("targets", [[None] * 60, [f"plan{row}" for row in range(60)]])
def test_targets_that_no_two_statements_share_leave_the_control_with_the_frequency_of_labels(targets, tmp_path):
    corpus = make_corpus()
    train = replace(corpus.splits[TRAIN], targets=targets)
    controls = Controls.fit(train)
    assert isinstance(controls.target, Prior)
    assert isinstance(controls.text, Tfidf)
    corpus = replace(corpus, splits={**corpus.splits, TRAIN: train})
    run_experiment(corpus=corpus, model=Prior(), folder=tmp_path / "run", evaluation=QUICK)
