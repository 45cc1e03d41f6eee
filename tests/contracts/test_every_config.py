"""What holds for every file under configs/."""

import dataclasses
import inspect

import pytest

pytest.importorskip("hydra")

from hydra.utils import instantiate

from stancelib.app import compose
from stancelib.app.promoting import compose_gates
from stancelib.options import check_components, config_dir, locate

from .discovery import COMPONENTS, OPTIONS, PATHS, components_in, name_of, parameters_of, read

MISSING = "???"
ELSEWHERE = {"promotion"}  # groups that training knows nothing of
PARTS = ("data", "split", "model", "evaluation", "decision", "tracking")


def plain(value):
    """A value as YAML spells it, for comparison."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str) and value.startswith("${oc.env:"):
        return None if value.endswith(",null}") else value
    return value


def differing(node):
    """The arguments of a component whose value in the YAML is not the constructor's own default."""
    built = locate(node["_target_"], "x")
    for name, parameter in parameters_of(node).items():
        value, default = node[name], default_of(built, parameter)
        if default is parameter.empty:
            if value != MISSING and not (isinstance(value, dict) and "_target_" in value) and value != "${seed}":
                yield name, value, MISSING
        elif name == "seed":
            if value != "${seed}":
                yield name, value, "${seed}"
        elif isinstance(value, dict) and "_target_" in value:
            wanted = default if default is not None else getattr(built(), name)
            if (found := instantiate(value, _convert_="all")) != wanted:
                yield name, found, wanted
        elif plain(value) != plain(default):
            yield name, value, default


def default_of(built, parameter):
    """A parameter's default, also where a dataclass makes it anew for each object."""
    field = getattr(built, "__dataclass_fields__", {}).get(parameter.name)
    made = field is not None and field.default_factory is not dataclasses.MISSING
    return field.default_factory() if made else parameter.default


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_the_first_line_says_what_it_is(path):
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith("# ")
    assert len(first.split()) > 3


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_names_a_class_or_function_that_is_there(name):
    if name.startswith("hydra/"):
        pytest.skip("Hydra's own")
    assert name in COMPONENTS, "no _target_"
    for key, node in components_in(COMPONENTS[name]):
        assert callable(locate(node["_target_"], key))


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_argument_is_listed_and_nothing_else(name):
    for key, node in components_in(COMPONENTS[name]):
        if key and parameter_at(COMPONENTS[name], key).default is inspect.Parameter.empty:
            continue  # one of many that fit, named as an example, such as the student of distil
        assert {argument for argument in node if not argument.startswith("_")} == set(parameters_of(node)), key


def parameter_at(node, key):
    """The constructor's parameter that a nested component is the value of."""
    *parents, last = key.split(".")
    for parent in parents:
        node = node[parent]
    return parameters_of(node)[last]


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_values_are_the_constructors_defaults(name):
    """Where several options share a constructor, one of them has its defaults and the others differ from it."""
    group, node = name.partition("/")[0], COMPONENTS[name]
    siblings = [
        other
        for other, one in COMPONENTS.items()
        if other.startswith(f"{group}/") and one["_target_"] == node["_target_"] and other != name
    ]
    found = list(differing(node))
    if siblings and found:
        assert any(not list(differing(COMPONENTS[other])) for other in siblings)
        return
    assert found == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_argument_is_explained_by_a_comment(name):
    lines = (config_dir() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    for line in lines[1:]:
        if line.strip() and not line.strip().startswith(("_", "#", "-")) and not line.rstrip().endswith(":"):
            key = line.partition(":")[0].strip()
            nested = isinstance(COMPONENTS[name].get(key), dict) or line.startswith("  ")
            assert "#" in line or nested, f"{key} has no comment"


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_values_have_the_annotated_types(name):
    group, _, option = name.partition("/")
    node = {
        argument: 0 if value == "${seed}" else plain(value)
        for argument, value in COMPONENTS[name].items()
        if value != MISSING and argument != "_given_"
    }
    if MISSING in COMPONENTS[name].values() or "_given_" in COMPONENTS[name]:
        node["_partial_"] = True
    check_components({group: node}, {group: option})


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_option_composes_into_a_run_or_into_gates(name):
    group, _, option = name.partition("/")
    if group in ELSEWHERE:
        compose_gates([f"{group}={option}"])
        return
    missing = [f"{group}.{argument}=x" for argument, value in COMPONENTS[name].items() if value == MISSING]
    _, config = compose([f"{group}={option}", *missing], ())
    assert config[group]["_target_"] == COMPONENTS[name]["_target_"]


def test_every_group_has_an_option_that_training_takes_by_default():
    defaults = [entry for entry in read(config_dir() / "train.yaml")["defaults"] if isinstance(entry, dict)]
    chosen = {group: option for entry in defaults for group, option in entry.items() if " " not in group}
    assert set(PARTS) <= set(chosen)
    assert {f"{group}/{option}" for group, option in chosen.items()} <= set(OPTIONS)
    assert {name.partition("/")[0] for name in COMPONENTS} == set(chosen) | ELSEWHERE
