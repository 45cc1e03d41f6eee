import json
import re
import sys

import pytest

pytest.importorskip("hydra")

from stancelib.app.composing import compose
from stancelib.app.evaluating import read_corpus
from stancelib.app.naming import new_run_folder, run_name
from stancelib.app.running import train
from stancelib.errors import ConfigError, DataError
from stancelib.evaluation.metrics import Evaluation
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf

from .conftest import make_rows, write_jsonl


@pytest.fixture
def mine(in_tmp):
    write_jsonl(in_tmp / "mine.jsonl", make_rows(30))
    return ["data=files", "data.path=mine.jsonl", "split=random", "tracking=none"]


def test_components_are_built_from_the_composed_configuration():
    parts, config = compose(["model=prior", "model.smoothing=2"], ("model", "evaluation"))
    assert isinstance(parts["model"], Prior)
    assert parts["model"].smoothing == 2
    assert isinstance(parts["evaluation"], Evaluation)
    assert set(parts) == {"model", "evaluation"}
    assert config["model"]["smoothing"] == 2


def test_components_get_plain_values_and_no_config_objects():
    parts, config = compose(
        ["model=tfidf", "model.class_weight={reject: 2.0}", "evaluation.splits=[train]"], ("model", "evaluation")
    )
    assert type(parts["evaluation"].splits) is list
    assert type(parts["model"].class_weight) is dict
    assert type(parts["model"].ngrams.word) is tuple
    assert type(config["model"]) is dict


def test_a_mapping_is_merged_into_the_one_that_is_there_and_may_bring_new_names():
    costs = "decision.costs={conditional-accept: {reject: 3.0}, reject: {accept: 4.0}}"
    parts, _ = compose(["decision=cautious", costs], ("decision",))
    assert parts["decision"].costs == {
        "conditional-accept": {"accept": 5.0, "propose": 2.0, "reject": 3.0, "none": 2.0},
        "reject": {"accept": 4.0},
    }
    parts, _ = compose(["decision=cautious", "decision.costs=null", costs], ("decision",))
    assert parts["decision"].costs == {"conditional-accept": {"reject": 3.0}, "reject": {"accept": 4.0}}


@pytest.mark.parametrize(
    ("arguments", "key", "merged"),
    [
        (["model=tfidf"], "model.class_weight", {"reject": 2.0, "propose": 3.0}),
        (["model=cross_encoder"], "model.loss.class_weight", {"reject": 2.0, "propose": 3.0}),
        (["data=mixture"], "data.weights", {"reject": 2.0, "propose": 3.0}),
        (["data=files"], "data.path", {"reject": 2.0, "propose": 3.0}),
        (["data=files", "data.path=x"], "data.label_map", {"reject": 2.0, "propose": 3.0}),
    ],
)
def test_every_option_that_takes_a_mapping_takes_a_second_one(arguments, key, merged):
    _, config = compose([*arguments, f"{key}={{reject: 2.0}}", f"{key}={{propose: 3.0}}"], ())
    for name in key.split("."):
        config = config[name]
    assert config == merged


def test_a_grid_may_go_over_mappings(mine, in_tmp):
    costs = "decision.costs={reject: {propose: 4.0}},{propose: {reject: 4.0}}"
    shown = []
    train(
        [*mine, "-m", "model=prior", "decision=cautious", costs, "hydra.sweep.dir=grid"],
        show=lambda result, evaluation: shown.append(result),
        report=lambda progress: None,
    )
    rules = [json.loads((one.bundle / "manifest.json").read_text())["decision"]["costs"] for one in shown]
    assert [sorted(rule) for rule in rules] == [["conditional-accept", "reject"], ["conditional-accept", "propose"]]


def test_interpolations_are_resolved():
    _, config = compose(["seed=11"], ())
    assert config["model"]["seed"] == config["split"]["seed"] == 11


def test_everything_is_checked_before_anything_is_built(mine, monkeypatch):
    built = []
    monkeypatch.setattr("hydra.utils.instantiate", lambda node, **options: built.append(node))
    with pytest.raises(ConfigError, match=r"tracking\.x"):
        compose([*mine, "+tracking.x=1"], ("data", "tracking"))
    assert built == []


def test_a_component_that_is_not_asked_for_is_not_checked():
    compose(["+tracking.x=1"], ("model",))


@pytest.mark.parametrize(
    ("model", "overrides", "seed", "name"),
    [
        ("tfidf", [], 0, "tfidf s0"),
        ("tfidf", ["model=tfidf", "seed=3", "name=x"], 3, "tfidf s3"),
        ("prior", ["model=prior", "data=statements_full"], 0, "prior statements_full s0"),
        ("tfidf", ["model.C=16", "split=leave_out", "split.column=domain"], 1, "tfidf C=16 leave_out column=domain s1"),
        ("tfidf", ["data=files", "data.path=/a/b/mine.csv"], 0, "tfidf files mine.csv s0"),
        ("tfidf", ["data=files", "data.path={train: a.csv, test: b/c.csv}"], 0, "tfidf files s0"),
        ("tfidf", ["tracking.uri=http://x", "hydra.run.dir=out", "tracking=none"], 0, "tfidf s0"),
        ("tfidf", ["split=random", "split.seed=0", "data.name=x"], 1, "tfidf random split.seed=0 data.name=x s1"),
        ("x", ["model.freeze.lora={_target_: stancelib.a.B, rank: 4}"], 0, "x lora={rank: 4} s0"),
        (
            "tfidf",
            ["+data.label_map={a: b}", "evaluation.splits=[test]", "data.labels=[a,b]"],
            0,
            "tfidf labels=[a,b] s0",
        ),
        ("tfidf", ["evaluation=semeval2016"], 0, "tfidf semeval2016 s0"),
    ],
)
def test_a_run_is_named_after_what_differs_from_the_defaults(model, overrides, seed, name):
    assert run_name(model, overrides, seed) == name


def test_a_run_name_stays_short_and_keeps_its_seed():
    name = run_name("tfidf", [f"model.option_{i}={i}" for i in range(50)], 7)
    assert len(name) <= 120
    assert name.endswith(" s7")


def test_new_run_folders_differ_and_sort_by_time():
    one, other = new_run_folder(), new_run_folder()
    assert one != other
    assert re.fullmatch(r"runs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-[0-9a-f]{6}", one.as_posix())


def test_reading_a_corpus_applies_the_split_and_tells_the_model(mine):
    corpus, model = read_corpus([*mine, "model=tfidf", "split.test_fraction=0.5"])
    assert [len(corpus.splits[split]) for split in ("train", "validation", "test")] == [12, 3, 15]
    assert isinstance(model, Tfidf)


def test_the_arguments_of_the_process_are_left_as_they_were(mine, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mine", "--own"])
    with pytest.raises(ConfigError):
        train(["modle=x"], show=print, report=lambda progress: None)
    assert sys.argv == ["mine", "--own"]


def test_a_finished_run_is_shown_with_its_evaluation(mine):
    shown = []
    train(
        [*mine, "model=prior"],
        show=lambda result, evaluation: shown.append((result, evaluation)),
        report=lambda p: None,
    )
    ((result, evaluation),) = shown
    assert list(result.scores) == ["validation"]
    assert evaluation.headline == "macro_f1"


def test_a_run_that_never_began_leaves_files_of_ones_own_in_its_folder(mine, in_tmp):
    (in_tmp / "out").mkdir()
    (in_tmp / "out" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError):
        train([*mine, "+foo=1", "hydra.run.dir=out"], show=print, report=lambda progress: None)
    assert [path.name for path in (in_tmp / "out").rglob("*")] == ["mine.txt"]


def test_a_run_that_never_began_does_not_remove_the_current_folder(in_tmp):
    with pytest.raises(ConfigError):
        train(["+foo=1", "tracking=none", "hydra.run.dir=."], show=print, report=lambda progress: None)
    assert in_tmp.is_dir()


def test_a_check_names_faulty_rows_beside_the_reason_why_there_is_no_split(in_tmp):
    rows = [row | {"time": "2024" if number else ""} for number, row in enumerate(make_rows(30))]
    write_jsonl(in_tmp / "mine.jsonl", [*rows, {"text": " ", "label": "reject"}])
    with pytest.raises(DataError, match=r"(?s)1 row with no text .*mine.jsonl row 31.*\n.*needs a time"):
        read_corpus(["data=files", "data.path=mine.jsonl", "split=by_time"])


LEARNER = """
from stancelib.models.prior import Prior
class Learner(Prior):
    def learn_beside(self, auxiliary):
        pass
"""
MIXED = """
_target_: stancelib.data.mixture.mixture
main: {_target_: stancelib.data.files.files, path: mine.jsonl, name: mine}
others: {other: {_target_: stancelib.data.files.files, path: other.jsonl, name: other}}
"""


def test_a_mixture_whose_others_were_cleared_of_held_out_rows_is_resumed(cli, mine, in_tmp, monkeypatch):
    monkeypatch.syspath_prepend(in_tmp)
    (in_tmp / "learner.py").write_text(LEARNER)
    (in_tmp / "own" / "data").mkdir(parents=True)
    (in_tmp / "own" / "data" / "mixed.yaml").write_text(MIXED)
    write_jsonl(in_tmp / "other.jsonl", [*make_rows(30), *make_rows(9, start=900)])
    command = ("train", "-cd", "own", "data=mixed", "split=random", "tracking=none", "resume=true", "model=prior")
    first = cli(*command, "model._target_=learner.Learner")
    assert (first.code, "are left out" in first.err) == (0, True)
    again = cli(*command, "model._target_=learner.Learner")
    assert (again.code, "finished before, and skipped" in again.err) == (0, True)
