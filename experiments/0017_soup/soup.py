"""Fits `cross_encoder` with several seeds, from the same head or each from its own, and averages their weights.

usage: python soup.py FOLDER same|own SEED …    fit what is missing in FOLDER, a folder a seed
       python soup.py FOLDER [calibrated]       scores of each, of their mean weights, and of their mean probabilities
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, log_loss

from stancelib.data.statements import statements
from stancelib.evaluation.calibration import apply_temperature, fit_temperature
from stancelib.models import cross_encoder
from stancelib.models.cross_encoder import CrossEncoder


def fit(folder: Path, head: str, seeds: list[int]) -> None:
    """Every fit has its own order of statements and its own dropout, and maybe the head's first weights of seed 0."""
    make = cross_encoder.make_classifier
    if head == "same":
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


def score(folder: Path, *, calibrated: bool) -> None:
    """Scores on both splits; soups of the first two, three and so on, in the order of the seeds.

    Calibrated, the log loss is that at the temperature which is best on validation.
    """
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
        temperature = fit_temperature(parts["validation"].gold, answers["validation"]) if calibrated else 1.0
        answers = {split: apply_temperature(said, temperature) for split, said in answers.items()}
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
    place, *rest = sys.argv[1:]
    if rest and rest[0] in ("same", "own"):
        fit(Path(place), rest[0], [int(seed) for seed in rest[1:]])
    else:
        score(Path(place), calibrated=rest == ["calibrated"])
