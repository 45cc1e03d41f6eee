import pytest

from stancelib.experiment import run_experiment
from stancelib.journal import read_events
from stancelib.models.prior import Prior
from stancelib.recording import Identity
from stancelib.repeating import repeat_experiment, spread

from .conftest import make_corpus


def events(folder, kind):
    return [event for event, _ in read_events(folder) if event["event"] == kind]


def test_spread_on_known_numbers():
    found = spread([1.0, 2.0, 3.0])
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.high - found.mean == pytest.approx(4.302653 / 3**0.5, abs=1e-5)
    assert found.low + found.high == pytest.approx(4.0)


def test_a_spread_ends_where_the_score_does():
    found = spread([0.9, 1.0], 0.0, 1.0)
    assert (found.high, found.low) == (1.0, pytest.approx(0.95 - 12.7062 * 0.05, abs=1e-3))


def test_one_seed_has_no_spread():
    assert spread([0.5]).sd == 0.0
    assert spread([0.5]).low == spread([0.5]).high == 0.5


def test_the_parent_carries_what_the_seeds_scored(tmp_path):
    scores = {3: 0.5, 4: 0.7}

    def run_one(seed, folder, parent):
        return {"validation": {"macro_f1": scores[seed], "macro_f1_low": 0.1}}

    found = repeat_experiment(run_one=run_one, seeds=[3, 4], folder=tmp_path / "p", identity=Identity(name="x"))
    assert set(found) == {"validation/macro_f1"}
    metrics = {name: value for event in events(tmp_path / "p", "metrics") for name, value in event["values"].items()}
    assert metrics["validation/macro_f1"] == pytest.approx(0.6)
    assert metrics["validation/macro_f1_sd"] == pytest.approx(0.1414, abs=1e-4)
    assert metrics["n_seeds"] == 2
    assert "seed 3 | seed 4" in events(tmp_path / "p", "note")[0]["text"]


def test_seeds_are_runs_below_their_parent(tmp_path):
    def run_one(seed, folder, parent):
        identity = Identity(seed=seed, parent=parent)
        return run_experiment(corpus=make_corpus(), model=Prior(), folder=folder, identity=identity).scores

    repeat_experiment(run_one=run_one, seeds=[0, 1], folder=tmp_path / "p")
    (parent,) = events(tmp_path / "p", "start")
    for seed in (0, 1):
        assert events(tmp_path / "p" / f"seed-{seed}", "start")[0]["parent"] == parent["uid"]


def test_a_failing_seed_ends_the_parent_as_failed(tmp_path):
    def run_one(seed, folder, parent):
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError):
        repeat_experiment(run_one=run_one, seeds=[0], folder=tmp_path / "p")
    assert events(tmp_path / "p", "end")[0]["status"] == "FAILED"


def test_no_seeds_are_refused(cli):
    done = cli("train", "model=prior", "tracking=none", "seeds=0")
    assert (done.code, done.error) == (2, "seeds must be at least 1, got 0.")
