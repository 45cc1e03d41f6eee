import numpy as np
import pytest
import torch
import transformers

from stancelib.errors import ConfigError
from stancelib.training.batching import tokenize
from stancelib.training.encoders import load_network, load_tokenizer
from stancelib.training.frozen import replayed_layers
from stancelib.training.network import (
    ENCODER_INPUTS,
    add_lora,
    compact_vocabulary,
    freeze,
    inputs_for,
    keep_outputs,
    make_classifier,
    merge_lora,
    parameter_groups,
    training_mode,
)
from stancelib.training.settings import FreezeSettings, LoraSettings, OptimizerSettings

from .tiny_bert import make_statements, make_tiny_encoder


@pytest.fixture
def folder(tmp_path):
    return make_tiny_encoder(tmp_path / "enc", dropout=0.1)


@pytest.fixture
def tokens(folder):
    statements = make_statements(20)
    return tokenize(load_tokenizer(folder, 32), statements.texts, statements.targets)


def classifier(folder, **options):
    return make_classifier(load_network(folder), 3, **{"pooling": "mean", "dropout": None, "seed": 0} | options).eval()


def group_of(network, name, **options):
    weight = dict(network.named_parameters())[name]
    groups = parameter_groups(network, OptimizerSettings(**options))
    return next(group for group in groups if any(weight is other for other in group["params"]))


def test_same_seed_gives_the_same_head_and_another_seed_another(folder):
    heads = [classifier(folder, seed=seed).head.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_norms_biases_and_embeddings_are_spared_from_decay(folder):
    network = classifier(folder)
    for name in (
        "encoder.encoder.layer.0.output.LayerNorm.weight",
        "encoder.encoder.layer.0.output.dense.bias",
        "encoder.embeddings.word_embeddings.weight",
    ):
        assert group_of(network, name, weight_decay=0.5)["weight_decay"] == 0
    assert group_of(network, "encoder.encoder.layer.0.output.dense.weight", weight_decay=0.5)["weight_decay"] == 0.5


def test_each_layer_learns_slower_than_the_one_above(folder):
    network = classifier(folder)
    rates = [
        group_of(network, name, learning_rate=1.0, head_learning_rate=7.0, layer_decay=0.5)["peak"]
        for name in (
            "head.weight",
            "encoder.encoder.layer.1.output.dense.weight",
            "encoder.encoder.layer.0.output.dense.weight",
            "encoder.embeddings.word_embeddings.weight",
        )
    ]
    assert rates == [7.0, 1.0, 0.5, 0.25]


def test_frozen_layers_have_neither_gradient_nor_dropout(folder):
    network = classifier(folder)
    freeze(network.encoder, FreezeSettings(layers=1))
    training_mode(network)
    layers = network.encoder.encoder.layer
    moving = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert all("layer.1" in name or name.startswith("head") for name in moving)
    assert not layers[0].output.dropout.training
    assert layers[1].output.dropout.training


def test_freezing_the_embeddings_leaves_every_layer_moving(folder):
    network = classifier(folder)
    freeze(network.encoder, FreezeSettings(embeddings=True))
    assert not network.encoder.embeddings.word_embeddings.weight.requires_grad
    assert all(weight.requires_grad for weight in network.encoder.encoder.parameters())


SMALL = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
ENCODERS = {
    "bert": ("Bert", {}, "embeddings.", "encoder.layer."),
    "mpnet": ("MPNet", {}, "embeddings.", "encoder.layer."),
    "modernbert": ("ModernBert", {"pad_token_id": 0}, "embeddings.", "layers."),
    "qwen3": ("Qwen3", {"num_key_value_heads": 1, "head_dim": 8}, "embed_tokens.", "layers."),
}


@pytest.fixture(params=ENCODERS)
def architecture(request):
    """A small encoder of random weights, and how its embeddings and layers are called."""
    name, options, embeddings, layers = ENCODERS[request.param]
    config = getattr(transformers, f"{name}Config")(**SMALL, **options)
    return getattr(transformers, f"{name}Model")(config), embeddings, layers


def test_embeddings_are_frozen_whatever_an_encoder_calls_them(architecture):
    encoder, embeddings, _ = architecture
    freeze(encoder, FreezeSettings(embeddings=True))
    frozen = [name for name, weight in encoder.named_parameters() if not weight.requires_grad]
    assert frozen == [name for name, _ in encoder.named_parameters() if name.startswith(embeddings)] != []


def test_layers_are_frozen_and_slowed_down_whatever_an_encoder_calls_them(architecture):
    encoder, embeddings, layers = architecture
    network = make_classifier(encoder, 3, pooling="mean", dropout=None, seed=0)
    rates = {
        name: group_of(network, f"encoder.{name}", learning_rate=1.0, layer_decay=0.5)["peak"]
        for name, _ in encoder.named_parameters()
    }
    for depth, start in enumerate((embeddings, *(f"{layers}{i}." for i in range(3)))):
        assert {rate for name, rate in rates.items() if name.startswith(start)} == {0.5 ** (3 - depth)}
    freeze(encoder, FreezeSettings(layers=2))
    frozen = {name for name, weight in encoder.named_parameters() if not weight.requires_grad}
    kept = (embeddings, f"{layers}0.", f"{layers}1.")
    assert frozen == {name for name in rates if name.startswith(kept)}


def test_dropout_reaches_attention_too(architecture):
    encoder, _, _ = architecture
    make_classifier(encoder, 3, pooling="mean", dropout=0.4, seed=0)
    shares = {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)}
    shares |= {module.attention_dropout for module in encoder.modules() if hasattr(module, "attention_dropout")}
    assert shares == {0.4}


def test_adapters_keep_their_own_dropout(folder, recwarn):
    encoder = add_lora(load_network(folder), LoraSettings(rank=2, dropout=0.3), seed=0)
    make_classifier(encoder, 3, pooling="mean", dropout=0.4, seed=0)
    shares = {name: module.p for name, module in encoder.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert {share for name, share in shares.items() if "lora" in name} == {0.3}
    assert {share for name, share in shares.items() if "lora" not in name} == {0.4}
    assert not [one for one in recwarn if issubclass(one.category, FutureWarning)]


def test_frozen_layers_have_no_adapters_that_move(folder):
    encoder = add_lora(load_network(folder), LoraSettings(rank=2), seed=0)
    freeze(encoder, FreezeSettings(layers=1, lora=LoraSettings(rank=2)))
    moving = [name for name, weight in encoder.named_parameters() if weight.requires_grad]
    assert moving
    assert all("layer.1." in name and "lora" in name for name in moving)


def test_freezing_more_layers_than_there_are_is_refused(folder):
    with pytest.raises(ConfigError, match="only 2 layers"):
        freeze(load_network(folder), FreezeSettings(layers=3))


def test_replayed_layers_give_the_scores_of_the_whole_encoder(folder, tokens):
    network = classifier(folder)
    expected = network(inputs_for(network, tokens.batch([3, 7])))
    whole = dict(network.state_dict())
    with replayed_layers(network, 1, [tokens]) as replay:
        assert len(network.encoder.encoder.layer) == 1
        inputs = inputs_for(network, tokens.batch([3, 7]))
        replay.feed(tokens, np.array([3, 7]), inputs["attention_mask"].shape[1])
        assert torch.allclose(network(inputs), expected, atol=1e-5)
    assert network.state_dict().keys() == whole.keys()
    assert torch.equal(network(inputs_for(network, tokens.batch([3, 7]))), expected)


def test_replay_too_large_for_memory_is_left_out(folder, tokens, monkeypatch):
    monkeypatch.setattr("stancelib.training.frozen.LIMIT_BYTES", 100)
    with replayed_layers(classifier(folder), 1, [tokens]) as replay:
        assert replay is None


def test_compact_vocabulary_changes_no_score_and_comes_back_whole(folder, tokens):
    network = classifier(folder)
    expected = network(inputs_for(network, tokens.batch([0, 1])))
    before = network.encoder.get_input_embeddings().weight.detach().clone()
    with compact_vocabulary(network.encoder, [tokens]) as [compact]:
        small = network.encoder.get_input_embeddings().weight
        assert len(small) == len(set(tokens.ids) | {0}) < len(before)
        assert torch.equal(network(inputs_for(network, compact.batch([0, 1]))), expected)
        with torch.no_grad():
            small += 1
    used = sorted(set(tokens.ids.tolist()) | {0})
    after = network.encoder.get_input_embeddings().weight.detach()
    unused = [i for i in range(len(before)) if i not in used]
    assert torch.equal(after[used], before[used] + 1)
    assert torch.equal(after[unused], before[unused])


def test_lora_moves_only_adapters_and_merges_to_the_plain_encoder(folder, tokens):
    network = classifier(folder)
    names = network.state_dict().keys()
    network.encoder = add_lora(network.encoder, LoraSettings(rank=2), seed=0)
    assert all("lora" in name for name, weight in network.encoder.named_parameters() if weight.requires_grad)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "lora_B" in name:
                weight += 0.1
    expected = network(inputs_for(network, tokens.batch([0, 1])))
    network.encoder = merge_lora(network.encoder)
    assert network.state_dict().keys() == names
    assert torch.allclose(network(inputs_for(network, tokens.batch([0, 1]))), expected, atol=1e-5)


def test_pooling_over_the_statement_takes_its_tokens_alone(folder, tokens):
    network, inputs = classifier(folder, pooling="statement"), tokens.batch([0, 1, 2])
    hidden = network.encoder(**{name: inputs[name] for name in ENCODER_INPUTS}).last_hidden_state
    expected = torch.stack([row[mask == 1].mean(0) for row, mask in zip(hidden, inputs["statement_mask"], strict=True)])
    assert torch.allclose(network(inputs), network.head(expected), atol=1e-5)


def test_evidence_is_marked_in_training_alone_and_forgotten_with_the_other_heads(folder, tokens):
    plain, network = classifier(folder), classifier(folder, marks_evidence=True)
    inputs = tokens.batch([0, 1])
    assert torch.equal(network(inputs), plain(inputs))
    scores, marked = network.train()(inputs)
    assert scores.shape == (2, 3)
    assert marked.shape == inputs["input_ids"].shape
    keep_outputs(network, 2)
    assert network(inputs).shape == (2, 2)
    assert not [name for name, _ in network.named_parameters() if name.startswith("evidence")]


def test_the_head_for_evidence_learns_as_fast_as_the_labels_head(folder):
    network = classifier(folder, marks_evidence=True)
    assert group_of(network, "evidence.weight", head_learning_rate=0.5)["peak"] == 0.5
