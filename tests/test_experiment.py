import json
from dataclasses import replace

import numpy as np
import pytest

from stancelib.bundle import load_bundle, save_bundle
from stancelib.errors import BundleError, ConfigError, DataError
from stancelib.evaluation.decisions import Decision
from stancelib.evaluation.intervals import clusters_of, intervals
from stancelib.evaluation.metrics import Evaluation, precision_recall_f1
from stancelib.experiment import Identity, evaluate_model, run_experiment
from stancelib.inference import StanceModel, load
from stancelib.journal import read_events
from stancelib.labels import LabelSet
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.schema import Corpus, Finding, Progress, Statements

from .conftest import LABELS, make_corpus

CONFIG = {"model": {"_target_": "stancelib.models.prior.Prior", "smoothing": 1.0}, "seed": 3}


class Broken(Prior):
    """Fails once fitting has begun."""

    def fit(self, train, validation=None, *, report=None):
        report(Progress(1, 3, {"train/loss": 0.5}))
        raise RuntimeError("out of memory")


class Follower:
    """A tracker that remembers what it was told."""

    url = "http://here/run"
    message = "2 points are missing"
    complete = False

    def __init__(self):
        self.calls = []

    def attach(self, journal):
        self.calls.append("attach")

    def scorings_before(self, digest):
        self.calls.append(f"scorings of {digest}")
        return 4

    def close(self):
        self.calls.append("close")


def events(folder, kind):
    return [event for event, _ in read_events(folder) if event["event"] == kind]


def tags_of(folder):
    return {name: value for event in events(folder, "tags") for name, value in event["values"].items()}


def metrics(folder):
    return {name: value for event in events(folder, "metrics") for name, value in event["values"].items()}


@pytest.fixture
def run(tmp_path):
    """A finished run of the prior on the small corpus."""
    return run_experiment(
        corpus=make_corpus(),
        model=Prior(),
        folder=tmp_path / "run",
        identity=Identity(seed=3, config=CONFIG, note="go"),
    )


def test_a_run_folder_holds_record_model_figures_tables_and_configuration(run):
    files = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert {
        "events.jsonl",
        "config.json",
        "model/manifest.json",
        "model/SHA256SUMS",
        "figures/validation_confusion.png",
        "figures/validation_calibration.png",
        "tables/predictions_validation.json",
    } <= files
    assert json.loads((run.folder / "config.json").read_text()) == CONFIG


def test_only_validation_is_scored_unless_test_is_asked_for(run, tmp_path):
    assert list(run.scores) == ["validation"]
    both = run_experiment(
        corpus=make_corpus(),
        model=Prior(),
        folder=tmp_path / "both",
        evaluation=Evaluation(splits=("validation", "test")),
    )
    assert list(both.scores) == ["validation", "test"]
    assert not any(name.startswith("test/") for name in metrics(run.folder))
    assert any(name.startswith("test/") for name in metrics(both.folder))


def test_the_journal_ends_finished_with_the_scores_in_it(run):
    assert events(run.folder, "end")[0]["status"] == "FINISHED"
    found = metrics(run.folder)
    assert {f"validation/{name}": value for name, value in run.scores["validation"].items()}.items() <= found.items()
    assert {"perf/fit_seconds", "perf/wall_seconds", "perf/statements_per_second", "perf/bundle_mib"} <= set(found)


def test_the_journal_tells_the_run_from_others(run):
    tags = tags_of(run.folder)
    (params,) = events(run.folder, "params")
    wanted = {"stage": "training", "model": "prior", "data": "small", "split": "given", "seed": "3"}
    assert wanted.items() <= tags.items()
    assert {"config.hash", "split.digest", "split.protocol", "version.numpy"} <= set(tags)
    assert params["values"] == {"model": "Prior", "model.smoothing": 1.0, "seed": 3}


def test_every_split_is_recorded_with_digest_and_counts(run):
    found = {event["split"]: event for event in events(run.folder, "dataset")}
    corpus = make_corpus()
    assert set(found) == {"train", "validation", "test"}
    assert found["train"]["digest"] == corpus.split("train").digest[:12]
    assert found["train"]["label_counts"] == dict.fromkeys(LABELS, 20)


def test_the_note_holds_command_and_score_table(run):
    (note,) = events(run.folder, "note")
    assert note["text"].startswith("go\n| split | macro_f1 |")
    assert f"| validation | {run.scores['validation']['macro_f1']:.4f} " in note["text"]


def test_the_prediction_table_tells_gold_predicted_and_probabilities(run):
    table = json.loads((run.folder / "tables" / "predictions_validation.json").read_text())
    probabilities = [f"p_{name}" for name in LABELS]
    assert table["columns"] == ["id", "text", "target", "gold", "predicted", "right", "confidence", *probabilities]
    assert len(table["data"]) == 12
    share_right = np.mean([row[5] for row in table["data"]])
    assert share_right == pytest.approx(run.scores["validation"]["accuracy"])


def test_the_bundle_carries_the_scores_the_data_and_the_configuration(run):
    manifest = load_bundle(run.bundle).manifest
    assert manifest["scores"] == run.scores
    assert manifest["data"]["digest"] == make_corpus().digest
    assert manifest["data"]["counts"]["test"] == dict.fromkeys(LABELS, 4)
    assert json.loads((run.bundle / "config.json").read_text()) == CONFIG


def test_the_saved_model_predicts_what_the_run_predicted(run):
    said = run.predictions["validation"]
    assert np.array_equal(load(run.folder).judge(said.statements).probabilities, said.probabilities)


def test_a_run_without_a_name_is_called_after_family_corpus_and_seed(run, tmp_path):
    assert events(run.folder, "start")[0]["name"] == "prior small s3"
    named = run_experiment(corpus=make_corpus(), model=Prior(), folder=tmp_path / "n", identity=Identity(name="mine"))
    assert events(named.folder, "start")[0]["name"] == "mine"


def test_a_split_protocol_rearranges_the_corpus_before_the_fit(tmp_path):
    def halve(corpus):
        train = corpus.split("train")
        return replace(
            corpus, splits={"train": train.take(range(30)), "validation": train.take(range(30, 60))}, protocol="halved"
        )

    result = run_experiment(corpus=make_corpus(), model=Prior(), folder=tmp_path / "run", split=halve)
    assert len(result.predictions["validation"].statements) == 30
    assert tags_of(result.folder)["split.protocol"] == "halved"


def test_the_tracker_follows_the_journal_and_its_words_reach_the_result(tmp_path):
    tracker = Follower()
    result = run_experiment(corpus=make_corpus(), model=Prior(), folder=tmp_path / "run", tracker=tracker)
    assert tracker.calls == ["attach", "close"]
    assert (result.url, result.message) == ("http://here/run", "2 points are missing")


def test_the_report_of_the_test_split_tells_how_often_others_scored_it(tmp_path):
    tracker = Follower()
    corpus, evaluation = make_corpus(), Evaluation(splits=("validation", "test"), n_resamples=0)
    result = run_experiment(
        corpus=corpus, model=Prior(), folder=tmp_path / "run", tracker=tracker, evaluation=evaluation
    )
    assert tracker.calls == ["attach", f"scorings of {corpus.split('test').digest[:12]}", "close"]
    for suffix in ("html", "md"):
        pages = {split: (result.folder / f"report_{split}.{suffix}").read_text() for split in evaluation.splits}
        assert "this test split has been scored 4 times before" in pages["test"]
        assert "has been scored" not in pages["validation"]


def test_progress_is_reported_and_recorded_with_its_step(tmp_path):
    seen = []
    result = run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path / "run", report=seen.append)
    assert [progress.step for progress in seen] == [1, 2]
    recorded = [event for event in events(result.folder, "metrics") if "train/n_features" in event["values"]]
    assert [event["step"] for event in recorded] == [1]


def test_final_scores_come_after_what_was_measured_while_fitting(tmp_path):
    class Measured(Prior):
        def fit(self, train, validation=None, *, report=None):
            report(Progress(7, 7, {"validation/macro_f1": 0.01}))
            return super().fit(train, validation)

    result = run_experiment(corpus=make_corpus(), model=Measured(), folder=tmp_path / "run")
    points = [event for event in events(result.folder, "metrics") if "validation/macro_f1" in event["values"]]
    assert [event["step"] for event in points] == [7, 7]
    assert points[-1]["values"]["validation/macro_f1"] == result.scores["validation"]["macro_f1"]


def test_a_fit_that_raises_ends_the_run_failed_and_leaves_no_model(tmp_path):
    tracker = Follower()
    with pytest.raises(RuntimeError, match="out of memory"):
        run_experiment(corpus=make_corpus(), model=Broken(), folder=tmp_path / "run", tracker=tracker)
    (end,) = events(tmp_path / "run", "end")
    assert (end["status"], end["error"]) == ("FAILED", "RuntimeError: out of memory")
    assert metrics(tmp_path / "run")["train/loss"] == 0.5
    assert not (tmp_path / "run" / "model").exists()
    assert tracker.calls == ["attach", "close"]


def test_an_interrupted_fit_ends_the_run_killed(tmp_path):
    class Interrupted(Prior):
        def fit(self, train, validation=None, *, report=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(corpus=make_corpus(), model=Interrupted(), folder=tmp_path / "run")
    assert events(tmp_path / "run", "end")[0]["status"] == "KILLED"


def test_errors_in_the_data_stop_the_run_before_the_fit(tmp_path):
    corpus = replace(make_corpus(), findings=(Finding("error", "missing-text", "1 row with no text.", 1),))
    with pytest.raises(DataError, match="1 row with no text"):
        run_experiment(corpus=corpus, model=Broken(), folder=tmp_path / "run")


def test_errors_found_while_reading_are_told_before_the_split_fails_on_them(tmp_path):
    empty = replace(
        make_corpus(), splits={}, findings=(Finding("error", "unknown-label", "60 rows with an unknown label.", 60),)
    )

    def split(corpus):
        raise DataError("nothing left")

    with pytest.raises(DataError, match="unknown label"):
        run_experiment(corpus=empty, model=Prior(), folder=tmp_path / "run", split=split)


def test_warnings_about_the_data_are_logged_and_recorded(tmp_path, caplog):
    corpus = replace(make_corpus(), findings=(Finding("warning", "broken-text", "2 rows look odd.", 2),))
    result = run_experiment(corpus=corpus, model=Prior(), folder=tmp_path / "run")
    table = json.loads((result.folder / "tables" / "data_checks.json").read_text())
    assert ["warning", "broken-text", 2, "2 rows look odd."] in table["data"]
    assert tags_of(result.folder)["data.warnings"] == "1"


def test_a_model_that_judges_towards_targets_refuses_statements_without(tmp_path):
    corpus = make_corpus()
    train = corpus.split("train")
    without = replace(train, targets=[None, *train.targets[1:]])
    corpus = replace(corpus, splits=dict(corpus.splits) | {"train": without})
    with pytest.raises(DataError, match="no target"):
        run_experiment(corpus=corpus, model=Tfidf(), folder=tmp_path / "a")
    run_experiment(corpus=corpus, model=Tfidf(use_target=False), folder=tmp_path / "b")


def test_a_split_that_is_to_be_scored_must_be_there(tmp_path):
    corpus = make_corpus()
    corpus = replace(corpus, splits={"train": corpus.split("train")})
    with pytest.raises(DataError, match="corpus 'small' has no split 'validation' to score; it has train"):
        run_experiment(corpus=corpus, model=Prior(), folder=tmp_path / "run")


def test_a_folder_that_holds_a_run_is_not_used_again(run):
    before = (run.folder / "events.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="already holds a run"):
        run_experiment(corpus=make_corpus(), model=Prior(), folder=run.folder)
    assert (run.folder / "events.jsonl").read_bytes() == before


def test_evaluating_scores_a_trained_model_as_a_run_of_its_own(run, tmp_path):
    result = evaluate_model(
        model=load(run.folder), corpus=make_corpus(), folder=tmp_path / "e", evaluation=Evaluation(splits=("test",))
    )
    assert list(result.scores) == ["test"]
    assert result.bundle == run.bundle
    assert tags_of(result.folder)["stage"] == "evaluation"
    assert not (result.folder / "model").exists()


def test_evaluating_binds_labels_by_name_whatever_their_order(tfidf_bundle, tmp_path):
    model = load(tfidf_bundle)
    shuffled = make_corpus(LabelSet.of(("propose", "conditional-accept", "reject")))
    one = evaluate_model(model=model, corpus=shuffled, folder=tmp_path / "a")
    assert one.scores["validation"]["accuracy"] == 1
    assert one.predictions["validation"].labels == LABELS


def test_evaluating_takes_a_corpus_that_lacks_some_of_the_labels(tfidf_bundle, tmp_path):
    corpus = make_corpus(LabelSet.of(("propose", "reject")))
    result = evaluate_model(model=load(tfidf_bundle), corpus=corpus, folder=tmp_path / "a")
    assert result.scores["validation"]["accuracy"] > 0.9


def test_evaluating_refuses_labels_that_the_model_does_not_know(tfidf_bundle, tmp_path):
    corpus = make_corpus(LabelSet.of(("propose", "reject", "accept")))
    with pytest.raises(DataError, match=r"has the label 'accept', which the model does not know; .* data.label_map"):
        evaluate_model(model=load(tfidf_bundle), corpus=corpus, folder=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_family_from_elsewhere_can_be_trained(tmp_path):
    class Mine(Prior):
        pass

    result = run_experiment(corpus=make_corpus(), model=Mine(), folder=tmp_path / "run")
    name = f"{Mine.__module__}.{Mine.__qualname__}"
    loaded = StanceModel(load_bundle(result.bundle, families={name: Mine}))
    assert loaded.predict(["x"])[0].confidence == pytest.approx(1 / 3)


def test_a_model_saved_by_hand_can_be_evaluated(tmp_path):
    corpus = make_corpus()
    save_bundle(tmp_path / "b", model=Prior().fit(corpus.split("train")), labels=LABELS, facts={})
    assert isinstance(corpus.split("train"), Statements)
    result = evaluate_model(model=load(tmp_path / "b"), corpus=corpus, folder=tmp_path / "e")
    assert result.scores["validation"]["accuracy"] == pytest.approx(1 / 3)


class Stepwise(Prior):
    """A prior that keeps checkpoints, and may be interrupted after its fit."""

    def __init__(self, *, interrupted=False, **options):
        super().__init__(**options)
        self.interrupted = interrupted

    def checkpoint_to(self, folder, *, resume):
        self.folder, self.resumed = folder, resume

    def fit(self, train, validation=None, *, report=None):
        self.folder.mkdir(exist_ok=True)
        (self.folder / "step-1").write_text("1")
        return super().fit(train, validation)

    def predict_proba(self, statements):
        if self.interrupted:
            raise KeyboardInterrupt
        return super().predict_proba(statements)


def test_an_interrupted_run_goes_on_in_its_folder_and_a_finished_one_keeps_no_checkpoints(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(corpus=make_corpus(), model=Stepwise(interrupted=True), folder=folder)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-1"]
    model = Stepwise()
    result = run_experiment(corpus=make_corpus(), model=model, folder=folder, identity=Identity(resume=True))
    assert model.resumed
    assert result.bundle.is_dir()
    assert not (folder / "checkpoints").exists()
    assert [event["status"] for event in events(folder, "end")] == ["KILLED", "FINISHED"]


def test_a_run_that_was_killed_after_saving_its_model_is_gone_on_with(tmp_path):
    folder = tmp_path / "run"
    run_experiment(corpus=make_corpus(), model=Prior(), folder=folder)
    again = run_experiment(corpus=make_corpus(), model=Prior(), folder=folder, identity=Identity(resume=True))
    assert load(again.bundle).labels == LABELS


def test_a_label_that_no_scored_statement_has_is_named(tmp_path, caplog):
    corpus = make_corpus()
    part = corpus.split("validation")
    rows = [row for row, label_id in enumerate(part.gold) if label_id != 1]
    thin = replace(corpus, splits={**corpus.splits, "validation": part.take(rows)})
    run_experiment(corpus=thin, model=Prior(), folder=tmp_path / "run")
    assert "no scored statement is reject: macro-F1 counts a label without one as 0" in caplog.text


def test_intervals_are_made_by_the_method_that_was_asked_for(run, tmp_path):
    found, model, corpus = {}, load(run.folder), make_corpus(n_validation=60)
    for method in ("percentile", "bca"):
        evaluation, folder = Evaluation(interval=method, n_resamples=300), tmp_path / method
        result = evaluate_model(model=model, corpus=corpus, folder=folder, evaluation=evaluation)
        said = result.predictions["validation"]
        around = intervals(said, clusters_of(said.statements), method=method, n_resamples=300)["macro_f1"]
        found[method] = (result.scores["validation"]["macro_f1_low"], result.scores["validation"]["macro_f1_high"])
        assert found[method] == (around.low, around.high)
        assert {"percentile": "percentile bootstrap", "bca": "BCa bootstrap"}[method] in page_of(folder)
    assert found["percentile"] != found["bca"]


def page_of(folder):
    return (folder / "report_validation.html").read_text(encoding="utf-8")


def test_a_run_scored_on_few_groups_says_that_its_intervals_are_rough(tmp_path, caplog):
    corpus = make_corpus()
    corpus.split("validation").columns["group"] = [f"g{row % 3}" for row in range(12)]
    run_experiment(corpus=corpus, model=Prior(), folder=tmp_path / "run")
    assert "the scored statements are in 3 groups: intervals and tests on fewer than 10 are rough" in caplog.text


def test_a_run_scored_on_a_single_group_has_scores_without_an_interval(tmp_path):
    corpus = make_corpus()
    corpus.split("validation").columns["group"] = ["g"] * 12
    found = run_experiment(corpus=corpus, model=Prior(), folder=tmp_path / "run").scores["validation"]
    assert "macro_f1" in found
    assert "macro_f1_low" not in found


def test_labels_that_are_called_like_the_ends_of_another_ones_interval_keep_their_scores(tmp_path):
    labels = LabelSet(("risk", "risk_low", "risk_high"))
    renamed = {
        name: replace(part, labels=labels, label_ids=(part.gold + (np.arange(len(part)) % 4 == 0)) % 3)
        for name, part in make_corpus(n_validation=30).splits.items()
    }
    result = run_experiment(corpus=Corpus("risks", labels, renamed), model=Tfidf(), folder=tmp_path / "run")
    found, said = result.scores["validation"], result.predictions["validation"]
    _, _, f1 = precision_recall_f1(said.statements.gold, said.label_ids, n_labels=3)
    assert [found[f"f1.{name}"] for name in labels] == pytest.approx(f1.tolist())
    assert found["f1_low.risk"] <= found["f1.risk"] <= found["f1_high.risk"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decision": Decision(costs={"reject": {"acept": 2.0}})}, "decision.costs names 'acept', but the labels are"),
        ({"evaluation": Evaluation(skip_labels=("propos",))}, r"skip_labels names 'propos'.*did you mean 'propose'"),
    ],
)
def test_a_label_that_there_is_not_is_named_before_anything_is_fitted(options, message, tmp_path, monkeypatch):
    fitted = []
    monkeypatch.setattr(Tfidf, "fit", lambda *_, **__: fitted.append(1))
    with pytest.raises(ConfigError, match=message):
        run_experiment(corpus=make_corpus(), model=Tfidf(), folder=tmp_path / "run", **options)
    assert not fitted


class OneTooMany(Prior):
    def predict_proba(self, statements):
        return np.full((len(statements), 4), 0.25)


class Unsure(Prior):
    def predict_proba(self, statements):
        return np.full((len(statements), 3), np.nan)


class Boastful(Prior):
    def predict_proba(self, statements):
        return np.ones((len(statements), 3))


class Forgetful(Prior):
    def save(self, folder):
        pass


@pytest.mark.parametrize(
    ("family", "kind", "message"),
    [
        (OneTooMany, DataError, r"OneTooMany\.predict_proba returned the shape \(12, 4\), and \(12, 3\) is needed"),
        (Unsure, DataError, r"Unsure\.predict_proba returned \[nan, nan, nan\] for statement 1: probabilities are at"),
        (Boastful, DataError, r"Boastful\.predict_proba returned \[1\.0, 1\.0, 1\.0\] for statement 1"),
        (Forgetful, BundleError, r"the tests\.test_experiment\.Forgetful model in .* can't be read"),
    ],
)
def test_a_family_that_breaks_the_contract_is_told_of_by_name(family, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        run_experiment(corpus=make_corpus(), model=family(), folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": Prior}, r"model is the class Prior; give an object of it: Prior\(\)"),
        ({"model": object()}, "model is a object, which has no 'fit', so it is no family"),
        ({"corpus": "mine.csv"}, r"corpus is a str; give what stancelib\.data\.files\.files returns"),
    ],
)
def test_what_is_no_model_or_corpus_is_refused_before_anything_is_done(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run_experiment(**{"corpus": make_corpus(), "model": Prior(), "folder": tmp_path / "run"} | changes)
    assert not (tmp_path / "run").exists()
