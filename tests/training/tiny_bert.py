"""A two-layer BERT with random weights and a word vocabulary, and statements it can learn, for fast tests."""

import json

import numpy as np

from stancelib.labels import LabelSet
from stancelib.schema import Statements

LABELS = LabelSet(("yes", "no", "maybe"))
CUES = {"yes": ("agreed", "fine", "gladly"), "no": ("never", "refused", "out"), "maybe": ("if", "unless", "provided")}
FILLER = ("we", "the", "plan", "talks", "they", "said", "today", "border", "truce", "vote", "river", "bill")


def make_tiny_encoder(folder, *, n_layers=2, dropout=0.0, seed=0):
    """Write an encoder into a new folder and return that folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLER, *(cue for cues in CUES.values() for cue in cues)]
    words += list("abcdefghijklmnopqrstuvwxyz.,?!")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=n_layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BertModel(config)
    network.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"
    return folder


def make_statements(n, *, seed=0, targets=("the truce", "the bill", None)):
    """``n`` statements whose label is the cue word they hold."""
    rng = np.random.default_rng(seed)
    label_ids = np.arange(n) % len(LABELS)
    texts = []
    for label_id in label_ids:
        words = list(rng.choice(FILLER, size=rng.integers(2, 9)))
        words.insert(int(rng.integers(len(words) + 1)), str(rng.choice(CUES[LABELS.names[label_id]])))
        texts.append(" ".join(words))
    return Statements(texts, [targets[i % len(targets)] for i in range(n)], LABELS, label_ids)


def odd_statements():
    """One character, ten thousand, another script, an empty and an absent target."""
    texts = [
        "a",
        "we refused the plan " * 500,
        "Мы согласны при одном условии",
        "条件付きで賛成",
        "we agreed",
        "we agreed",
    ]
    return Statements(texts, ["the truce", "the truce", "перемирие", "停戦", "", None])
