"""Which defaults should `model=cross_encoder` have? Variants, judged on four authors that they have not read.

Reads the files train and validation of the shipped corpus and never the test file.
usage: python choose.py [VARIANT or VARIANT@SEED …]
"""

import json
import sys
import time
from collections import defaultdict
from dataclasses import replace

import numpy as np
from sklearn.metrics import f1_score

from stancelib.data.further import keep_further
from stancelib.data.statements import statements
from stancelib.models.base import learn_auxiliary
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.schema import Statements
from stancelib.training.encoders import EncoderSettings
from stancelib.training.settings import (
    AugmentSettings,
    FreezeSettings,
    LoopSettings,
    LossSettings,
    OptimizerSettings,
)

AUTHORS = "BEHL"  # two of each tranche
PLAIN = {
    "encoder": EncoderSettings(pooling="mean"),
    "loop": LoopSettings(epochs=4),
    "optimizer": OptimizerSettings(learning_rate=1e-4),
    "loss": LossSettings(),
    "augment": AugmentSettings(),
}
AVERAGED = OptimizerSettings(learning_rate=1e-4, average_decay=0.995)
SMOOTH = {"optimizer": AVERAGED, "loss": LossSettings(label_smoothing=0.1), "loop": LoopSettings(epochs=3)}
JOINED = PLAIN | SMOOTH | {"augment": AugmentSettings(joined=0.25)}
FASTER, FASTEST = (replace(AVERAGED, learning_rate=rate) for rate in (2e-4, 3e-4))
VARIANTS = {
    "plain": PLAIN,
    "natural": PLAIN,
    "joined": JOINED,
    "joined, 2 layers frozen": JOINED | {"freeze": FreezeSettings(layers=2)},
    "joined, 3e-4, 2 epochs": JOINED | {"optimizer": FASTEST, "loop": LoopSettings(epochs=2)},
    "joined, contrasts, 2e-4, 2 epochs": JOINED
    | {
        "optimizer": replace(FASTER, average_decay=0.99),
        "augment": AugmentSettings(joined=0.25, contrasts=2),
        "loop": LoopSettings(epochs=2),
    },
    "evidence, further labels, statement": {},
    "evidence, statement": {},
    "evidence, further labels": {"encoder": EncoderSettings(pooling="mean")},
    "further labels": {"encoder": EncoderSettings(pooling="mean"), "loss": LossSettings(label_smoothing=0.1)},
    "joined, contrasts, 2e-4": JOINED | {"optimizer": FASTER, "augment": AugmentSettings(joined=0.25, contrasts=2)},
}


def judge(model: CrossEncoder, part: Statements) -> dict[str, float]:
    """Macro-F1 overall, by tranche and by author, the share of two-target texts read right, and the log loss."""
    probabilities = model.predict_proba(part)
    gold, found = part.gold, probabilities.argmax(1)

    def score(rows: np.ndarray) -> float:
        return round(float(f1_score(gold[rows], found[rows], average="macro")), 4)

    tranche, author = np.array(part.columns["tranche"]), np.array(part.columns["author"])
    pairs = defaultdict(list)
    for text, right in zip(part.texts, gold == found, strict=True):
        pairs[text].append(right)
    both = [all(halves) for halves in pairs.values() if len(halves) > 1]
    loss = -np.log(np.maximum(probabilities[np.arange(len(gold)), gold], 1e-9)).mean()
    scores = {"macro_f1": score(gold >= 0), "pairs": round(float(np.mean(both)), 3), "log_loss": round(float(loss), 3)}
    scores |= {name: score(tranche == name) for name in ("natural", "tricky")}
    return scores | {name: score(author == name) for name in np.unique(author)}


def rows_of(part: Statements, *, left_out: bool) -> list[int]:
    """Statements of the authors left out, or of the others."""
    return [row for row, author in enumerate(part.columns["author"]) if (author in AUTHORS) == left_out]


def main(names: list[str]) -> None:
    """Fit each variant and print its scores on authors it has read and on the four others."""
    corpus = statements()
    train, validation = corpus.split("train"), corpus.split("validation")
    both = Statements.concatenate([train, validation])
    for name in names:
        known, seen, unseen = (
            part.take(rows_of(part, left_out=is_left_out))
            for part, is_left_out in ((train, False), (validation, False), (both, True))
        )
        variant, _, seed = name.partition("@")
        if variant == "natural":
            known = known.take([row for row, value in enumerate(known.columns["tranche"]) if value == "natural"])
        began = time.perf_counter()
        model = CrossEncoder(**VARIANTS[variant], seed=int(seed or 0))
        if "further labels" in variant:
            learn_auxiliary(model, keep_further(corpus, lambda part: rows_of(part, left_out=False)))
        model.fit(known, seen)
        seconds = round(time.perf_counter() - began)
        found = {"variant": name, "seconds": seconds, "seen": judge(model, seen), "unseen": judge(model, unseen)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(VARIANTS))
