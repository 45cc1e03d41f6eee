import json
import os
from collections import Counter
from pathlib import Path

import pytest

from stancelib.data.circa import circa
from stancelib.data.cleaning import check_corpus, raise_errors
from stancelib.data.negochat import negochat
from stancelib.data.plover import plover
from stancelib.data.semeval2016 import semeval2016
from stancelib.data.vast import vast
from stancelib.errors import ConfigError
from stancelib.evaluation.intervals import clusters_of

LOADERS = [semeval2016, circa, plover, negochat, vast]
ROOT = os.environ.get("STANCELIB_BENCHMARKS")
with_corpora = pytest.mark.skipif(not ROOT, reason="STANCELIB_BENCHMARKS names no folder of public corpora")


@pytest.mark.parametrize("loader", LOADERS)
def test_without_the_folder_the_message_says_what_to_set(loader, tmp_path: Path):
    with pytest.raises(ConfigError, match="set the environment variable STANCELIB_BENCHMARKS"):
        loader(root=None)
    with pytest.raises(ConfigError, match=r"with train\.jsonl and test\.jsonl in it, and .* does not have it"):
        loader(root=str(tmp_path))


def dialogues(folder: Path) -> None:
    folder.mkdir()
    labels = ["propose", "counter-propose", "reject", "accept", "accept+propose"]
    for split, n_dialogues in (("train", 40), ("test", 10)):
        rows = [
            {"id": f"{split}-{d}-{i}", "text": f"{split} {d} {i}", "target": None, "label": label, "dialogue": str(d)}
            for d in range(n_dialogues)
            for i, label in enumerate(labels)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_missing_validation_is_taken_from_train_by_whole_dialogues(tmp_path: Path):
    dialogues(tmp_path / "negochat_stance")
    corpus = negochat(root=str(tmp_path))
    assert {name: len(part) for name, part in corpus.splits.items()} == {"train": 180, "validation": 20, "test": 50}
    assert not set(corpus.split("train").columns["group"]) & set(corpus.split("validation").columns["group"])
    assert corpus.protocol == "given, validation carved from train (0.1)"
    assert corpus.digest == negochat(root=str(tmp_path)).digest


def test_official_labels_can_be_mapped_and_left_out(tmp_path: Path):
    dialogues(tmp_path / "negochat_stance")
    label_map = {"counter-propose": "propose", "accept+propose": None}
    corpus = negochat(root=str(tmp_path), label_map=label_map)
    assert corpus.labels.names == ("propose", "reject", "accept")
    assert Counter(corpus.split("test").column("label")) == {"propose": 20, "reject": 10, "accept": 10}


def test_every_tweet_is_drawn_by_itself_not_with_its_target(tmp_path: Path):
    (tmp_path / "semeval2016_t6").mkdir()
    rows = [{"id": f"t6-{i}", "text": f"tweet {i}", "target": "Atheism", "label": "NONE"} for i in range(9)]
    for split in ("train", "validation", "test"):
        (tmp_path / "semeval2016_t6" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    test = semeval2016(root=str(tmp_path)).split("test")
    assert len(set(clusters_of(test))) == len(test)


@with_corpora
@pytest.mark.parametrize(
    ("loader", "sizes", "n_labels"),
    [
        (semeval2016, (2620, 294, 1249), 3),
        (circa, (3300, 3300, 3299), 4),
        (plover, (944, 106, 1033), 15),
        (negochat, (1742, 181, 1041), 5),
        (vast, (13477, 2062, 1460), 3),
    ],
)
def test_official_splits_have_their_published_sizes_and_no_errors(loader, sizes: tuple[int, ...], n_labels: int):
    corpus = loader(root=ROOT)
    assert tuple(len(corpus.split(name)) for name in ("train", "validation", "test")) == sizes
    assert len(corpus.labels) == n_labels
    raise_errors(check_corpus(corpus))


@with_corpora
def test_circa_keeps_other_on_request():
    corpus = circa(root=ROOT, other=True)
    assert corpus.labels.names[-1] == "Other"
    assert len(corpus.split("train")) == 3350


def test_semevals_official_score_is_an_option_that_fits_its_labels():
    pytest.importorskip("hydra")
    from stancelib.app import compose
    from stancelib.data.semeval2016 import LABELS

    evaluation = compose(["evaluation=semeval2016"], ("evaluation",))[0]["evaluation"]
    assert evaluation.headline == "f_avg"
    assert [label for label in LABELS if label not in evaluation.skip_labels] == ["AGAINST", "FAVOR"]
