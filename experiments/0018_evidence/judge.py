"""Scores of trained runs, of the mean of their weights and of the mean of their probabilities, on validation and test.

usage: python judge.py RUN …    each system at the temperature that is best for it on validation
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, log_loss

from stancelib.data.statements import statements
from stancelib.evaluation.calibration import apply_temperature, fit_temperature
from stancelib.inference import load
from stancelib.models.base import Member
from stancelib.models.soup import Soup
from stancelib.schema import Statements

SPLITS = ("validation", "test")


def both_right(part: Statements, answers: np.ndarray) -> float:
    """The share of texts with several targets of which every reading is right."""
    readings: dict[str, list[bool]] = {}
    for text, right in zip(part.texts, answers == part.gold, strict=True):
        readings.setdefault(text, []).append(bool(right))
    return float(np.mean([all(found) for found in readings.values() if len(found) > 1]))


def main(runs: list[Path]) -> None:
    """Print a line of CSV for every system, and write the probabilities of each beside the first run."""
    corpus = statements()
    parts = {split: corpus.split(split) for split in SPLITS}
    models = {run.name: load(run).bundle.model for run in runs}
    soup = Soup(members=[Member(model, corpus.labels) for model in models.values()]).fit(corpus.split("train"))
    said = {
        name: {s: model.predict_proba(parts[s]) for s in SPLITS} for name, model in (models | {"soup": soup}).items()
    }
    said["ensemble"] = {s: np.mean([said[name][s] for name in models], axis=0) for s in SPLITS}
    np.savez(runs[0].parent / "probabilities.npz", **{f"{n}/{s}": said[n][s] for n in said for s in SPLITS})
    print("system", *(f"{s}/{score}" for s in SPLITS for score in ("macro_f1", "log_loss", "both_right")), sep=",")
    for name, found in said.items():
        temperature = fit_temperature(parts["validation"].gold, found["validation"])
        numbers = []
        for split, part in parts.items():
            scaled = apply_temperature(found[split], temperature)
            answers = scaled.argmax(1)
            numbers += [
                f1_score(part.gold, answers, average="macro"),
                log_loss(part.gold, scaled),
                both_right(part, answers),
            ]
        print(name, *(f"{number:.4f}" for number in numbers), sep=",", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main([Path(run) for run in sys.argv[1:]])
