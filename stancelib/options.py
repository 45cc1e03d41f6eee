"""The options under ``configs/``: where they are, what they say, and whether a composed configuration keeps to them.

A component's constructor is its schema: keys are compared with its parameters, values with its annotations.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from stancelib.errors import ConfigError, MissingExtraError, nearest

HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def config_dir() -> Path:
    """The folder of the shipped configs: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def options() -> dict[str, dict[str, str]]:
    """Every config group with its options and their first comment line."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(config_dir().rglob("*.yaml")):
        group = path.parent.relative_to(config_dir()).as_posix()
        if group not in (".", "hydra"):
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            found.setdefault(group, {})[path.stem] = first.removeprefix("#").strip()
    return found


def check_components(config: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Compare every component of a resolved configuration with its constructor, before anything is built.

    Args:
        config: The composed configuration as plain containers.
        choices: The option chosen for each group, to name the file in messages.

    Raises:
        ConfigError: At the first unknown key, missing value or wrong type.
    """
    for group, node in config.items():
        if isinstance(node, Mapping) and "_target_" in node:
            file = f"configs/{group}/{choices[group]}.yaml" if group in choices else "the command line"
            _check_component(node, group, file)
        elif isinstance(node, Mapping):
            raise ConfigError(
                f"{group} has no _target_, so there is nothing to build; choose an option: {group}=<name>."
            )


def _check_component(node: Mapping[str, Any], key: str, file: str) -> None:
    build = locate(node["_target_"], key)
    parameters = inspect.signature(build).parameters
    hints = _hints(build)
    for name, value in node.items():
        if name in HYDRA_KEYS:
            continue
        if name not in parameters:
            raise ConfigError(
                f"{key}.{name}: {_title(build)} has no option '{name}' ({file}); "
                f"it takes {', '.join(parameters) or 'none'}{nearest(name, parameters)}"
            )
        if isinstance(value, Mapping) and "_target_" in value:
            _check_component(value, f"{key}.{name}", file)
        elif name in hints:
            _check_type(f"{key}.{name}", value, hints[name], file)
    for name, parameter in parameters.items():
        if name not in node and parameter.default is parameter.empty and not node.get("_partial_"):
            raise ConfigError(
                f"{key}.{name}: {_title(build)} needs a value for '{name}' ({file}). Add {key}.{name}=<value>."
            )


def _check_type(key: str, value: object, hint: Any, file: str) -> None:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        TypeAdapter(hint, config=ConfigDict(strict=False, arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
        expected = _spell(hint)
        raise ConfigError(f"{key}{place} must be {expected}, got {value!r} ({file}): {first['msg'].lower()}.") from None


def _spell(hint: Any) -> str:
    """An annotation in words a YAML author knows."""
    text = inspect.formatannotation(hint).replace("collections.abc.", "").replace("typing.", "")
    for python, yaml in (("Literal", "one of "), ("None", "null"), ("Sequence", "list"), (" | ", " or ")):
        text = text.replace(python, yaml)
    return text


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


def flat_keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every dotted key of a nested mapping."""
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flat_keys(value, f"{prefix}{key}.")
