"""Fits `cross_encoder` from several seeds that start from the same head, and averages their weights.

usage: python soup.py FOLDER SEED …    fit what is missing in FOLDER, a folder a seed
       python soup.py FOLDER           scores of each, of their mean weights, and of their mean probabilities
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, log_loss

from stancelib.data.statements import statements
from stancelib.models import cross_encoder
from stancelib.models.cross_encoder import CrossEncoder


def fit(folder: Path, seeds: list[int]) -> None:
    """Every fit has its own order of statements and its own dropout, but the head's first weights of seed 0."""
    make = cross_encoder.make_classifier
    cross_encoder.make_classifier = lambda *args, **options: make(*args, **(options | {"seed": 0}))
    corpus = statements()
    for seed in seeds:
        place = folder / f"s{seed}"
        if place.exists():
            continue
        began = time.perf_counter()
        model = CrossEncoder(seed=seed).fit(corpus.split("train"), corpus.split("validation"))
        place.mkdir(parents=True)
        model.save(place)
        print(f"seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)


def soup(models: list[CrossEncoder]) -> CrossEncoder:
    """The last of the models, with the mean of all weights."""
    weights = [model.network_.state_dict() for model in models]
    models[-1].network_.load_state_dict(
        {name: sum(one[name].float() for one in weights) / len(weights) for name in weights[0]}
    )
    return models[-1]


def score(folder: Path) -> None:
    """Macro-F1 and log loss on both splits; soups of the first two, three and so on, in the order of the seeds."""
    corpus = statements()
    parts = {name: corpus.split(name) for name in ("validation", "test")}
    places = sorted(folder.glob("s*"))
    single = [
        {split: CrossEncoder.load(place).predict_proba(part) for split, part in parts.items()} for place in places
    ]
    found = {place.name: answers for place, answers in zip(places, single, strict=True)}
    for n in range(2, len(places) + 1):
        model = soup([CrossEncoder.load(place) for place in places[:n]])
        found[f"soup of {n}"] = {split: model.predict_proba(part) for split, part in parts.items()}
        found[f"ensemble of {n}"] = {split: np.mean([one[split] for one in single[:n]], axis=0) for split in parts}
    print("system,validation/macro_f1,validation/log_loss,test/macro_f1,test/log_loss")
    for name, answers in found.items():
        numbers = [
            number
            for split, part in parts.items()
            for number in (
                f1_score(part.gold, answers[split].argmax(1), average="macro"),
                log_loss(part.gold, answers[split]),
            )
        ]
        print(name, *(f"{number:.4f}" for number in numbers), sep=",")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    chosen = [int(seed) for seed in sys.argv[2:]]
    if chosen:
        fit(Path(sys.argv[1]), chosen)
    else:
        score(Path(sys.argv[1]))
