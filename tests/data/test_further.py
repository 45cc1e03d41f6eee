import json
from functools import partial

import pytest

from stancelib.data.files import files
from stancelib.data.further import FURTHER
from stancelib.data.mixture import without_held_out
from stancelib.data.splitting import by_group, by_time, given, leave_out, random
from stancelib.data.statements import CORE, FULL, statements
from stancelib.data.summary import summarise
from stancelib.errors import ConfigError
from stancelib.experiment import run_experiment
from stancelib.models.base import learn_auxiliary
from stancelib.models.prior import Prior

from ..conftest import write_jsonl


def rows(n=40, **columns):
    """Every second row has a further label."""
    return [
        {"text": f"text {i} of {i * i}", "target": "a plan", "label": ("yes", "none", "no", "none")[i % 4], "n": i}
        | {name: values[i % len(values)] for name, values in columns.items()}
        for i in range(n)
    ]


def corpus_of(tmp_path, train, **options):
    options = {"labels": ["yes", "no"], "further_labels": ["none"]} | options
    return files(path=str(write_jsonl(tmp_path / "rows.jsonl", train)), **options)


def further_of(corpus):
    (task,) = corpus.auxiliary
    return task.statements


def test_the_shipped_corpus_has_its_other_labels_beside_the_core_ones():
    corpus = statements()
    assert list(corpus.labels) == list(CORE)
    assert [len(part) for part in corpus.splits.values()] == [3862, 568, 1123]
    (task,) = corpus.auxiliary
    assert (task.name, task.further, task.weight) == (FURTHER, True, 1.0)
    assert list(task.statements.labels) == list(FULL)
    assert summarise(corpus).n_further == {"accept": 639, "none": 647}


def test_its_splits_are_the_same_without_them():
    corpus, plain = statements(), statements(further_labels=[])
    assert plain.auxiliary == ()
    assert {name: part.digest for name, part in corpus.splits.items()} == {
        name: part.digest for name, part in plain.splits.items()
    }
    assert corpus.digest != plain.digest
    assert statements(labels=FULL).auxiliary == ()


def test_one_can_be_chosen_of_them():
    assert set(further_of(statements(further_labels=["accept"])).column("label")) == {"accept"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": None}, "further_labels is none; name the labels that the model answers, too: labels."),
        ({"further_labels": ["yes"]}, "'yes' is in labels and in further_labels; a model answers it or it doesn't."),
    ],
)
def test_further_labels_stand_beside_others_and_are_none_of_them(tmp_path, options, message):
    with pytest.raises(ConfigError) as mistake:
        corpus_of(tmp_path, rows(), **options)
    assert str(mistake.value) == message


def test_rows_of_further_labels_in_files_are_learned_from_train_and_left_out_elsewhere(tmp_path):
    train, test = rows(12), [row | {"text": f"held out {row['n']}"} for row in rows(8)]
    paths = {
        name: str(write_jsonl(tmp_path / f"{name}.jsonl", part)) for name, part in (("train", train), ("test", test))
    }
    corpus = files(path=paths, labels=["yes", "no"], further_labels=["none"])
    assert {name: len(part) for name, part in corpus.splits.items()} == {"train": 6, "test": 4}
    assert further_of(corpus).column("label") == ["none"] * 6
    assert not [finding for finding in corpus.findings if finding.severity == "error"]


@pytest.mark.parametrize("protocol", [random, by_group])
def test_no_group_is_held_out_and_learned_beside(tmp_path, protocol):
    corpus = protocol(corpus_of(tmp_path, rows(200, group=[f"g{i // 2}" for i in range(40)])), seed=0)
    held_out = {*corpus.split("test").groups, *corpus.split("validation").groups}
    assert held_out
    assert not held_out & set(further_of(corpus).groups)
    assert set(further_of(corpus).groups) <= set(corpus.split("train").groups)


def test_validation_carved_from_train_holds_its_groups_back(tmp_path):
    corpus = given(corpus_of(tmp_path, rows(200, group=[f"g{i // 2}" for i in range(40)])), seed=0)
    assert not set(corpus.split("validation").groups) & set(further_of(corpus).groups)


def test_a_left_out_value_is_not_learned_beside(tmp_path):
    authors = ["ann", "ann", "ben", "Ben ", "cleo", "cleo", "dan", "dan"]
    corpus = leave_out(corpus_of(tmp_path, rows(80, author=authors)), column="author", values="ben", seed=0)
    assert set(further_of(corpus).column("author")) == {"ann", "cleo", "dan"}


def test_nothing_newer_than_what_is_learned_is_learned_beside(tmp_path):
    corpus = by_time(corpus_of(tmp_path, rows(80)), column="n", seed=0)
    assert max(further_of(corpus).column("n")) <= max(corpus.split("train").column("n"))


def test_a_near_duplicate_of_a_held_out_statement_is_not_learned_and_no_label_is_lost(tmp_path):
    words = " ".join(f"word{i}" for i in range(20))
    train = [*rows(8), {"text": words, "target": "a plan", "label": "none"}]
    test = [{"text": words.replace("word7", "other"), "target": "a plan", "label": "yes"}]
    paths = {
        name: str(write_jsonl(tmp_path / f"{name}.jsonl", part)) for name, part in (("train", train), ("test", test))
    }
    corpus = without_held_out(files(path=paths, labels=["yes", "no"], further_labels=["none"]))
    assert words not in further_of(corpus).texts
    assert list(further_of(corpus).labels) == ["yes", "no", "none"]


def test_a_family_that_cannot_learn_them_leaves_them_out(tmp_path):
    corpus = corpus_of(tmp_path, rows())
    learn_auxiliary(model := Prior(), corpus)
    assert model.fit(corpus.split("train")).predict_proba(corpus.split("train")).shape == (20, 2)


def test_check_tells_of_them(cli, tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", rows())
    answer = cli("check", "data=files", f"data.path={path}", "data.labels=[yes,no]", "data.further_labels=[none]")
    assert "further labels in train: none 20" in answer.out
    assert answer.code == 0


def test_only_a_family_that_learned_from_them_says_so(tmp_path):
    class Learner(Prior):
        def learn_beside(self, auxiliary):
            self.n_beside = sum(len(task.statements) for task in auxiliary)

    corpus = corpus_of(tmp_path, rows(80))
    kept = {}
    for model in (Prior(), Learner()):
        split = partial(random, seed=0)
        options = {"corpus": corpus, "split": split, "model": model}
        result = run_experiment(folder=tmp_path / type(model).__name__, **options)
        kept[type(model).__name__] = json.loads((result.bundle / "manifest.json").read_text())["data"]["further"]
    assert kept["Prior"] == {}
    assert set(kept["Learner"]) == {"none"}
