"""Scores with 8, 16 and 64 statements per label, each family from the plain encoder and from a fine-tuned one.

Goes on where it stopped: a row that is in the file already isn't fitted again.
usage: python few_shot.py RESULTS.csv FINE_TUNED_RUN SEED …
"""

import csv
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from stancelib.data.statements import statements
from stancelib.models.contrastive import Contrastive
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.tfidf import Tfidf
from stancelib.training.encoders import MINILM, EncoderSettings
from stancelib.training.pairs import PairSettings
from stancelib.training.settings import LoopSettings

SIZES = (8, 16, 64)
N_EXAMPLES = 3200  # of a fine-tuning, however few statements there are: 200 steps
COLUMNS = ("family", "encoder", "per_label", "seed", "validation_macro_f1", "test_macro_f1", "seconds")


def drawn(train, n, seed):
    """``n`` statements of every label, drawn at random; larger draws of a seed hold the smaller ones."""
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(train.gold == label))[:n] for label in range(len(train.labels))]
    return train.take(np.sort(np.concatenate(rows)))


def made(family, encoder, n_statements, seed):
    """An unfitted model, with as many epochs as it takes to see ``N_EXAMPLES``."""
    settings = EncoderSettings(name=encoder)
    if family == "tfidf":
        return Tfidf()
    if family == "contrastive":
        return Contrastive(encoder=settings, pairs=PairSettings(at_most=N_EXAMPLES // 2), seed=seed)
    loop = LoopSettings(epochs=max(2, round(N_EXAMPLES / n_statements)))
    return CrossEncoder(encoder=settings, loop=loop, seed=seed)


def main(results: Path, fine_tuned: str, seeds: list[int]) -> None:
    """Fit and score what is missing in ``results``."""
    warnings.simplefilter("ignore")
    corpus = statements()
    train, judged = corpus.split("train"), [corpus.split(name) for name in ("validation", "test")]
    is_new = not results.exists()
    done = set() if is_new else {tuple(row[:4]) for row in csv.reader(results.open(encoding="utf-8"))}
    with results.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        encoders = {"plain": MINILM, "taught": fine_tuned}
        kinds = [("tfidf", "")] + [(family, name) for family in ("contrastive", "cross_encoder") for name in encoders]
        for seed, n, (family, encoder) in [(s, n, kind) for s in seeds for n in SIZES for kind in kinds]:
            key = (family, encoder, str(n), str(seed))
            if key in done:
                continue
            few = drawn(train, n, seed)
            began = time.perf_counter()
            model = made(family, encoders.get(encoder, ""), len(few), seed).fit(few)
            seconds = time.perf_counter() - began
            scores = [f1_score(part.gold, model.predict_proba(part).argmax(1), average="macro") for part in judged]
            writer.writerow((*key, *(f"{score:.4f}" for score in scores), f"{seconds:.0f}"))
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(seed) for seed in sys.argv[3:]] or list(range(5)))
