import subprocess
import sys

import pytest

from stancelib.data.hub import hub
from stancelib.data.records import Columns
from stancelib.errors import ConfigError, DataError


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A hub that knows one data set, and what it was asked for."""
    import datasets

    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "topic": datasets.Value("string"),
            "stance": datasets.ClassLabel(names=["con", "pro"]),
        }
    )
    table = datasets.Dataset.from_dict(
        {"sentence": ["never", "gladly", "sure"], "topic": ["a", "a", "b"], "stance": [0, 1, -1]}, features=features
    )
    asked: list[tuple] = []

    def load_dataset(name, config, *, revision):
        asked.append((name, config, revision))
        return datasets.DatasetDict({"train": table, "validation_matched": table})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


COLUMNS = Columns(text="sentence", target="topic", label="stance")


def test_a_data_set_is_loaded_by_name_config_and_revision(loaded: list[tuple]):
    corpus = hub(
        name="owner/debates", config="en", revision="abc", columns=COLUMNS, splits={"validation": "validation_matched"}
    )
    assert loaded == [("owner/debates", "en", "abc")]
    assert list(corpus.splits) == ["validation"]
    assert corpus.split("validation").column("label") == ["con", "pro"]
    assert (corpus.name, corpus.source) == ("debates", "hub:owner/debates/en@abc")
    assert [finding.check for finding in corpus.findings] == ["missing-label"]


def test_a_data_set_without_revision_is_warned_of(loaded: list[tuple]):
    corpus = hub(name="owner/debates", columns=COLUMNS)
    assert list(corpus.splits) == ["train", "validation_matched"]
    assert corpus.findings[-1].check == "no-revision"


def test_an_unknown_split_lists_those_there_are(loaded: list[tuple]):
    with pytest.raises(ConfigError, match="has no split 'validation'; it has train, validation_matched; did you mean"):
        hub(name="owner/debates", columns=COLUMNS, splits={"validation": "validation"})


def test_an_invalid_name_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch):
    import datasets

    def load_dataset(*args, **options):
        raise ValueError("BuilderConfig 'x' not found.\nAvailable: ['en']")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        DataError, match=r"data set 'owner/debates' can't be loaded: BuilderConfig 'x' not found. Check its name"
    ):
        hub(name="owner/debates", config="x")


def test_without_a_network_a_missing_data_set_is_one_clear_sentence():
    code = (
        "from stancelib.data.hub import hub\n"
        "try: hub(name='nobody/nothing')\n"
        "except ValueError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin"},
    )
    assert done.stdout.startswith("DataError the hub's data set 'nobody/nothing' can't be loaded")
    assert done.stdout.count("\n") == 1
