"""The network that is trained: an encoder, its pooling and a linear head, and which of their weights move.

Shapes: B rows in a batch, T tokens, D dimensions, K labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from stancelib.errors import ConfigError, require
from stancelib.training.batching import TokenRows
from stancelib.training.settings import FreezeSettings, LoraSettings, OptimizerSettings
from stancelib.training.vectors import pool

ENCODER_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
_NO_SEGMENTS = ("mpnet", "distilbert", "modernbert")


def make_classifier(
    encoder: Any, n_outputs: int, *, pooling: str, dropout: float | None, seed: int, marks_evidence: bool = False
) -> Any:
    """A torch module from tokens to scores, shape (n_rows, n_outputs); 0 outputs give the pooled vectors.

    In training it also gives each token's log-odds of being evidence, where it has a head for that: (n_rows, n_tokens).

    Args:
        encoder: The module that ``load_network`` returns; it becomes part of this one.
        n_outputs: Labels.
        pooling: See ``EncoderSettings``.
        dropout: Of every dropout layer but those of adapters, and of attention; None keeps the encoder's own.
        seed: For the heads' weights.
        marks_evidence: Give it a head for evidence.
    """
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.dropout = torch.nn.Dropout(dropout or 0.0)
            self.head = torch.nn.Linear(encoder.config.hidden_size, n_outputs) if n_outputs else torch.nn.Identity()
            self.evidence: torch.nn.Module | None = None

        def forward(self, inputs: dict[str, Any]) -> Any:
            hidden_BTD = self.encoder(**encoder_inputs(inputs)).last_hidden_state
            pooled = inputs["statement_mask" if pooling == "statement" else "attention_mask"]
            scores = self.head(self.dropout(pool(hidden_BTD, pooled, pooling)))
            if self.evidence is None or not self.training:
                return scores
            return scores, self.evidence(hidden_BTD)[:, :, 0]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier()
        if n_outputs:
            torch.nn.init.normal_(network.get_parameter("head.weight"), std=0.02)
            torch.nn.init.zeros_(network.get_parameter("head.bias"))
        if marks_evidence:
            network.evidence = torch.nn.Linear(encoder.config.hidden_size, 1)
            torch.nn.init.normal_(network.evidence.weight, std=0.02)
            torch.nn.init.zeros_(network.evidence.bias)
    if dropout is not None:
        _set_dropout(encoder, dropout)
    return network


def _set_dropout(encoder: Any, dropout: float) -> None:
    """Also where attention keeps its share as a plain number; adapters have a dropout of their own."""
    import torch

    for name, module in encoder.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_dropout" not in name:
            module.p = dropout
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = dropout


def keep_outputs(network: Any, n_outputs: int) -> None:
    """Forget the scores of all but the first labels, which are the main task's, and what marks evidence."""
    import torch

    old = network.head
    head = torch.nn.Linear(old.in_features, n_outputs, device="meta").to_empty(device=old.weight.device)
    with torch.no_grad():
        head.weight.copy_(old.weight[:n_outputs])
        head.bias.copy_(old.bias[:n_outputs])
    network.head = head
    network.evidence = None


def inputs_for(network: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch on the network's device, without segments where the encoder has none."""
    config = network.encoder.config
    if config.model_type in _NO_SEGMENTS or getattr(config, "type_vocab_size", 0) < 2:
        batch = {name: tensor for name, tensor in batch.items() if name != "token_type_ids"}
    device = next(network.parameters()).device
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def encoder_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """Those of the inputs that an encoder takes."""
    return {name: tensor for name, tensor in inputs.items() if name in ENCODER_INPUTS}


def encoder_layers(encoder: Any) -> Any:
    """The encoder's stack of layers.

    Raises:
        ConfigError: If it has none that can be told apart.
    """
    layers = _layers_or_none(encoder)
    if layers is None:
        raise ConfigError(
            f"the layers of a '{encoder.config.model_type}' encoder can't be told apart; set freeze.layers to 0."
        )
    return layers


def _layers_or_none(encoder: Any) -> Any:
    import torch

    for module in encoder.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == encoder.config.num_hidden_layers:
            return module
    return None


def embeddings_of(encoder: Any) -> Any:
    """The largest part of the encoder that holds its word embeddings and none of its layers.

    In some encoders these are the word embeddings alone, in others also those of positions and segments, and a norm.
    """
    words, layers = encoder.get_input_embeddings(), _layers_or_none(encoder)
    if layers is None:
        return getattr(encoder, "embeddings", words)
    for module in encoder.modules():  # each before its children
        inside = set(module.modules())
        if words in inside and layers not in inside:
            return module
    raise AssertionError("an encoder holds its own word embeddings")


def freeze(encoder: Any, settings: FreezeSettings) -> None:
    """Keep these weights as they are; frozen layers run without dropout, so that their output can be kept too.

    Raises:
        ConfigError: If the encoder has fewer layers.
    """
    if settings.embeddings or settings.layers:
        embeddings_of(encoder).requires_grad_(False)
    if not settings.layers:
        return
    layers = encoder_layers(encoder)
    if settings.layers > len(layers):
        raise ConfigError(f"freeze.layers is {settings.layers}, but the encoder has only {len(layers)} layers.")
    for layer in layers[: settings.layers]:
        layer.requires_grad_(False)


def training_mode(network: Any) -> None:
    """Dropout on where weights move, off in what is frozen."""
    network.train()
    for module in network.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


def add_lora(encoder: Any, settings: LoraSettings, seed: int) -> Any:
    """The encoder with adapters on every linear layer; nothing else of it moves."""
    peft = require("peft", "torch")
    import torch

    config = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules="all-linear"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # peft asks in an old way
            return peft.get_peft_model(encoder, config)


def merge_lora(encoder: Any) -> Any:
    """The plain encoder, the adapters' updates added to its weights."""
    return encoder.merge_and_unload() if hasattr(encoder, "merge_and_unload") else encoder


def parameter_groups(network: Any, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Parameter groups of AdamW: by depth, and with or without decay.

    Each carries its ``peak`` learning rate, reached at the end of the warm-up. Where the encoder's layers can't be told
    apart, they all have that of the topmost.
    """
    layers = list(_layers_or_none(network.encoder) or ())
    embeddings = set(embeddings_of(network.encoder).parameters())
    depths = {weight: depth for depth, layer in enumerate(layers, start=1) for weight in layer.parameters()}
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, weight in network.named_parameters():
        if not weight.requires_grad:
            continue
        is_embedding = weight in embeddings or "embeddings" in name  # some have further ones, of distances
        depth = 0 if is_embedding else depths.get(weight, len(layers))
        peak = settings.learning_rate * settings.layer_decay ** (len(layers) - depth)
        if name.startswith(("head.", "evidence.")):
            peak = settings.head_learning_rate or settings.learning_rate
        decay = settings.weight_decay if weight.ndim > 1 and not is_embedding else 0.0
        group = groups.setdefault((peak, decay), {"params": [], "peak": peak, "lr": peak, "weight_decay": decay})
        group["params"].append(weight)
    return list(groups.values())


@contextmanager
def compact_vocabulary(encoder: Any, all_rows: list[TokenRows]) -> Iterator[list[TokenRows]]:
    """Inside the block, the word embeddings have only the rows that occur; afterwards all of them again.

    A row that never occurs has no gradient, and embeddings have no decay, so training can't move it: leaving it
    out changes nothing but the time the optimizer takes and the size of a checkpoint.

    Yields:
        The same rows in the ids of the smaller table; unchanged where the embeddings are frozen.
    """
    import numpy as np
    import torch

    whole = encoder.get_input_embeddings()
    if not whole.weight.requires_grad:
        yield all_rows
        return
    # Ids up to the padding id stay what they are: some encoders count positions from it.
    lowest = np.arange(all_rows[0].padding_id + 1)
    kept = np.unique(np.concatenate([lowest, *(rows.ids for rows in all_rows)]))
    new_ids = np.zeros(whole.num_embeddings, np.int32)
    new_ids[kept] = np.arange(len(kept))
    where = torch.from_numpy(kept).to(whole.weight.device)
    weight = whole.weight.detach()[where].clone()
    small = torch.nn.Embedding(len(kept), whole.embedding_dim, padding_idx=whole.padding_idx, _weight=weight)
    encoder.set_input_embeddings(small)
    try:
        yield [replace(rows, ids=new_ids[rows.ids]) for rows in all_rows]
    finally:
        with torch.no_grad():
            whole.weight[where] = small.weight
        encoder.set_input_embeddings(whole)
