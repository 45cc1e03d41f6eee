"""How much label noise does each family find? One label in twenty of the shipped train split is moved at random.

usage: python experiments/0011_label_noise/measure.py FAMILY SEED …
"""

import sys
import time
from dataclasses import replace

import numpy as np

from stancelib.data.statements import statements
from stancelib.evaluation.label_noise import label_noise
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.hybrid import Hybrid
from stancelib.models.tfidf import Tfidf
from stancelib.schema import TRAIN, Predictions

FAMILIES = {"tfidf": Tfidf, "hybrid": Hybrid, "cross_encoder": CrossEncoder}
FRACTION = 0.05
TOPS = (0.05, 0.1, 0.2)


def planted(clean, seed):
    """The statements with one label in twenty moved, and which those are."""
    random = np.random.default_rng(seed)
    wrong = random.choice(len(clean), round(len(clean) * FRACTION), replace=False)
    gold = clean.gold.copy()
    gold[wrong] = (gold[wrong] + 1 + random.integers(len(clean.labels) - 1, size=len(wrong))) % len(clean.labels)
    return replace(clean, label_ids=gold), wrong


def main(name: str, seeds: list[int]) -> None:
    """Print the share of planted labels among the most suspicious ones, and of the right labels suggested for them."""
    clean = statements().split(TRAIN)

    def fit(train):
        model = FAMILIES[name]().fit(train)
        return lambda others: Predictions(others, model.labels_, model.predict_proba(others))

    print("family,seed,accuracy,recall_5,recall_10,recall_20,suggested_right,seconds", flush=True)
    for seed in seeds:
        noisy, wrong = planted(clean, seed)
        began = time.perf_counter()
        found = label_noise(noisy, fit, seed=seed)
        seconds = time.perf_counter() - began
        recalls = [np.isin(wrong, found.order[: round(len(clean) * top)]).mean() for top in TOPS]
        accuracy = (found.predictions.label_ids == clean.gold).mean()
        suggested = (found.suggested[wrong] == clean.gold[wrong]).mean()
        values = (accuracy, *recalls, suggested)
        print(f"{name},{seed},{','.join(f'{value:.3f}' for value in values)},{seconds:.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [int(seed) for seed in sys.argv[2:]] or [0])
