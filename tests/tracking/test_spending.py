"""How often a test split was scored: what counts, and that asking never hurts."""

import time

import pytest

from stancelib.errors import ConfigError
from stancelib.journal import Journal, JournalOnly
from stancelib.tracking import MlflowTracker, Spending, count_test_scorings, spending_of, sync
from stancelib.tracking.link import Destination, Link
from stancelib.tracking.store import connect

from ..conftest import make_rows, run_cli, write_jsonl
from .conftest import tracked_run

DIGEST = "0a1b2c3d4e5f"


def scored(folder, uri, *, digest=DIGEST, split="test", scores=("test/macro_f1",), experiment="stancelib"):
    """A run with one data set and these scores; its id in MLflow."""
    tracker = MlflowTracker(uri=uri, experiment=experiment)
    with Journal(folder, name=folder.name) as journal:
        tracker.attach(journal)
        facts = {"name": "s", "source": "s", "n_rows": 3, "label_counts": {"reject": 3}, "protocol": "given"}
        journal.dataset(split=split, digest=digest, **facts)
        for name in scores:
            journal.metrics({name: 0.5})
    tracker.close()
    assert tracker.complete
    return tracker.run_id


def test_every_run_that_scored_the_split_counts_oldest_first(uri, tmp_path):
    first = scored(tmp_path / "first", uri)
    time.sleep(0.01)
    second = scored(tmp_path / "second", uri, experiment="another")
    assert count_test_scorings(uri, DIGEST) == Spending(2, ((first, "first"), (second, "second")))


def test_what_is_no_scoring_of_this_test_split_does_not_count(uri, tmp_path):
    scored(tmp_path / "only described", uri, scores=("validation/macro_f1",))
    scored(tmp_path / "other content", uri, digest="ffffffffffff")
    scored(tmp_path / "other split", uri, split="validation")
    assert count_test_scorings(uri, DIGEST).n == 0


def test_deleting_a_run_does_not_make_its_look_unseen(uri, tmp_path):
    connect(uri).delete_run(scored(tmp_path / "run", uri))
    assert count_test_scorings(uri, DIGEST).n == 1


def test_more_scorings_than_a_page_holds_are_all_counted(uri, tmp_path, monkeypatch):
    monkeypatch.setattr("stancelib.tracking.spending.PAGE", 2)
    for number in range(3):
        scored(tmp_path / str(number), uri)
    assert count_test_scorings(uri, DIGEST).n == 3


def test_a_run_folder_leads_to_the_store_it_is_mirrored_to(uri, tmp_path):
    scored(tmp_path / "run", uri)
    assert spending_of(tmp_path / "run", DIGEST).n == 1


def test_an_untracked_run_asks_nobody(tmp_path):
    tracked_run(tmp_path / "run", JournalOnly())
    assert spending_of(tmp_path / "run", DIGEST) is None


def test_a_store_that_is_not_there_is_a_mistake_only_for_who_asks_for_it(tmp_path):
    with pytest.raises(ConfigError, match="there are no tracked runs at"):
        count_test_scorings(f"sqlite:///{tmp_path / 'none.db'}", DIGEST)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("patience", [0.5])
def test_a_server_that_never_answers_costs_no_more_than_the_patience(hanging_uri, tmp_path, monkeypatch, patience):
    monkeypatch.setattr("stancelib.tracking.spending.PATIENCE_SECONDS", patience)
    tracked_run(tmp_path / "run", JournalOnly())
    monkeypatch.setattr(Link, "is_complete", lambda self, folder: True)
    Link(Destination(hanging_uri)).save(tmp_path / "run")
    started = time.monotonic()
    assert spending_of(tmp_path / "run", DIGEST) is None
    assert time.monotonic() - started < patience + 1


def test_a_server_that_is_down_is_passed_over_in_silence(tmp_path, monkeypatch, capsys):
    tracked_run(tmp_path / "run", JournalOnly())
    monkeypatch.setattr(Link, "is_complete", lambda self, folder: True)
    Link(Destination("http://127.0.0.1:9")).save(tmp_path / "run")
    assert spending_of(tmp_path / "run", DIGEST) is None
    assert capsys.readouterr() == ("", "")


def test_a_run_is_told_of_the_others_and_never_counts_itself(uri, tmp_path):
    scored(tmp_path / "earlier", uri)
    tracker = MlflowTracker(uri=uri)
    with Journal(tmp_path / "run", name="run") as journal:
        tracker.attach(journal)
        facts = {"name": "s", "source": "s", "n_rows": 3, "label_counts": {"reject": 3}, "protocol": "given"}
        journal.dataset(split="test", digest=DIGEST, **facts)
        journal.metrics({"test/macro_f1": 0.5})
        deadline = time.monotonic() + 60
        while count_test_scorings(uri, DIGEST).n < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert tracker.scorings_before(DIGEST) == 1
    tracker.close()


def test_the_first_run_of_a_folder_finds_its_test_split_unscored(tmp_path):
    tracker = MlflowTracker(uri=f"sqlite:///{tmp_path / 'none yet.db'}")
    with Journal(tmp_path / "run", name="run") as journal:
        tracker.attach(journal)
        assert tracker.scorings_before(DIGEST) == 0
    tracker.close()


def test_asking_a_server_that_hangs_is_taken_from_the_seconds_for_the_end(hanging_uri, tmp_path):
    tracker = MlflowTracker(uri=hanging_uri, flush_seconds=1)
    started = time.monotonic()
    with Journal(tmp_path / "run", name="run") as journal:
        tracker.attach(journal)
        assert tracker.scorings_before(DIGEST) is None
    tracker.close()
    assert time.monotonic() - started < 2.5


def test_a_run_that_is_brought_in_later_counts_from_then_on(uri, tmp_path):
    with Journal(tmp_path / "run", name="late") as journal:
        facts = {"name": "s", "source": "s", "n_rows": 3, "label_counts": {"reject": 3}, "protocol": "given"}
        journal.dataset(split="test", digest=DIGEST, **facts)
        journal.metrics({"test/macro_f1": 0.5})
    assert count_test_scorings(uri, DIGEST).n == 0
    sync(tmp_path, uri=uri)
    assert count_test_scorings(uri, DIGEST).n == 1


def test_train_and_evaluate_say_how_often_the_test_split_was_scored(uri, in_tmp, monkeypatch):
    pytest.importorskip("hydra")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name, start in (("train", 0), ("validation", 60), ("test", 80)):
        write_jsonl(in_tmp / f"{name}.jsonl", make_rows(60 if name == "train" else 20, start=start))
    data = (
        "data=files",
        "data.path={train: train.jsonl, validation: validation.jsonl, test: test.jsonl}",
        "evaluation.n_resamples=0",
    )
    trained = run_cli("train", *data, "model=prior", "evaluation.splits=[validation,test]", "hydra.run.dir=run")
    assert "this test split has now been scored 1 time\n" in trained.out, trained.err
    assert "no run in this store has scored it before" in (in_tmp / "run" / "report_test.md").read_text()
    assert "scored 2 times\n" in run_cli("evaluate", "run", *data, "--split", "test").out
    (report,) = (in_tmp / "runs").rglob("report_test.md")
    assert "this test split has been scored 1 time before by runs in this store" in report.read_text()
    assert "been scored" not in run_cli("evaluate", "run", *data).out
    assert "been scored" not in run_cli("evaluate", "run", *data, "--split", "test", "tracking=none").out


def test_a_test_split_that_was_scored_under_another_name_counts_and_one_that_was_trained_on_does_not(uri, tmp_path):
    scored(tmp_path / "renamed", uri, split="validation", scores=("validation/macro_f1",))
    scored(tmp_path / "trained on", uri, split="train", scores=("train/loss",))
    assert count_test_scorings(uri, DIGEST).n == 1
