"""Where a configuration is composed from: the shipped options, and a folder of the user's own beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stancelib.app.overriding import known_arguments, malformed
from stancelib.errors import ConfigError
from stancelib.options import config_dir, explain, flat_items, options

PRIMARY = "train"


@dataclass(frozen=True, slots=True)
class Sources:
    """What ``-cd`` and ``-cn`` name.

    Args:
        folder: Options of the user's own, as ``<group>/<option>.yaml``; None for the shipped ones alone.
        name: The primary config, a file of either place.

    Raises:
        ConfigError: If there is no such folder.
    """

    folder: Path | None = None
    name: str | None = PRIMARY

    def __post_init__(self) -> None:
        if self.folder and not self.folder.is_dir():
            raise ConfigError(f"there is no folder '{self.folder}' to take options from (-cd).")

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Sources:
        """Those that arguments of ``train`` name."""
        known, _ = known_arguments(arguments)
        return cls(Path(known.config_dir) if known.config_dir else None, known.config_name or PRIMARY)

    @classmethod
    def of_job(cls) -> Sources:
        """Those of the job that Hydra is running."""
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        folders = (Path(one.path) for one in hydra.runtime.config_sources if one.provider == "command-line")
        return cls(next(folders, None), hydra.job.config_name)

    @property
    def arguments(self) -> list[str]:
        """As the command line has them; a folder below the current one by its name there."""
        given = []
        if self.folder:
            here = self.folder.resolve().is_relative_to(Path.cwd())
            given += ["-cd", str(self.folder.resolve().relative_to(Path.cwd()) if here else self.folder)]
        return given + (["-cn", self.name] if self.name not in (PRIMARY, None) else [])


def composed(overrides: Sequence[str], sources: Sources, *, with_hydra: bool = False) -> Any:
    """The configuration as Hydra composes it, with its own part or without."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.hydra import Hydra
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        if sources.folder:  # the public functions know one folder, and look for the primary config in no other
            path = GlobalHydra.instance().config_loader().get_search_path()
            path.prepend("command-line", f"file://{sources.folder.resolve()}", SearchPathQuery(provider="schema"))
            GlobalHydra.instance().clear()
            Hydra.create_main_hydra2("stancelib", path)
        return compose(sources.name, overrides=[*overrides], return_hydra_config=with_hydra)


class plain_errors:  # noqa: N801 - reads as a statement: with plain_errors(…)
    """Turns the exceptions of Hydra, OmegaConf and YAML into one ConfigError sentence."""

    def __init__(self, arguments: Sequence[str], sources: Sources) -> None:
        self.arguments, self.sources = arguments, sources

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException
        from yaml import MarkedYAMLError

        if isinstance(error, MarkedYAMLError) and (place := error.problem_mark):
            raise ConfigError(f"{place.name} line {place.line + 1} can't be read: {error.problem}.") from error
        bad_group = isinstance(error, ValueError) and "Config group override must be" in str(error)
        if bad_group or isinstance(error, HydraException | OmegaConfBaseException):
            assert error is not None
            sentence = explain(
                f"{error}\n{error.__cause__ or ''}",
                keys=lambda: _items(self.arguments, self.sources),
                malformed=lambda: malformed(self.arguments),
                folder=self.sources.folder,
            )
            raise ConfigError(sentence) from error


def _items(arguments: Sequence[str], sources: Sources) -> dict[str, Any]:
    """The keys that the chosen options have, with their values, for suggestions."""
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    known = options(sources.folder)
    chosen = [a for a in arguments if a.partition("=")[2] in known.get(a.partition("=")[0], {})]
    GlobalHydra.instance().clear()
    plain = OmegaConf.to_container(composed(chosen, sources), resolve=False)
    assert isinstance(plain, dict)
    return {key: value for key, value in flat_items({str(k): v for k, v in plain.items()}) if not key.endswith("_")}
