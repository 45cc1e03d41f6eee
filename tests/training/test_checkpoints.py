import json

import pytest
import torch

from stancelib.errors import ConfigError
from stancelib.training.checkpoints import Checkpoints, newest, threads_of
from stancelib.training.encoders import load_network
from stancelib.training.loop import start
from stancelib.training.network import make_classifier
from stancelib.training.settings import LoopSettings, OptimizerSettings

from .tiny_bert import make_tiny_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "enc")


@pytest.fixture
def make_state(encoder):
    def make():
        network = make_classifier(load_network(encoder), 3, pooling="mean", dropout=None, seed=0)
        return start(network, 10, LoopSettings(epochs=1), OptimizerSettings(), 0)

    return make


def move(state):
    state.optimizer.zero_grad()
    ids_BT = torch.ones(2, 4, dtype=torch.long)
    state.network({"input_ids": ids_BT, "attention_mask": ids_BT}).square().sum().backward()
    state.optimizer.step()
    state.step += 1


def test_a_run_that_goes_on_equals_one_that_never_stopped(tmp_path, make_state):
    one, other = make_state(), make_state()
    move(one)
    one.keep_if_best(0.5)
    Checkpoints(tmp_path, "same", 1).write(one)
    move(one)
    assert Checkpoints(tmp_path, "same", 1).read_into(other)
    assert (other.step, other.best_score) == (1, 0.5)
    move(other)
    assert all(torch.equal(weight, other.weights[name]) for name, weight in one.weights.items())
    one.restore_best()
    other.restore_best()
    assert all(torch.equal(weight, other.weights[name]) for name, weight in one.weights.items())


def test_only_the_newest_checkpoint_is_kept_and_drafts_are_swept_up(tmp_path, make_state):
    state = make_state()
    (tmp_path / "draft-1").mkdir()
    for _ in range(3):
        move(state)
        Checkpoints(tmp_path, "same", 1).write(state)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    assert newest(tmp_path).name == "step-00000003"


def test_a_half_written_checkpoint_is_not_seen(tmp_path, make_state):
    (tmp_path / "draft-77").mkdir()
    (tmp_path / "draft-77" / "state.json").write_text("{")
    assert not Checkpoints(tmp_path, "same", 1).read_into(make_state())


def test_a_checkpoint_of_another_run_is_refused(tmp_path, make_state):
    Checkpoints(tmp_path, "this", 1).write(make_state())
    with pytest.raises(ConfigError, match="other data or with other options"):
        Checkpoints(tmp_path, "that", 1).read_into(make_state())


def test_a_checkpoint_of_another_format_is_refused(tmp_path, make_state):
    Checkpoints(tmp_path, "this", 1).write(make_state())
    path = newest(tmp_path) / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(ConfigError, match="format 99"):
        threads_of(tmp_path)


def test_it_remembers_the_number_of_threads(tmp_path, make_state):
    assert threads_of(tmp_path) is None
    Checkpoints(tmp_path, "this", 3).write(make_state())
    assert threads_of(tmp_path) == 3


def test_no_file_of_it_is_a_pickle(tmp_path, make_state):
    state = make_state()
    move(state)
    Checkpoints(tmp_path, "this", 1).write(state)
    assert {path.suffix for path in newest(tmp_path).iterdir()} == {".safetensors", ".json"}
