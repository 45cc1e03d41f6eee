"""Variants of fine-tuning, each judged on five folds of the files train and validation; groups stay whole.

usage: python search.py FOLDER [ROUND …]    FOLDER as rows.py wrote it; one line of JSON for each variant and seed
"""

import json
import sys
from pathlib import Path

import numpy as np
from bank import average_seeds, fit, predict, read_masked
from rows import N_CORE, Rows

N_FOLDS = 5
PLAIN = {
    "learning": 2e-4,
    "head": 1e-3,
    "average": 0.99,
    "smoothing": 0.1,
    "evidence": 0,
    "phenomena": 0,
    "masked": 0,
    "joined": 0.25,
    "mismatched": 0,
    "dropped": 0,
}
BY_WEIGHT = [{"evidence": weight} for weight in (0.3, 1, 3)]
TOLD = [{"phenomena": 0.1}, {"phenomena": 0.3}, {"phenomena": 0.1, "evidence": 1}]
REST = [{"masked": 0.1}, {"masked": 0.2}, {"smoothing": 0}, {"smoothing": 0.2}]
FURTHER = [
    *({}, {"evidence": 1}, {"mismatched": 0.1}, {"mismatched": 0.3}, {"dropped": 0.5}, {"dropped": 0.5, "evidence": 1}),
    *({"dropped": 0.5, "evidence": 1, "mismatched": 0.2, "masked": 0.1}, {"phenomena": 0.1}),
]
THREE = [{"evidence": 3, "seed": seed} for seed in range(3)]
BOTH = [
    *({"evidence": 1}, {"evidence": 1, "seed": 1}, *THREE, {"evidence": 10}),
    *({"evidence": 3} | one for one in ({"joined": 0.5}, {"joined": 1}, {"smoothing": 0.2}, {"dropped": 0.3})),
    *({"evidence": 3, "learning": 3e-4}, {"evidence": 3, "head": 3e-3}),
]
LONGER = [*THREE[:2], {"evidence": 3, "learning": 1.2e-4}, {"evidence": 3, "dropped": 0.3, "masked": 0.05}]
ROUNDS = {  # labels, epochs, pooling, and what differs from PLAIN
    "three labels": (3, 2, "mean", [{}, {"seed": 1}, *BY_WEIGHT, *TOLD, *REST]),
    "five labels": (5, 2, "mean", FURTHER),
    "statement": (3, 2, "statement", [{}, {"seed": 1}, {"evidence": 1}]),
    "last three layers": (3, 2, "last three layers", [{}, {"seed": 1}, {"evidence": 1}]),
    "masked-language training first": (3, 2, "mean", [{}, {"seed": 1}, {"evidence": 1}]),
    "last layer drawn anew": (3, 2, "mean", [{}, {"seed": 1}]),
    "five labels, statement": (5, 2, "statement", BOTH),
    "five labels, evidence pooled": (5, 2, "statement and evidence", [*THREE[:2], {"evidence": 10}]),
    "five labels, mean": (5, 2, "mean", [*THREE, {"evidence": 10}, {"evidence": 3, "joined": 0.5}]),
    "five labels, statement, three epochs": (5, 3, "statement", LONGER),
}


def _anew(name: str, value: np.ndarray) -> np.ndarray:
    """Weights as before any training: norms are the identity, biases 0."""
    if "LayerNorm" in name:
        return np.full_like(value, name.endswith("weight"))
    drawn = np.random.default_rng(0).normal(scale=0.02, size=value.shape).astype(value.dtype)
    return drawn if name.endswith("weight") else np.zeros_like(value)


def main(place: Path, names: list[str]) -> None:
    """Run rounds, all variants and folds of one at once."""
    data, weights = Rows(place), dict(np.load(place / "encoder.npz"))
    groups = np.unique(data.group)
    fold_of = dict(
        zip(np.random.default_rng(0).permutation(groups).tolist(), np.arange(len(groups)) % N_FOLDS, strict=True)
    )
    folds = np.array([fold_of[group] for group in data.group.tolist()])
    for name in names:
        n_labels, epochs, pooling, variants = ROUNDS[name]
        models = [
            PLAIN
            | variant
            | {
                "learned": np.flatnonzero(folds != fold),
                "judged": data.core[folds[data.core] == fold],
                "seed": variant.get("seed", 0) * 10 + fold,
            }
            for variant in variants
            for fold in range(N_FOLDS)
        ]
        started = weights
        if name == "masked-language training first":
            started = read_masked(weights, data)
        if name == "last layer drawn anew":
            started = weights | {key: _anew(key, value) for key, value in weights.items() if ".layer.5." in key}
        bank = fit(started, data, models, epochs=epochs, pooling=pooling, n_labels=n_labels)
        for kind in ("single", "soup of the seeds"):
            said = predict(bank, data, models, pooling=pooling)
            for number, variant in enumerate(variants):
                together = np.ones((len(data.label), N_CORE))
                for i in range(number * N_FOLDS, (number + 1) * N_FOLDS):
                    together[models[i]["judged"]] = said[i][:, :N_CORE]
                found = {"round": name, "kind": kind, "variant": variant} | data.score(together)
                print(json.dumps(found), flush=True)
            average_seeds(bank, models)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(ROUNDS))
