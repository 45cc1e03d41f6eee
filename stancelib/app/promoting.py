"""The gates of ``stancelib promote``, composed like the components of a training run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.app.composing import build
from stancelib.app.sources import Sources, composed, plain_errors
from stancelib.errors import ConfigError, nearest, require
from stancelib.options import config_dir

if TYPE_CHECKING:
    from stancelib.promoting import Gates

GROUP = "promotion"


@dataclass(frozen=True, slots=True)
class Policy:
    """Gates with their origin.

    Args:
        name: The option of the group ``promotion``.
        written: The gates as its file has them.
        gates: The gates to judge by: those, or stricter ones.
    """

    name: str
    written: Gates
    gates: Gates

    def record(self) -> dict[str, Any]:
        """What an audit keeps of it: every value, also those that are the default."""
        return {"policy": {"name": self.name, "gates": asdict(self.written)}, "gates": asdict(self.gates)}


def compose_gates(overrides: Sequence[str] = (), folder: Path | None = None) -> Policy:
    """The gates of a file in the group ``promotion``, and what the command line makes stricter.

    Args:
        overrides: ``<gate>=<value>``, or ``promotion=<option>`` for another file.
        folder: Where options of the user's own are, as ``promotion/<option>.yaml``.

    Raises:
        ConfigError: If an override asks for less than the file, or something doesn't fit ``stancelib.promoting.Gates``.
    """
    from stancelib.promoting import loosenings

    chosen = [one for one in overrides if one.startswith(f"{GROUP}=")]
    name = chosen[-1].partition("=")[2] if chosen else "default"
    _check_option(name, folder)
    values = [one.removeprefix(f"{GROUP}.") for one in overrides if one not in chosen]
    for value in values:
        if "=" not in value or value.startswith(("+", "~", "_")) or re.search(r"\b_target_\b", value):
            raise ConfigError(f"'{value}' is not of the form <gate>=<value>, such as max_ece=0.05.")
    written = _gates(name, [], folder)
    policy = Policy(name, written, _gates(name, values, folder) if values else written)
    for one in loosenings(written, policy.gates):
        raise ConfigError(
            f"{one.asked} would {one.verb} a gate: {GROUP}={name} has {one.configured}, and the command line can only "
            f"make gates stricter; write that value into a policy of your own, <folder>/{GROUP}/<name>.yaml, "
            f"and name it: -cd <folder> {GROUP}=<name>."
        )
    return policy


def _check_option(name: str, folder: Path | None) -> None:
    """Whether a policy is there, once."""
    places = [config_dir(), *([folder] if folder else [])]
    if folder and not (folder / GROUP).is_dir():
        raise ConfigError(f"'{folder}' has no folder '{GROUP}'; policies are <folder>/{GROUP}/<name>.yaml.")
    found = [path.stem for place in places for path in sorted((place / GROUP).glob("*.yaml"))]
    if name not in found:
        hint = "" if folder else " A folder of your own is named with -cd <folder>."
        raise ConfigError(f"{GROUP} has no option '{name}'; it has {', '.join(found)}{nearest(name, found)}{hint}")
    if found.count(name) > 1:
        raise ConfigError(f"'{folder}' has a policy '{name}', and so has the library; give yours another name.")


def _gates(name: str, values: Sequence[str], folder: Path | None) -> Gates:
    require("hydra", "train")
    from omegaconf import OmegaConf

    from stancelib.promoting import Gates

    given = [f"+{GROUP}={name}", *(f"++{GROUP}.{value}" for value in values)]  # unknown ones are told of by `build`
    sources = Sources(folder, None)
    with plain_errors(values, sources):
        plain = OmegaConf.to_container(composed(given, sources), resolve=True)
    assert isinstance(plain, dict)
    parts = {str(key): value for key, value in plain.items()}
    gates = build({GROUP: parts.get(GROUP)}, {GROUP: name}, (GROUP,))[GROUP]
    if type(gates) is not Gates:
        raise ConfigError(f"{GROUP}={name} builds no gates; its _target_ must be stancelib.promoting.Gates.")
    return gates
