"""The gates of ``stancelib promote``, composed like the components of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stancelib.app.composing import build, plain_errors
from stancelib.errors import ConfigError, require
from stancelib.options import config_dir

if TYPE_CHECKING:
    from stancelib.promoting import Gates

GROUP = "promotion"


def compose_gates(overrides: Sequence[str] = ()) -> tuple[Gates, dict[str, Any]]:
    """The gates of ``configs/promotion``, and their configuration as plain containers.

    Args:
        overrides: ``<gate>=<value>``, or ``promotion=<option>`` for another file.

    Raises:
        ConfigError: If an override doesn't fit ``stancelib.promoting.Gates``.
    """
    require("hydra", "train")
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    options = [one for one in overrides if one.startswith(f"{GROUP}=")] or [f"{GROUP}=default"]
    values = [one.removeprefix(f"{GROUP}.") for one in overrides if not one.startswith(f"{GROUP}=")]
    for value in values:
        if "=" not in value or value.startswith(("+", "~", "_")):
            raise ConfigError(f"'{value}' is not of the form <gate>=<value>, such as max_ece=0.05.")
    given = [f"+{options[-1]}", *(f"++{GROUP}.{value}" for value in values)]  # unknown ones are told of by `build`
    with plain_errors(values):
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            config = hydra_compose(None, overrides=given)
        plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    parts = {str(key): value for key, value in plain.items()}
    gates: Gates = build(parts, {GROUP: options[-1].partition("=")[2]}, (GROUP,))[GROUP]
    return gates, {key: value for key, value in parts[GROUP].items() if not key.startswith("_")}
