"""What the loaders of public corpora share: one folder with a JSON-lines file per official split.

The corpora are not distributed with the project; ``data/README.md`` says where each comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stancelib.data.dealing import deal, joined
from stancelib.data.records import Columns, Rows, build_corpus
from stancelib.data.rows import read_rows
from stancelib.errors import ConfigError
from stancelib.schema import SPLITS, TEST, TRAIN, VALIDATION, Corpus

VARIABLE = "STANCELIB_BENCHMARKS"
GROUP = "group"


def benchmark(
    folder: str,
    *,
    name: str,
    root: str | None,
    labels: Sequence[str],
    label_map: Mapping[str, str | None] | None,
    group: str | None = None,
) -> Corpus:
    """A public corpus in its official splits; where there is no validation split, a tenth of train becomes it.

    Args:
        folder: Folder of the corpus inside ``root``.
        name: Name of the corpus.
        root: Folder that holds the public corpora.
        labels: The official labels, in order.
        label_map: New label by official one; None as the new label leaves the rows out.
        group: Column whose values belong together; kept as ``group``, which split protocols heed.

    Raises:
        ConfigError: If the folder is not there.
    """
    place = _folder(folder, name, root)
    mapping = dict(label_map or {})
    names = dict.fromkeys(mapping.get(label, label) for label in labels)
    present = [split for split in SPLITS if (place / f"{split}.jsonl").is_file()]
    rows: dict[str, Rows] = {split: _grouped(place / f"{split}.jsonl", group) for split in present}
    corpus = build_corpus(
        rows,
        name=name,
        source=folder,
        columns=Columns(),
        labels=[label for label in names if label is not None],
        label_map=mapping,
    )
    return corpus if VALIDATION in corpus.splits else _carve(corpus, group)


def _carve(corpus: Corpus, group: str | None) -> Corpus:
    """Take a tenth of train as validation, the same in every run, and leave the official test split alone."""
    train = corpus.split(TRAIN)
    units = range(len(train)) if group is None else joined(train.columns[GROUP])
    parts = deal(units, train.gold.tolist(), {TRAIN: 0.9, VALIDATION: 0.1}, seed=0)
    carved = {name: train.take([row for row, at in enumerate(parts) if at == name]) for name in (TRAIN, VALIDATION)}
    return replace(
        corpus, splits=carved | {TEST: corpus.split(TEST)}, protocol="given, validation carved from train (0.1)"
    )


def _folder(folder: str, name: str, root: str | None) -> Path:
    files = f"'{folder}' with {TRAIN}.jsonl and test.jsonl in it"
    if not root:
        raise ConfigError(
            f"data={name} needs a folder of public corpora: set the environment variable {VARIABLE}, or data.root, to "
            f"the one that holds {files}. The datasheet of the project says where to obtain the corpus."
        )
    place = Path(root).expanduser() / folder
    if not (place / f"{TRAIN}.jsonl").is_file():
        raise ConfigError(
            f"data={name} needs {files}, and '{root}' does not have it: obtain the corpus as the datasheet says, "
            f"or correct {VARIABLE}."
        )
    return place


def _grouped(path: Path, group: str | None) -> Iterator[Any]:
    for place, record in read_rows(path):
        if group is not None:
            record[GROUP] = record[group]
        yield place._replace(file=f"{path.parent.name}/{path.name}"), record
