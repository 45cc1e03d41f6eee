"""What stands behind a command: flags and overrides, as Hydra's parsers need them, and those without effect."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from stancelib.errors import ConfigError, nearest

FLAGS = ("-m", "--multirun", "-cd", "--config-dir", "-cn", "--config-name", "--cfg", "--resolve", "--help", "--debug")
QUOTED_KEY = r"""([{,]\s*)(["'])([\w.+ -]+)\2(\s*:)"""  # which Hydra's grammar doesn't know
logger = logging.getLogger("stancelib")


def parsed_arguments(arguments: Sequence[str], *, keys: Sequence[str]) -> list[str]:
    """The arguments of ``train`` with all overrides side by side, as Hydra's parser needs them.

    Args:
        arguments: What stood behind ``train`` on the command line.
        keys: The top-level keys, to recognise one that is written as a flag.

    Raises:
        ConfigError: In one sentence, where that parser would show its usage: an unknown flag, one without its value, or
            two that exclude each other.
    """
    known, apart = known_arguments(arguments)
    for flag in apart:
        if flag.startswith("-"):
            name, _, value = flag.lstrip("-").partition("=")
            is_key = name.partition(".")[0] in keys
            hint = f"; did you mean '{name}={value or '…'}'?" if is_key else nearest(flag.partition("=")[0], FLAGS)
            raise ConfigError(f"train has no option '{flag}'{hint}")
    if known.multirun and known.cfg:
        raise ConfigError("--cfg shows a single configuration; leave -m out, and give every key one value.")
    overrides = [*known.overrides, *apart]
    return [*open_mappings(overrides), *(argument for argument in arguments if argument not in overrides)]


def known_arguments(arguments: Sequence[str]) -> tuple[Any, list[str]]:
    """What Hydra's parser makes of the arguments of ``train``, and what it doesn't know.

    Raises:
        ConfigError: In one sentence, where that parser would show its usage.
    """
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> None:
        raise ConfigError(f"{message}. `stancelib train --help` shows how it is used.")

    parser: Any = get_args_parser()
    parser.error = refuse
    known, apart = parser.parse_known_args(list(arguments))
    return known, apart


def open_mappings(overrides: Sequence[str]) -> list[str]:
    """The overrides, those of whole mappings with ``++``, so that they may bring new names.

    Hydra merges ``decision.costs={…}`` into the mapping that is there and refuses what that lacks. Keys that a
    component doesn't take are found by ``check_components``. Keys lose their quotes, which Hydra has no place for.
    """
    overrides = [re.sub(QUOTED_KEY, r"\1\3\4", one) if "={" in one else one for one in overrides]
    return [f"++{override}" if _sets_a_mapping(override) else override for override in overrides]


def _sets_a_mapping(override: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep, OverrideType
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:  # told of where Hydra meets it
        return False
    if parsed.type is not OverrideType.CHANGE or parsed.is_hydra_override():
        return False
    value = parsed.value()
    return any(isinstance(one, dict) for one in (value.list if isinstance(value, ChoiceSweep) else [value]))


def malformed(arguments: Sequence[str]) -> str:
    """The first override that Hydra's grammar refuses; empty if there is none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("-") or before in ("-cd", "-cn", "-cp", "-c", "-p") or before.startswith("--c"):
            continue
        try:
            OverridesParser.create().parse_override(argument)
        except HydraException:
            return argument
    return ""


def warn_unused(overrides: Sequence[str], unused: Mapping[str, str], where: str) -> None:
    """Say which overrides change nothing, and what does instead.

    Args:
        overrides: As the user gave them.
        unused: What to do instead, by key or group of keys.
        where: What they have no effect on.
    """
    for key in (override.lstrip("+~").partition("=")[0] for override in overrides):
        if instead := next((unused[name] for name in unused if f"{key}.".startswith(f"{name}.")), ""):
            logger.warning("%s has no effect on %s: %s", key, where, instead)
