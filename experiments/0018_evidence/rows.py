"""Training rows of many variants from the shipped corpus: token ids, segments, evidence, label and phenomena.

usage: python rows.py FOLDER    writes FOLDER/rows.npz and FOLDER/encoder.npz; all that search.py reads

Only the files train and validation are read. The encoder's weights are rounded to float16, its word embeddings reduced
to the tokens that occur.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from stancelib.data.statements import folder as corpus_folder
from stancelib.training.encoders import MINILM, find_encoder, load_tokenizer

LABELS = ("conditional-accept", "reject", "propose", "accept", "none")
N_CORE, LONGEST = 3, 128
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


def write(place: Path) -> None:
    """Tokenise both splits, and keep of the encoder what they need."""
    rows = [
        json.loads(line) | {"split": split}
        for split in ("train", "validation")
        for line in (corpus_folder() / f"{split}.jsonl").open(encoding="utf-8")
    ]
    source = find_encoder(MINILM)
    tokenizer = load_tokenizer(source, 512)
    tokenizer.no_truncation()
    texts = [tokenizer.encode(row["text"], add_special_tokens=False) for row in rows]
    targets = [tokenizer.encode(row["target"], add_special_tokens=False).ids for row in rows]
    special = [tokenizer.token_to_id(name) for name in SPECIAL]
    kept = np.unique([*special, *(i for text in texts for i in text.ids), *(i for target in targets for i in target)])
    names = sorted({name for row in rows for name in row["phenomena"]})

    def flat(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate(lists).astype(np.int32), np.cumsum([0, *map(len, lists)])

    def numbered(column: str) -> np.ndarray:
        return np.unique([row[column] for row in rows], return_inverse=True)[1]

    text_ids, text_starts = flat([np.searchsorted(kept, text.ids) for text in texts])
    target_ids, target_starts = flat([np.searchsorted(kept, target) for target in targets])
    arrays = {
        "text": text_ids,
        "text_starts": text_starts,
        "target": target_ids,
        "target_starts": target_starts,
        "span": np.concatenate([_span(row, text.offsets) for row, text in zip(rows, texts, strict=True)]),
        "label": np.array([LABELS.index(row["label"]) for row in rows]),
        "tricky": np.array([row["tranche"] == "tricky" for row in rows]),
        "validation": np.array([row["split"] == "validation" for row in rows]),
        "phenomena": np.array([[name in row["phenomena"] for name in names] for row in rows], np.float32),
        "special": np.searchsorted(kept, special),
    }
    arrays |= {
        name: numbered(column) for name, column in (("group", "group"), ("target_id", "target"), ("text_id", "text"))
    }
    np.savez(place / "rows.npz", **arrays)
    weights = {name: value.astype(np.float16) for name, value in load_file(source / "model.safetensors").items()}
    weights = {name: value for name, value in weights.items() if "pooler" not in name and "position_ids" not in name}
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][kept]
    weights["embeddings.position_embeddings.weight"] = weights["embeddings.position_embeddings.weight"][:LONGEST]
    np.savez(place / "encoder.npz", **weights)


def _span(row: dict, offsets: list[tuple[int, int]]) -> np.ndarray:
    begin = row["text"].find(row["condition"]) if row["condition"] else len(row["text"])
    end = begin + len(row["condition"])
    return np.array([first < end and last > begin for first, last in offsets], np.int32)


class Rows:
    """The corpus as ``write`` left it."""

    def __init__(self, place: Path) -> None:
        self.arrays = dict(np.load(place / "rows.npz"))
        self.label, self.group = self.arrays["label"], self.arrays["group"]
        self.pad, self.cls, self.sep, self.mask = self.arrays["special"].tolist()
        self.core = np.flatnonzero(self.label < N_CORE)

    def _part(self, name: str, row: int) -> slice:
        starts = self.arrays[f"{name}_starts"]
        return slice(starts[row], starts[row + 1])

    def tokens(self, row: int, behind: int | None = None, target: int | None = None, *, dropped: bool = False) -> tuple:
        """Padded ids, segments and evidence, and the length, of a statement towards the target of ``target``.

        ``behind``: another statement, joined to it; ``dropped``: without its evidence.
        """
        own = row if target is None else target
        ids, span = [], []
        for one in (row,) if behind is None else (row, behind):
            part = self._part("text", one)
            marks = self.arrays["span"][part]
            keep = marks == 0 if dropped else marks >= 0
            ids.append(self.arrays["text"][part][keep])
            span.append(marks[keep] * (one == own))
        aim = self.arrays["target"][self._part("target", own)]
        text, marks = (np.concatenate(parts)[: LONGEST - 3 - len(aim)] for parts in (ids, span))
        middle, n = len(aim) + 2, len(aim) + len(text) + 3
        padded = np.full(LONGEST, self.pad, np.int16)
        padded[:n] = [self.cls, *aim, self.sep, *text, self.sep]
        segments, evidence = np.zeros(LONGEST, np.int8), np.zeros(LONGEST, np.int8)
        segments[middle:n], evidence[middle : n - 1] = 1, marks
        return padded, segments, evidence, n

    def training_rows(self, rows: np.ndarray, variant: dict, rng: np.random.Generator) -> list[tuple]:
        """What a variant learns from: (*tokens, label, phenomena, whether these are known)."""
        n_labels, ids = variant["n_labels"], self.arrays
        known = [row for row in rows if self.label[row] < n_labels]
        readings: dict[int, set] = {}
        for row in known:
            readings.setdefault(ids["text_id"][row], set()).add((ids["target_id"][row], self.label[row]))
        contrasts = [
            row
            for row in known
            if any(t != ids["target_id"][row] and k != self.label[row] for t, k in readings[ids["text_id"][row]])
        ]
        base, none = known + contrasts * 2, np.zeros(ids["phenomena"].shape[1], np.float32)
        found = [(*self.tokens(row), self.label[row], ids["phenomena"][row], 1.0) for row in base]
        order = [base[i] for i in rng.permutation(len(base))]
        twos = list(zip(order[0::2], order[1::2], strict=False))[: int(variant["joined"] * len(base) / 2)]
        for first, second in twos:
            if ids["target_id"][first] != ids["target_id"][second]:
                found += [(*self.tokens(first, second, own), self.label[own], none, 0.0) for own in (first, second)]
        for _ in range(int(variant["mismatched"] * len(known))):  # a statement towards a target that it says nothing of
            row, other = rng.choice(known, 2, replace=False)
            if self.group[row] != self.group[other]:
                found.append((*self.tokens(row, target=other), LABELS.index("none"), none, 0.0))
        conditional = [row for row in known if self.label[row] == 0]
        for row in rng.permutation(conditional)[: int(variant["dropped"] * len(conditional))]:
            found.append((*self.tokens(row, dropped=True), LABELS.index("accept"), none, 0.0))
        return found

    def score(self, probabilities: np.ndarray) -> dict[str, float]:
        """Macro-F1 and log loss over the core labels, macro-F1 by tranche, share of two-target texts read right."""
        said = probabilities[self.core, :N_CORE]
        said = said / said.sum(1, keepdims=True)
        gold, answers = self.label[self.core], said.argmax(1)
        by_text: dict[int, list[int]] = {}
        for i, row in enumerate(self.core):
            by_text.setdefault(self.arrays["text_id"][row], []).append(i)
        target = self.arrays["target_id"][self.core]
        twos = [rows for rows in by_text.values() if len(set(target[rows])) > 1 and len(set(gold[rows])) > 1]
        tricky = self.arrays["tricky"][self.core]
        return {
            "macro_f1": _macro_f1(gold, answers),
            "log_loss": float(-np.log(np.maximum(said[np.arange(len(gold)), gold], 1e-12)).mean()),
            "tricky": _macro_f1(gold[tricky], answers[tricky]),
            "natural": _macro_f1(gold[~tricky], answers[~tricky]),
            "both_right": float(np.mean([(gold[rows] == answers[rows]).all() for rows in twos])),
        }


def _macro_f1(gold: np.ndarray, answers: np.ndarray) -> float:
    hits = [((answers == k) & (gold == k)).sum() for k in range(N_CORE)]
    sizes = [(answers == k).sum() + (gold == k).sum() for k in range(N_CORE)]
    return float(np.mean([2 * hit / max(1, size) for hit, size in zip(hits, sizes, strict=True)]))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
