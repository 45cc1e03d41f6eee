import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from stancelib.data.statements import CORE, FULL, folder, statements
from stancelib.errors import ConfigError
from stancelib.schema import SPLITS

DATASHEET = (Path(__file__).parents[2] / "data" / "README.md").read_text(encoding="utf-8")


def test_core_labels_are_the_default_and_leave_out_other_rows():
    corpus = statements()
    assert corpus.labels.names == CORE
    assert {name: len(part) for name, part in corpus.splits.items()} == {"train": 3862, "validation": 568, "test": 1123}
    assert set(corpus.split("train").column("label")) == set(CORE)


def test_full_labels_keep_every_row():
    corpus = statements(labels=FULL)
    assert sum(map(len, corpus.splits.values())) == 7416
    assert corpus.findings == ()


def test_label_order_follows_the_request():
    first = statements(labels=("propose", "reject"))
    assert first.labels.names == ("propose", "reject")
    row = first.split("test").column("label").index("reject")
    assert first.split("test").gold[row] == 1


def test_a_tranche_can_be_chosen():
    assert set(statements(tranche="natural").split("train").columns["tranche"]) == {"natural"}


def test_misspelt_label_and_tranche_suggest_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'reject'"):
        statements(labels=("rejekt", "propose"))
    with pytest.raises(ConfigError, match="did you mean 'tricky'"):
        statements(tranche="triky")


def test_further_fields_stay_as_columns_and_places_name_file_and_row():
    train = statements(labels=FULL).split("train")
    assert {"domain", "group", "condition", "pair"} <= set(train.columns)
    assert str(train.place(0)) == "train.jsonl row 1"


def test_splits_share_no_group():
    groups = [name for part in statements(labels=FULL).splits.values() for name in set(part.columns["group"])]
    assert len(groups) == len(set(groups)) == 823


def test_datasheet_states_the_true_hashes():
    stated = dict(re.findall(r"\| `statements/(\w+\.jsonl)` \| `([0-9a-f]{64})` \|", DATASHEET))
    files = sorted(folder().glob("*.jsonl"))
    assert stated == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert len(files) == 4


@pytest.mark.parametrize("split", SPLITS)
def test_datasheet_states_the_true_counts(split: str):
    row = next(line for line in DATASHEET.splitlines() if re.match(rf"\| {split} \|", line))
    stated = [int(cell.replace(",", "")) for cell in row.strip("| ").split("|")[1:]]
    records = [json.loads(line) for line in (folder() / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
    labels, tranches = (Counter(record[field] for record in records) for field in ("label", "tranche"))
    assert stated == [len(records), *(labels[label] for label in FULL), tranches["tricky"], tranches["natural"]]


def test_datasheet_names_every_field():
    fields = json.loads((folder() / "train.jsonl").open(encoding="utf-8").readline())
    for field in fields:
        assert f"`{field}`" in DATASHEET


def test_loaders_import_nothing_heavy():
    code = (
        "import pkgutil, sys, stancelib.data\n"
        "for m in pkgutil.iter_modules(stancelib.data.__path__): __import__('stancelib.data.' + m.name)\n"
        "print([m for m in ('numpy','sklearn','scipy','datasets','pyarrow','datasketch','pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
