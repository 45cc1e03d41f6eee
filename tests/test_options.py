from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from stancelib.errors import ConfigError
from stancelib.options import check_components, config_dir, explain, flat_items, locate, options

CHOICES = {"model": "tfidf"}


class Part:
    def __init__(self, *, size: int = 1) -> None:
        self.size = size


class Family:
    def __init__(
        self,
        *,
        needed: str,
        part: Part | None = None,
        C: float = 1.0,
        kind: Literal["logistic", "svm"] = "logistic",
        span: tuple[int, int] | None = None,
        names: Sequence[str] = (),
        by_name: Mapping[str, float] | None = None,
        flag: bool = False,
        anything: Any = None,
    ) -> None:
        pass


def check(**values):
    node = {"_target_": f"{__name__}.Family", "needed": "x"} | values
    check_components({"model": {name: value for name, value in node.items() if value != "left out"}}, CHOICES)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or __import__(__name__))


@pytest.mark.parametrize(
    "values",
    [
        {"C": 8},
        {"C": 0.5},
        {"kind": "svm"},
        {"span": [1, 2]},
        {"span": None},
        {"names": ["a", "b"]},
        {"by_name": {"a": 1.5}},
        {"flag": True},
        {"anything": [1, {"b": 2}]},
    ],
)
def test_values_of_the_annotated_type_pass(values):
    check(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"C": "abc"}, "model.C must be a number, got 'abc' (configs/model/tfidf.yaml)."),
        ({"C": "8"}, "model.C must be a number, got '8' (configs/model/tfidf.yaml)."),
        ({"C": True}, "model.C must be a number, got True (configs/model/tfidf.yaml)."),
        ({"kind": "svn"}, "model.kind must be 'logistic' or 'svm', got 'svn' (configs/model/tfidf.yaml)."),
        ({"span": [1]}, "model.span must be a list of 2 or null, got [1] (configs/model/tfidf.yaml)."),
        ({"names": "a"}, "model.names must be a list of texts, got 'a' (configs/model/tfidf.yaml)."),
        (
            {"names": [False, "a"]},
            "model.names must be a list of texts, got [False, 'a'] (configs/model/tfidf.yaml). "
            "YAML reads bare yes, no, on and off as booleans: put names in quotes.",
        ),
        (
            {"by_name": [1]},
            "model.by_name must be a mapping of names to values or null, got [1] (configs/model/tfidf.yaml).",
        ),
        ({"flag": "maybe"}, "model.flag must be true or false, got 'maybe' (configs/model/tfidf.yaml)."),
        ({"needed": 5}, "model.needed must be a text, got 5 (configs/model/tfidf.yaml)."),
        (
            {"needed": "left out"},
            "model.needed: 'Family' needs a value for 'needed' (configs/model/tfidf.yaml). Add model.needed=<value>.",
        ),
        (
            {"knd": "svm"},
            "model.knd: 'Family' has no option 'knd' (configs/model/tfidf.yaml); it takes needed, part, C, kind, span, "
            "names, by_name, flag, anything; did you mean 'kind'?",
        ),
    ],
)
def test_what_the_constructor_cannot_take_is_refused_by_key_file_and_rule(values, message):
    with pytest.raises(ConfigError) as caught:
        check(**values)
    assert str(caught.value) == message


def test_nested_components_are_checked_too():
    with pytest.raises(ConfigError, match=r"model.part.size must be a whole number, got 'x'"):
        check(part={"_target_": f"{__name__}.Part", "size": "x"})


def test_arguments_of_a_partial_component_may_come_later():
    check_components({"split": {"_target_": f"{__name__}.Family", "_partial_": True}}, {})


def test_names_that_yaml_reads_as_numbers_or_booleans_are_names_again():
    """On the command line, keys can't be put in quotes."""
    config = {"model": {"_target_": f"{__name__}.Family", "needed": "x", "by_name": {2: 2.0, True: 3.0, "a": 1.0}}}
    check_components(config, CHOICES)
    assert config["model"]["by_name"] == {"2": 2.0, "true": 3.0, "a": 1.0}


def test_a_component_without_a_target_is_refused():
    with pytest.raises(ConfigError, match="model has no _target_, so there is nothing to build"):
        check_components({"model": {"C": 1}}, CHOICES)


@pytest.mark.parametrize(
    "target", ["nowhere.Class", "stancelib.models.tfidf.Tfdf", "Tfidf", "", "stancelib.models.prior.json"]
)
def test_a_target_that_is_no_class_or_function_is_refused(target):
    with pytest.raises(ConfigError, match=r"model\._target_: (there is no )?'"):
        locate(target, "model")


def test_every_option_is_listed_with_its_first_comment():
    found = options()
    assert found["model"]["tfidf"].startswith("TF-IDF n-grams")
    files = {path.relative_to(config_dir()).with_suffix("").as_posix() for path in config_dir().rglob("*/*.yaml")}
    listed = {f"{group}/{name}" for group, choices in found.items() for name in choices}
    assert listed == {name for name in files if not name.startswith("hydra/")}


def test_configs_of_an_installed_package_win_over_those_of_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "stancelib"
    package.mkdir()
    monkeypatch.setattr("stancelib.options.__file__", str(package / "options.py"))
    assert config_dir() == tmp_path / "configs"
    (package / "configs").mkdir()
    assert config_dir() == package / "configs"


def test_flat_items_names_every_key_by_dots():
    found = dict(flat_items({"a": {"b": {"c": 1}}, "d": 2}))
    assert found == {"a": {"b": {"c": 1}}, "a.b": {"c": 1}, "a.b.c": 1, "d": 2}


def test_a_message_that_is_not_known_is_shown_in_one_line():
    said = explain("Something odd\nhappened here\nSee https://x", keys=dict, malformed=str)
    assert said == "Something odd happened here"
    assert Path(said).name == said


def test_numbers_in_the_place_of_names_are_names():
    """Labels may be digits, and the command line has no quotes for keys."""
    config = {"model": {"_target_": f"{__name__}.Family", "needed": "x", "names": [1, "a", 0]}}
    check_components(config, CHOICES)
    assert config["model"]["names"] == ["1", "a", "0"]
    with pytest.raises(ConfigError, match=r"model\.names must be a list of texts"):
        check(names=[1.5])
