"""The options under ``configs/``: where they are, what they say, and whether a composed configuration keeps to them.

A component's constructor is its schema: keys are compared with its parameters, values with its annotations.
"""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from stancelib.errors import ConfigError, MissingExtraError, nearest

COMPONENTS = ("data", "split", "model", "evaluation", "decision", "tracking")
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
OMEGACONF_TYPES = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
SPELLED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}


def config_dir() -> Path:
    """The folder of the shipped configs: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def options(folder: Path | None = None) -> dict[str, dict[str, str]]:
    """Every config group with its options and their first comment line; also those of a folder of the user's own."""
    found: dict[str, dict[str, str]] = {}
    for place in _places(folder):
        for path in sorted(place.rglob("*.yaml")):
            group = path.parent.relative_to(place).as_posix()
            if group not in (".", "hydra"):
                first = path.read_text(encoding="utf-8").partition("\n")[0]
                comment = first.removeprefix("#").strip() if first.startswith("#") else ""
                found.setdefault(group, {}).setdefault(path.stem, comment)
    return found


def _places(folder: Path | None) -> list[Path]:
    return [config_dir(), *([folder] if folder else [])]


def check_components(config: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Compare every component of a resolved configuration with its constructor, before anything is built.

    A whole number in the place of a float becomes one in place, so that 2 and 2.0 are one parameter, and one hash.

    Args:
        config: The composed configuration as plain containers.
        choices: The option chosen for each group, to name the file in messages.

    Raises:
        ConfigError: At the first unknown key, missing value or wrong type.
    """
    for group, node in config.items():
        if isinstance(node, Mapping) and "_target_" in node:
            file = _file_of(group, choices.get(group, ""))
            _check_component(node, group, file)
        elif isinstance(node, Mapping):
            raise ConfigError(
                f"{group} has no _target_, so there is nothing to build; choose an option: {group}=<name>."
            )


def _check_component(node: Mapping[str, Any], key: str, file: str) -> None:
    build = locate(node["_target_"], key)
    parameters = inspect.signature(build).parameters
    hints = _hints(build)
    for name, value in [*node.items()]:
        if name in HYDRA_KEYS:
            continue
        if name not in parameters:
            raise ConfigError(
                f"{key}.{name}: {_title(build)} has no option '{name}' ({file}); "
                f"it takes {', '.join(parameters) or 'none'}{nearest(name, parameters)}"
            )
        if _is_component(value):
            _check_component(value, f"{key}.{name}", file)
        elif isinstance(value, Mapping) and any(_is_component(item) for item in value.values()):
            for item_name, item in value.items():
                _check_component(item, f"{key}.{name}.{item_name}", file)
        elif name in hints:
            value = _with_names(value, hints[name])
            _check_type(f"{key}.{name}", value, hints[name], file)
            if isinstance(node, dict):
                node[name] = float(value) if hints[name] is float else value
    for name, parameter in parameters.items():
        if name not in node and parameter.default is parameter.empty and not node.get("_partial_"):
            raise ConfigError(
                f"{key}.{name}: {_title(build)} needs a value for '{name}' ({file}). Add {key}.{name}=<value>."
            )


def _with_names(value: Any, hint: Any) -> Any:
    """The value with text where names are wanted and YAML reads numbers, or booleans in keys: labels may be digits."""
    kinds = [(typing.get_origin(part), typing.get_args(part)) for part in (hint, *typing.get_args(hint))]
    if isinstance(value, Mapping):
        named = json.loads(json.dumps(value))
        of_names = any(origin is Mapping and str in (kind[1], *typing.get_args(kind[1])) for origin, kind in kinds)
        return {key: _as_name(one) for key, one in named.items()} if of_names else named
    if isinstance(value, list) and any(kind == (str,) for _, kind in kinds):
        return [_as_name(one) for one in value]
    return value


def _as_name(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _file_of(group: str, option: str) -> str:
    """Where an option is written, for messages; options of the user's own may be in any folder."""
    own = (config_dir() / group / f"{option}.yaml").is_file()
    return f"configs/{group}/{option}.yaml" if own else f"{group}={option}" if option else "the command line"


def _is_component(value: object) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _check_type(key: str, value: object, hint: Any, file: str) -> None:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
        adapter.validate_json(json.dumps(value))  # strict, and yet a list may become a tuple
    except (ValidationError, PydanticUserError):  # the latter where the hint is a component, and the value none
        boolean = " YAML reads bare yes, no, on and off as booleans: put names in quotes." * _holds_boolean(value)
        raise ConfigError(f"{key} must be {_spell(hint)}, got {value!r} ({file}).{boolean}") from None


def _holds_boolean(value: object) -> bool:
    return isinstance(value, list | dict) and any(isinstance(item, bool) for item in value)


def _spell(hint: Any) -> str:
    """An annotation in words a YAML author knows."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(f"'{choice}'" for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_spell(part) for part in arguments)
    if origin is tuple:
        return f"a list of {len(arguments)}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "a mapping of names to values"
    if inspect.isclass(origin) and issubclass(origin, Collection):
        return f"a list of {SPELLED.get(arguments[0], 'values').removeprefix('a ')}s"
    return SPELLED.get(hint, getattr(hint, "__name__", str(hint)))


def locate(target: str, key: str) -> Callable[..., Any]:
    """The class or function of a dotted name.

    Raises:
        ConfigError: If there is none.
    """
    module_name, _, name = str(target).rpartition(".")
    try:
        found = getattr(import_module(module_name), name)
    except MissingExtraError:
        raise
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}._target_: there is no '{target}': {error}.") from None
    if not callable(found):
        raise ConfigError(f"{key}._target_: '{target}' is not a class or function.")
    return typing.cast("Callable[..., Any]", found)


def _hints(build: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(build.__init__ if inspect.isclass(build) else build)


def _title(build: Callable[..., Any]) -> str:
    return f"'{build.__name__}'"


def explain(
    message: str, *, keys: Callable[[], Mapping[str, Any]], malformed: Callable[[], str], folder: Path | None = None
) -> str:
    """Hydra's message of several lines as one sentence with the nearest valid name.

    Args:
        message: What Hydra said.
        keys: All keys there are, with their values; called where a key is unknown.
        malformed: The override that Hydra's grammar refuses; called where there is one.
        folder: Options of the user's own beside the shipped ones.
    """
    first, *rest = [line.strip() for line in message.splitlines() if line.strip()] or ["the configuration is not valid"]
    if match := re.search(r"Could not override '([^']+)'", message):
        return _explain_key(match[1], keys())
    if "override_grammar" in message:
        return f"'{malformed()}' is not of the form key=value; quote a value that holds any of = [ ] {{ }} ( )."
    if first.startswith("Config group override"):
        return f"a group takes the name of one option: {', '.join(f'{group}=<name>' for group in COMPONENTS)}."
    if match := re.search(r"Ambiguous value for argument '\+*([^=]+)=(.+)'", message):
        return f"{match[1]} has several values; add -m to run each, or write {match[1]}=[{match[2]}] for a list."
    if match := re.search(r"(Value '.*') of type '\w+' could not be converted to (\w+)[\s\S]*full_key: (\S+)", message):
        return f"{match[3]} must be {OMEGACONF_TYPES.get(match[2], match[2])}, got {match[1].removeprefix('Value ')}."
    if match := re.search(r"(?:Could not find|In .*: Could not find) '([\w-]+)/([^']+)'", message):
        group, option = match[1], match[2]
        valid = options(folder).get(group, {})
        return f"{group} has no option '{option}'; it has {', '.join(valid)}{nearest(option, valid)}"
    if match := re.search(r"Cannot find primary config '([^']+)'", message):
        names = [path.stem for place in _places(folder) for path in sorted(place.glob("*.yaml"))]
        hint = "" if folder else " A folder of your own is named with -cd <folder>."
        listed = f"{', '.join(names)}{nearest(match[1], names)}{hint}"
        return f"there is no configuration '{match[1]}' to start from (-cn); there is {listed}"
    lines = [line for line in rest if not line.startswith(("full_key", "object_type", "See https"))]
    if match := re.search(r"full_key: (\S+)", message):
        return f"{match[1]}: {lines[-1] if lines else first}"
    return " ".join([first, *lines[:2]])


def _explain_key(key: str, known: Mapping[str, Any]) -> str:
    """That there is no such key, and which one there is, or how to add a name to a mapping such as ``class_weight``."""
    above = [key[: match.start()] for match in re.finditer(r"\.", key) if key[: match.start()] in known]
    if above and "." in above[-1] and _is_open(known[above[-1]]):
        name = key[len(above[-1]) + 1 :]
        return f"{above[-1]} has no '{name}' yet. Add it with ++{key}=<value>."
    return f"there is no key '{key}'{nearest(key, known)} `stancelib train --cfg job` prints them all."


def _is_open(value: object) -> bool:
    """Whether names of the user's own may be below a key."""
    return value in (None, "???") or (isinstance(value, Mapping) and not _is_component(value))


def flat_items(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a nested mapping, with its value."""
    for key, value in config.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from flat_items(value, f"{prefix}{key}.")
