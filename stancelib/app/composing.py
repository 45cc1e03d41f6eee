"""From overrides to checked components."""

from __future__ import annotations

import importlib.util
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stancelib.app.overriding import open_mappings
from stancelib.app.sources import Sources, composed, plain_errors
from stancelib.errors import ConfigError, MissingExtraError, nearest, require
from stancelib.options import COMPONENTS, check_components

MAX_SEED = 2**32  # what numpy and scikit-learn take is below it


@dataclass
class TrainConfig:
    """The keys of a run; the components are checked against their constructors."""

    data: Any
    split: Any
    model: Any
    evaluation: Any
    decision: Any
    tracking: Any
    seed: int = 0
    name: str | None = None
    resume: bool = False
    seeds: int = 1


def compose(
    overrides: Sequence[str], parts: Sequence[str], sources: Sources | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Some components of a composed configuration, and the whole of it as plain containers.

    Args:
        overrides: As for ``train``.
        parts: The groups to build.
        sources: Where options of the user's own are; None for the shipped ones alone.

    Raises:
        ConfigError: If the configuration can't be composed or doesn't fit the components.
    """
    require("hydra", "train")
    sources = sources or Sources()
    register()
    with plain_errors(overrides, sources):
        config = composed(open_mappings(overrides), sources, with_hydra=True)
        choices = dict(config.hydra.runtime.choices)
        plain = resolved(config)
    return build(plain, choices, parts), plain


def resolved(config: Any) -> dict[str, Any]:
    """The job's configuration as plain containers, every value there."""
    from omegaconf import OmegaConf

    keys = [key for key in config if key != "hydra"]
    config = OmegaConf.masked_copy(config, keys)
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise ConfigError(f"{missing[0]} has no value yet. Add {missing[0]}=<value>.")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    known = TrainConfig.__dataclass_fields__
    if unknown := [str(key) for key in plain if key not in known]:
        raise ConfigError(f"unknown key '{unknown[0]}'; the keys are {', '.join(known)}{nearest(unknown[0], known)}")
    if not 0 <= plain["seed"] < MAX_SEED:
        raise ConfigError(f"seed must be at least 0 and below {MAX_SEED}, got {plain['seed']}.")
    return {str(key): value for key, value in plain.items()}


def build(plain: Mapping[str, Any], choices: Mapping[str, str], parts: Sequence[str]) -> dict[str, Any]:
    """Instantiate components; everything is checked before the first is built."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    from stancelib.app.encoders import with_encoder_folders
    from stancelib.data.splitting import check_options

    check_components({part: plain[part] for part in parts}, choices)
    built = {}
    for part in parts:
        try:
            built[part] = instantiate(with_encoder_folders(plain[part]), _convert_="all")
        except InstantiationException as error:
            cause = error.__cause__
            if isinstance(cause, ValueError | TypeError) and type(cause) in (ValueError, TypeError):
                raise ConfigError(f"{part}={choices.get(part, '')}: {cause}") from cause
            raise cause or error from None
        if part == "split":
            check_options(built[part])
        if part == "model":
            _check_installed(built[part], choices.get(part, ""))
    return built


def _check_installed(model: Any, choice: str) -> None:
    """Before a run begins, and before the data are read.

    Raises:
        MissingExtraError: If the family needs packages that aren't there.
    """
    extra = getattr(model, "extra", "")
    if extra and importlib.util.find_spec(extra) is None:
        raise MissingExtraError(
            f"model={choice} needs the package '{extra}', which is not installed. "
            f"Run: pip install 'stancelib[{extra},offline]', or take model=tfidf.",
            name=extra,
        )


@lru_cache(maxsize=1)
def register() -> None:
    """Make the schema and the resolver known to Hydra, once per process."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import MISSING, OmegaConf

    schema = TrainConfig(*[MISSING] * len(COMPONENTS))
    ConfigStore.instance().store(name="_train_schema", node=schema)
    OmegaConf.register_new_resolver("stancelib.uid", lambda: uuid.uuid4().hex[:6], use_cache=True, replace=True)
    logging.getLogger("hydra").setLevel(logging.WARNING)
