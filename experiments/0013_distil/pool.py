"""Writes a pool of unlabelled statements for distillation, made of the train split alone.

Every text of the five labels stands in it twice: towards its own target, and towards another one of its domain.
usage: python pool.py POOL.jsonl
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from stancelib.data.statements import statements
from stancelib.data.writing import write_rows
from stancelib.schema import TRAIN

LABELS = ("conditional-accept", "reject", "propose", "accept", "none")


def main(path: Path) -> None:
    """Write the pool."""
    train = statements(labels=LABELS).split(TRAIN)
    of_domain = defaultdict(set)
    for domain, target in zip(train.columns["domain"], train.targets, strict=True):
        of_domain[domain].add(target)
    random = np.random.default_rng(0)
    with write_rows(path) as write:
        for text, target, domain in zip(train.texts, train.targets, train.columns["domain"], strict=True):
            others = sorted(of_domain[domain] - {target})
            pairs = (target, others[random.integers(len(others))]) if others else (target,)
            write([{"text": text, "target": one} for one in pairs])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
