"""Gives the neutral rows of VAST's train split that were made by chance (type_idx 4) another comment's topic again.

In some copies they have a topic of their own comment, which other rows of that comment take a side on.
usage: python vast_neutrals.py FOLDER, from which STANCELIB_BENCHMARKS=FOLDER data=vast reads; with validation and test
"""

import json
import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Write the corpus."""
    source, goal = Path(os.environ["STANCELIB_BENCHMARKS"]) / "vast", folder / "vast"
    goal.mkdir(parents=True)
    for split in ("validation", "test"):
        shutil.copyfile(source / f"{split}.jsonl", goal / f"{split}.jsonl")
    rows = [json.loads(line) for line in (source / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    own = defaultdict(set)
    for row in rows:
        own[row["text"]].add(row["target"])
    topics = [row["target"] for row in rows if row["type_idx"] != "4"]
    random = np.random.default_rng(0)
    for row in rows:
        while row["type_idx"] == "4" and row["target"] in own[row["text"]]:
            row["target"] = topics[random.integers(len(topics))]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (goal / "train.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
