"""Promotion from the command line to the registry: who gets the alias, and what is left on record."""

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("hydra")
pytest.importorskip("mlflow")

from mlflow import MlflowClient

from stancelib.errors import ConfigError
from stancelib.evaluation.metrics import Evaluation
from stancelib.experiment import run_experiment
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.promoting import Gates
from stancelib.recording import Identity
from stancelib.tracking import MlflowTracker, sync
from stancelib.tracking.link import Destination, Link
from stancelib.tracking.store import connect

from ..conftest import make_corpus, run_cli

SCORE_ONLY = {"min_slice": None, "min_behaviour": None, "behaviour_floors": None, "max_ece": 1.0} | dict.fromkeys(
    ("min_target_reliance", "min_pair_accuracy", "min_gap_to_control")
)
ANEW = SCORE_ONLY | {"rescore_champion": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, empty_database):
    """Runs of a weak and a strong model, and of the strong one on other data, in one store; ids by name."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.closing(sqlite3.connect(empty_database)) as database:
        database.execute(f"vacuum into '{folder / 'mlflow.db'}'")
    small, other = make_corpus(n_validation=60), make_corpus(n_validation=60, n_train=90)
    runs = {"weak": (Prior(), small), "strong": (Tfidf(), small), "elsewhere": (Tfidf(), other)}
    ids = {}
    for name, (model, corpus) in runs.items():
        tracker = MlflowTracker(uri=f"sqlite:///{folder / 'mlflow.db'}")
        run_experiment(
            corpus=corpus,
            model=model,
            folder=folder / name,
            evaluation=Evaluation(n_resamples=0),
            tracker=tracker,
            identity=Identity(name=name),
        )
        assert tracker.complete
        ids[name] = tracker.run_id
    return folder, ids


@pytest.fixture
def store(trained, tmp_path, in_tmp, monkeypatch):
    """A copy of that store's database, as the one to use; ids of the runs by name."""
    folder, ids = trained
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute(f"vacuum into '{tmp_path / 'mlflow.db'}'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return ids


def promote(run, *arguments, gates=SCORE_ONLY):
    """By a policy with these gates; None for the default one."""
    own = ("-cd", write_policy("ours", gates), "promotion=ours") if gates is not None else ()
    return run_cli("promote", run, "--name", "stance", *own, *arguments)


def write_policy(name, gates, defaults=("default", "_self_")):
    """A file in a folder of policies; the folder."""
    Path("policies/promotion").mkdir(parents=True, exist_ok=True)
    text = "# ours\n" + json.dumps({"defaults": list(defaults), **gates})
    Path(f"policies/promotion/{name}.yaml").write_text(text, encoding="utf-8")
    return "policies"


def client():
    return connect(os.environ["MLFLOW_TRACKING_URI"])


def champion(alias="champion"):
    """Id of the run that holds the alias; None if none does."""
    for model in client().search_registered_models():
        if alias in model.aliases:
            return client().get_model_version_by_alias(model.name, alias).run_id
    return None


def audits(run_id):
    return {item.path for item in client().list_artifacts(run_id, "promotion")}


def registry(ids):
    """All that a promotion could change."""
    models = [(one.name, dict(one.aliases), one.tags) for one in client().search_registered_models()]
    versions = [(one.name, one.version, one.run_id, one.tags) for one in client().search_model_versions()]
    return models, versions, [audits(run_id) for run_id in ids.values()], log()


def log():
    path = Path("promotions.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else None


def test_the_first_champion_needs_no_predecessor_and_a_better_run_takes_its_place(store):
    assert promote(store["weak"]).code == 0
    assert champion() == store["weak"]
    answer = promote(store["strong"])
    assert (answer.code, champion()) == (0, store["strong"])
    assert "Version 2 of stance is champion now: models:/stance@champion" in answer.out


def test_a_worse_run_is_refused_and_the_alias_stays(store):
    promote(store["strong"])
    before = registry(store)
    answer = promote(store["weak"])
    assert (answer.code, champion()) == (1, store["strong"])
    assert "macro_f1: a drop of" in answer.err
    assert "Refused: 1 of 8 gates failed." in answer.err
    assert registry(store) == before


def test_runs_on_different_statements_are_refused_with_both_digests(store):
    promote(store["strong"])
    answer = promote(store["elsewhere"])
    assert (answer.code, champion()) == (1, store["strong"])
    assert "scores on different statements can't be compared" in answer.err


def test_a_champion_scored_on_other_statements_can_be_judged_anew(store):
    promote(store["weak"])
    assert promote(store["elsewhere"]).code == 1
    assert promote(store["elsewhere"], gates=ANEW).code == 0
    assert champion() == store["elsewhere"]


def test_judging_anew_is_no_way_around_a_better_champion(store):
    promote(store["elsewhere"])
    assert promote(store["weak"], gates=ANEW).code == 1
    assert champion() == store["elsewhere"]


def test_a_number_that_was_not_logged_refuses_the_run(store):
    answer = promote(store["strong"], gates=SCORE_ONLY | {"min_target_reliance": 0.0})
    assert (answer.code, champion()) == (1, None)
    assert "target reliance: strong logged no probe/target_reliance_low" in answer.err
    assert client().search_registered_models() == []


def test_a_dry_run_shows_the_verdict_and_changes_nothing(store):
    promote(store["weak"])
    before = registry(store)
    passing, failing = promote(store["strong"], "--dry-run"), promote(store["strong"], "--dry-run", gates=None)
    assert (passing.code, failing.code) == (0, 1)
    assert "It would become champion of stance; nothing was changed." in passing.out
    assert registry(store) == before


def test_the_audit_says_who_when_from_whom_and_on_what_grounds(store):
    promote(store["weak"])
    promote(store["strong"])
    (_, line), (model,) = log(), client().search_registered_models()
    version = client().get_model_version_by_alias("stance", "champion")
    path = client().download_artifacts(store["strong"], f"promotion/{line['id']}.json")
    assert json.loads(Path(path).read_text()) == line
    assert line["from"] == {"version": "1", "run_id": store["weak"]}
    assert (line["name"], line["alias"], line["version"], line["run_id"]) == (
        "stance",
        "champion",
        "2",
        store["strong"],
    )
    assert line["gates"]["max_ece"] == 1
    assert line["gates"]["min_slice"] is None
    (score, *rest) = line["verdict"]
    assert (score["gate"], score["passed"]) == ("macro_f1", True)
    assert "champion 0.1" in score["measured"]
    assert len(rest) == 7
    assert (rest[0]["gate"], rest[0]["measured"]) == ("new statements", "0 of 60")
    tags = {
        key: version.tags[f"promotion.champion.{key}"] for key in ("by", "at", "from", "verdict", "policy", "audit")
    }
    assert tags == {
        "by": line["by"],
        "at": line["at"],
        "from": "version 1",
        "verdict": line["verdict_sha256"],
        "policy": "ours",
        "audit": line["id"],
    }
    assert model.tags == {"promotion.champion": "stancelib promote"}
    assert line["digest"] == make_corpus(n_validation=60).split("validation").digest[:12]


def test_a_model_that_is_refused_is_not_promoted_by_gates_on_the_command_line(store):
    for override in ("min_slice=null", "max_ece=1", "min_target_reliance=null", "behaviour_floors=null", "split=test"):
        answer = promote(store["weak"], override, gates=None)
        assert (answer.code, champion()) == (2, None)
        assert f"{override.partition('=')[0]}" in answer.error
        assert "promotion=default has" in answer.error
    assert client().search_registered_models() == []


def test_a_stricter_gate_on_the_command_line_refuses_what_the_policy_lets_through(store):
    answer = promote(store["strong"], "min_target_reliance=0.5")
    assert (answer.code, champion()) == (1, None)
    assert "target reliance: strong logged no" in answer.err


def test_the_audit_has_the_policy_whole_and_what_was_made_stricter(store):
    assert promote(store["strong"], "max_ece=0.9").code == 0
    (line,) = log()
    assert line["policy"]["name"] == "ours"
    assert line["policy"]["gates"]["max_ece"] == 1
    assert line["gates"]["max_ece"] == 0.9
    for gates in (line["gates"], line["policy"]["gates"]):
        assert set(gates) == set(Gates.__dataclass_fields__)
        assert (gates["alpha"], gates["min_gap_to_control"]) == (0.05, None)


def test_a_dry_run_names_the_policy(store):
    assert promote(store["strong"], "--dry-run").out.startswith("policy ours\n")
    assert promote(store["strong"], "--dry-run", gates=None).out.startswith("policy default\n")


def test_a_crash_before_the_alias_leaves_the_old_champion_and_is_mended_by_repeating(store, monkeypatch):
    promote(store["weak"])
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", lambda *args: (_ for _ in ()).throw(OSError("cut")))
        assert promote(store["strong"]).code == 1
    assert champion() == store["weak"]
    written = audits(store["strong"])
    assert written  # the record is there before the alias
    assert len(log()) == 1
    assert promote(store["strong"]).code == 0
    assert champion() == store["strong"]
    assert f"promotion/{log()[-1]['id']}.json" in written
    assert len(client().search_model_versions(f"run_id = '{store['strong']}'")) == 1


def test_a_crash_after_the_alias_is_mended_by_repeating(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("stancelib.tracking.registry.append_audit", lambda *args: (_ for _ in ()).throw(OSError("full")))
        assert promote(store["strong"]).code == 1
    assert champion() == store["strong"]
    assert log() == []
    answer = promote(store["strong"])
    assert "is champion of stance already; its record was completed." in answer.out
    (line,) = log()
    assert f"promotion/{line['id']}.json" in audits(store["strong"])
    assert "completed" not in promote(store["strong"]).out
    assert log() == [line]


def test_a_torn_last_line_of_the_log_spoils_no_other(store, in_tmp):
    (in_tmp / "promotions.jsonl").write_text('{"id": "to')
    promote(store["strong"])
    torn, whole = (in_tmp / "promotions.jsonl").read_text().splitlines()
    assert (torn, json.loads(whole)["run_id"]) == ('{"id": "to', store["strong"])


def test_a_champion_that_changed_since_the_verdict_is_not_overwritten(store, monkeypatch):
    import stancelib.tracking.registry as module

    promote(store["weak"])
    original = module.give_alias

    def late(*args):
        monkeypatch.setattr(module, "give_alias", original)
        assert promote(store["strong"]).code == 0
        return original(*args)

    monkeypatch.setattr(module, "give_alias", late)
    answer = promote(store["elsewhere"], gates=ANEW)
    assert answer.code == 2
    assert "is held by version" in answer.error
    assert champion() == store["strong"]


def test_training_can_not_name_a_champion(store):
    with pytest.raises(ConfigError, match=r"alias 'champion' is not given by training: .*`stancelib promote <run>"):
        MlflowTracker(registered_model="stance", alias="champion")
    answer = run_cli("train", "model=prior", "tracking.registered_model=stance", "tracking.alias=champion")
    assert answer.code == 2
    assert "stancelib promote" in answer.error


@pytest.mark.parametrize("alias", ["champion", "production"])
def test_mirroring_a_newer_run_does_not_move_an_alias_that_promotion_has_given(store, trained, tmp_path, alias):
    assert promote(store["weak"], "--alias", alias).code == 0
    shutil.copytree(trained[0] / "strong", tmp_path / "strong")
    Link(Destination(os.environ["MLFLOW_TRACKING_URI"], "stancelib", "stance", alias)).save(tmp_path / "strong")
    assert [result.outcome for result in sync(tmp_path / "strong")] == ["completed"]
    assert len(client().search_model_versions("name = 'stance'")) == 2
    assert champion(alias) == store["weak"]


def test_an_alias_that_promotion_never_gave_is_trainings_own(store, trained, tmp_path):
    promote(store["weak"])
    shutil.copytree(trained[0] / "strong", tmp_path / "strong")
    Link(Destination(os.environ["MLFLOW_TRACKING_URI"], "stancelib", "stance", "newest")).save(tmp_path / "strong")
    sync(tmp_path / "strong")
    assert (champion("newest"), champion()) == (store["strong"], store["weak"])


def test_a_run_folder_is_as_good_as_an_id(trained, in_tmp):
    answer = promote(trained[0] / "strong", "--dry-run")
    assert (answer.code, "It would become champion" in answer.out) == (0, True)


def test_what_can_not_be_promoted_is_named(store, tmp_path):
    assert "'nowhere' is no run: expected an MLflow run id or a run folder." in promote("nowhere").error
    assert "not found" in promote("0" * 32).error
    assert "'v1' can't be an alias" in promote(store["weak"], "--alias", "v1").error
    assert "'a/b' can't be the name of a registered model" in promote(store["weak"], "--name", "a/b").error
    run_experiment(corpus=make_corpus(), model=Prior(), folder=tmp_path / "run", evaluation=Evaluation(n_resamples=0))
    assert f"run `stancelib sync {tmp_path / 'run'} --uri <tracking address>` first" in promote(tmp_path / "run").error
    killed = client().create_run("1").info.run_id
    client().set_terminated(killed, "KILLED")
    assert "is KILLED; only a FINISHED run can be promoted" in promote(killed).error
    empty = client().create_run("1").info.run_id
    client().set_terminated(empty, "FINISHED")
    assert "has no model of its own; promote the run that trained it" in promote(empty).error
