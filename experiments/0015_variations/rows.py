"""Puts the labelled statements of the train split before the taught ones, in one file.

usage: python rows.py TAUGHT.jsonl TRAIN.jsonl
"""

import json
import sys
from pathlib import Path

from stancelib.data.statements import statements
from stancelib.schema import TRAIN


def main(taught: Path, path: Path) -> None:
    """Write the file."""
    train = statements().split(TRAIN)
    labels = [train.labels.names[label_id] for label_id in train.gold.tolist()]
    rows = [
        {"text": text, "target": target, "label": label}
        for text, target, label in zip(train.texts, train.targets, labels, strict=True)
    ]
    rows += [json.loads(line) for line in taught.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
