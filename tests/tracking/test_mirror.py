"""What a run looks like in MLflow, and that sending it again changes nothing."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.errors import ConfigError
from stancelib.journal import Journal, JournalOnly
from stancelib.tracking import MlflowTracker, resolve_uri, sync
from stancelib.tracking.link import SIDECAR, Link
from stancelib.tracking.naming import key_of
from stancelib.tracking.store import connect

from .conftest import assert_complete, fill, record_of, tracked_run


def only(records):
    (record,) = records.values()
    return record


def test_a_run_arrives_whole(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    journal = tracked_run(tmp_path / "run", tracker)

    assert (tracker.complete, tracker.message) == (True, "")
    records = record_of(uri)
    assert list(records) == [tracker.run_id]
    record = only(records)
    assert_complete(record)
    assert record["name"] == "tfidf C=1.5 s7"
    assert record["tags"]["stancelib.uid"] == journal.uid
    assert record["tags"]["mlflow.source.git.commit"] == "abc123"
    assert json.loads(record["tags"]["mlflow.loggedArtifacts"]) == [
        {"path": "tables/predictions.json", "type": "table"}
    ]
    assert record["metrics"]["validation/macro_f1"][3][2] == 0.03


def test_times_are_those_of_the_run_not_of_the_mirror(uri, tmp_path):
    before = time.time() * 1000 - 1
    with Journal(tmp_path / "run", name="any") as journal:
        journal.metrics({"train/loss": 1.0})
    after = time.time() * 1000 + 1
    time.sleep(0.05)
    sync(tmp_path, uri=uri)
    record = only(record_of(uri))
    start, end = record["times"]
    assert before <= start <= record["metrics"]["train/loss"][0][1] <= end <= after


def test_the_model_of_a_run_loads_from_run_and_registry(uri, tmp_path, loadable):
    import mlflow

    tracker = MlflowTracker(uri=uri, registered_model="stance", alias="newest")
    tracked_run(tmp_path / "run", tracker, label="propose")
    mlflow.set_tracking_uri(uri)
    try:
        for address in (f"runs:/{tracker.run_id}/model", "models:/stance@newest", "models:/stance/1"):
            assert mlflow.pyfunc.load_model(address).predict([{"text": "a"}]) == ["propose"]
    finally:
        mlflow.set_tracking_uri(None)


def test_validation_scores_are_attached_to_the_model_with_their_dataset(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker)
    model = connect(uri).get_logged_model(only(record_of(uri))["models"][0])
    score = {metric.key: metric for metric in model.metrics}["validation/macro_f1"]
    assert (score.value, score.dataset_name, score.dataset_digest) == (0.29, "statements", "22bb")
    assert model.params["model.C"] == "1.5"


def test_syncing_again_changes_nothing(uri, tmp_path):
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri, registered_model="stance", alias="newest"))
    before = record_of(uri)
    assert [result.outcome for result in sync(tmp_path)] == ["unchanged"]
    assert record_of(uri) == before


def test_replaying_from_the_start_changes_nothing(uri, tmp_path):
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri, registered_model="stance", alias="newest"))
    before = record_of(uri)
    link = Link.load(tmp_path / "run")
    link.offset, link.model_id = 0, ""
    link.save(tmp_path / "run")
    assert [result.outcome for result in sync(tmp_path)] == ["completed"]
    assert record_of(uri) == before


def test_a_lost_sidecar_leads_back_to_the_same_run(uri, tmp_path):
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri))
    before = record_of(uri)
    (tmp_path / "run" / SIDECAR).unlink()
    assert [result.outcome for result in sync(tmp_path)] == ["untracked"]
    assert [result.outcome for result in sync(tmp_path, uri=uri)] == ["completed"]
    assert record_of(uri) == before


def test_a_damaged_sidecar_counts_as_lost(uri, tmp_path):
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri))
    (tmp_path / "run" / SIDECAR).write_text('{"destination": {"ur')
    assert [result.outcome for result in sync(tmp_path, uri=uri)] == ["completed"]
    assert len(record_of(uri)) == 1


def test_a_run_without_tracker_can_be_brought_in_later(uri, tmp_path):
    tracked_run(tmp_path / "run", JournalOnly())
    assert [result.outcome for result in sync(tmp_path, uri=uri, experiment="later")] == ["completed"]
    assert_complete(only(record_of(uri, "later")))


def test_a_run_that_raises_ends_failed_with_its_reason(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker, error=RuntimeError("no room"))
    record = only(record_of(uri))
    assert (record["status"], record["tags"]["error"]) == ("FAILED", "RuntimeError: no room")


def test_an_interrupted_run_ends_killed(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker, error=KeyboardInterrupt())
    assert_complete(only(record_of(uri)), status="KILLED")


def test_a_run_shows_up_in_mlflow_while_it_goes(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    with Journal(tmp_path / "run", name="any") as journal:
        tracker.attach(journal)
        journal.metrics({"train/loss": 1.0})
        deadline = time.monotonic() + 30
        while not (records := record_of(uri)) or not only(records)["metrics"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert only(records)["status"] == "RUNNING"
    tracker.close()


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker, error=KeyboardInterrupt(), steps=range(10))
    with Journal.reopen(tmp_path / "run") as journal:
        tracker.attach(journal)
        fill(journal, steps=range(10, 30))
    tracker.close()
    assert tracker.complete
    assert_complete(only(record_of(uri)))


@pytest.mark.parametrize("at_once", [False, True])
def test_a_run_that_was_gone_on_with_forgets_what_had_ended_it(at_once, uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker, error=ValueError("no"))
    assert "no" in only(record_of(uri))["tags"]["error"]
    with Journal.reopen(tmp_path / "run") as journal:
        if not at_once:
            tracker.attach(journal)
        fill(journal)
    if at_once:
        sync(tmp_path / "run", uri=uri)
    tracker.close()
    assert "error" not in only(record_of(uri))["tags"]


def test_what_mlflow_refuses_is_left_out_and_named_without_losing_the_rest(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    with Journal(tmp_path / "run", name="any") as journal:
        tracker.attach(journal)
        journal.params({"seed": 1} | {f"p{i}": i for i in range(150)})
    tracker.close()
    with Journal.reopen(tmp_path / "run") as journal:
        tracker.attach(journal)
        journal.params({"seed": 2, "late": "yes"})
        journal.metrics({"train/loss": float("inf"), "validation/macro_f1": float("nan"), "test/macro_f1": 0.5}, 4)
    tracker.close()

    assert tracker.complete
    record = only(record_of(uri))
    assert record["status"] == "FINISHED"
    assert record["params"] == {"seed": "1", "late": "yes"} | {f"p{i}": str(i) for i in range(150)}
    assert set(record["metrics"]) == {"validation/macro_f1", "test/macro_f1"}
    assert "train/loss at step 4 is infinite" in record["tags"]["stancelib.left_out"]
    assert "seed: Changing param values is not allowed" in record["tags"]["stancelib.left_out"]


def test_names_and_lengths_are_made_to_fit(uri, tmp_path):
    with Journal(tmp_path / "run", name="any") as journal:
        journal.params({"layers[0]=@x": 1, "/a//b": 2, "long": "x" * 7000, "half \ud800": "\ud800"})
        journal.metrics({"test/p@5": 0.5})
        journal.tags({"what=": "y" * 9000})
        journal.note("z" * 9000)
    sync(tmp_path, uri=uri)
    record = only(record_of(uri))
    assert record["params"] == {"layers_0___x": "1", "a__b": "2", "long": "x" * 6000, "half _": "?"}
    assert list(record["metrics"]) == ["test/p_5"]
    assert record["tags"]["what_"] == "y" * 8000
    assert record["tags"]["mlflow.note.content"] == "z" * 8000


@given(name=st.text() | st.text("./ a=[:") | st.text("a/", min_size=240, max_size=260))
def test_any_name_becomes_one_that_mlflow_accepts(name):
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(key_of(name))


@given(name=st.from_regex(r"[a-z]+(/[a-z0-9_]+)?", fullmatch=True))
def test_a_good_name_stays_as_it_is(name):
    assert key_of(name) == name


def test_a_file_that_is_gone_does_not_hold_up_the_rest(uri, tmp_path):
    with Journal(tmp_path / "run", name="any") as journal:
        (tmp_path / "run" / "config.yaml").write_text("a: 1")
        journal.artifact(tmp_path / "run" / "config.yaml")
    (tmp_path / "run" / "config.yaml").unlink()
    (result,) = sync(tmp_path, uri=uri)
    assert (result.outcome, result.message) == ("completed", "config.yaml is gone from the run folder")
    assert only(record_of(uri))["status"] == "FINISHED"


def test_thousands_of_points_arrive(uri, tmp_path):
    with Journal(tmp_path / "run", name="any") as journal:
        for step in range(2500):
            journal.metrics({"train/loss": step}, step)
    sync(tmp_path, uri=uri)
    assert [step for step, _, _ in only(record_of(uri))["metrics"]["train/loss"]] == list(range(2500))


def test_points_count_as_sent_only_when_mlflow_has_answered(uri, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    original, futures = MlflowClient.log_batch, []
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *args, **kw: futures.append(original(*args, **kw)))
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri))
    assert futures
    assert set(futures) == {None}


def test_an_alias_does_not_go_back_to_an_older_run(uri, tmp_path):
    destination = {"uri": uri, "registered_model": "stance", "alias": "newest"}
    tracked_run(tmp_path / "old", JournalOnly())
    time.sleep(0.01)
    tracker = MlflowTracker(**destination)
    tracked_run(tmp_path / "new", tracker)
    link = Link.load(tmp_path / "new")
    Link(link.destination).save(tmp_path / "old")
    assert [result.outcome for result in sync(tmp_path / "old")] == ["completed"]

    client = connect(uri)
    assert len(client.search_model_versions("name = 'stance'")) == 2
    assert client.get_model_version_by_alias("stance", "newest").run_id == tracker.run_id


def test_a_failed_run_registers_no_model(uri, tmp_path):
    tracker = MlflowTracker(uri=uri, registered_model="stance", alias="newest")
    tracked_run(tmp_path / "run", tracker, error=RuntimeError())
    assert tracker.complete
    assert_complete(only(record_of(uri)), status="FAILED")
    assert connect(uri).search_registered_models() == []


def test_a_run_deleted_in_mlflow_is_not_brought_back_unasked(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker)
    connect(uri).delete_run(tracker.run_id)
    with Journal.reopen(tmp_path / "run") as journal:
        journal.metrics({"test/macro_f1": 0.5})
    (result,) = sync(tmp_path)
    assert result.outcome == "failed"
    assert "its run was deleted" in result.message
    assert record_of(uri) == {}


def test_a_run_that_mlflow_has_forgotten_is_sent_anew(uri, tmp_path, empty_database):
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri))
    elsewhere = f"sqlite:///{tmp_path / 'other.db'}"
    link = Link.load(tmp_path / "run")
    link.destination = type(link.destination)(elsewhere)
    link.offset -= 1
    link.save(tmp_path / "run")
    assert [result.outcome for result in sync(tmp_path)] == ["completed"]
    assert_complete(only(record_of(elsewhere)))


def test_a_deleted_experiment_is_named(uri, tmp_path):
    client = connect(uri)
    client.delete_experiment(client.create_experiment("stancelib"))
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker)
    assert not tracker.complete
    assert "experiment 'stancelib' was deleted" in tracker.message
    assert f"run `stancelib sync {tmp_path / 'run'}`" in tracker.message


def test_artifacts_lie_beside_the_database_wherever_the_run_was_started(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracked_run(tmp_path / "run", MlflowTracker(uri=uri))
    assert any((tmp_path / "tracking" / "mlartifacts").rglob("config.yaml"))
    assert not (tmp_path / "mlruns").exists()


def test_the_address_is_the_configs_or_the_environments_or_a_local_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///sub/x.db")
    assert resolve_uri() == f"sqlite:///{tmp_path / 'sub' / 'x.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.org:5000")
    assert resolve_uri() == "http://example.org:5000"
    assert resolve_uri("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_an_alias_without_a_registered_model_is_a_mistake():
    with pytest.raises(ConfigError, match="alias 'champion' needs registered_model"):
        MlflowTracker(alias="champion")
    with pytest.raises(ConfigError, match="flush_seconds must be at least 0"):
        MlflowTracker(flush_seconds=-1)


def test_labels_that_differ_in_what_mlflow_does_not_allow_keep_a_metric_each(uri, tmp_path):
    with Journal(tmp_path / "run", name="any") as journal:
        journal.metrics({"test/f1.a,b": 0.25, "test/f1.a;b": 0.75, "test/f1.x/y": 0.5})
    sync(tmp_path, uri=uri)
    found = {name: points[0][2] for name, points in only(record_of(uri))["metrics"].items()}
    assert found == {"test/f1.a_b": 0.25, "test/f1.a_b-2": 0.75, "test/f1.x_y": 0.5}


@pytest.mark.parametrize("alias", ["champion ", "v1", "latest"])
def test_an_alias_that_mlflow_does_not_allow_is_refused_before_anything_is_trained(alias):
    with pytest.raises(ConfigError, match="can't be an alias"):
        MlflowTracker(registered_model="stance", alias=alias)


@pytest.mark.parametrize("name", ["a/b", "a:b", " ", "", "..", "it's"])
def test_a_model_name_that_mlflow_does_not_allow_is_refused_before_anything_is_trained(name):
    with pytest.raises(ConfigError, match="can't be the name of a registered model"):
        MlflowTracker(registered_model=name)
