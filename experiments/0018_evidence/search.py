"""Variants of fine-tuning, each judged on five folds of the files train and validation; groups stay whole.

usage: python search.py FOLDER [ROUND …]    FOLDER as rows.py wrote it; one line of JSON for each variant and seed
"""

import json
import sys
from pathlib import Path

import numpy as np
from bank import fit, predict
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
    "five labels, statement": (5, 2, "statement", BOTH),
    "five labels, evidence pooled": (5, 2, "statement and evidence", [*THREE[:2], {"evidence": 10}]),
    "five labels, mean": (5, 2, "mean", [*THREE, {"evidence": 10}, {"evidence": 3, "joined": 0.5}]),
    "five labels, statement, three epochs": (5, 3, "statement", LONGER),
}


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
        bank = fit(weights, data, models, epochs=epochs, pooling=pooling, n_labels=n_labels)
        said = predict(bank, data, models, pooling=pooling)
        for number, variant in enumerate(variants):
            mine = range(number * N_FOLDS, (number + 1) * N_FOLDS)
            together = np.ones((len(data.label), N_CORE))
            for i in mine:
                together[models[i]["judged"]] = said[i][:, :N_CORE]
            print(json.dumps({"round": name, "variant": variant} | data.score(together)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(ROUNDS))
