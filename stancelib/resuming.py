"""An earlier run that ``resume=true`` goes on with or skips, and why another one can't be gone on with."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stancelib.errors import ConfigError
from stancelib.journal import read_events, run_folders, run_state
from stancelib.provenance import config_hash, flatten
from stancelib.recording import BUNDLE, CONFIG, Scores

logger = logging.getLogger("stancelib")


def earlier_run(
    roots: Sequence[Path], config: Mapping[str, Any], digest: str, *, tag: str = "split.digest"
) -> tuple[Path, bool] | None:
    """The newest run folder with this configuration on these data, and whether it is finished; None without one.

    A finished run wins over an unfinished one: there is nothing left to do. One that took a member, teacher, encoder or
    file which is newer than it, is passed over.

    Args:
        roots: Folders to look in, at any depth.
        config: The configuration.
        digest: The digest of the corpus.
        tag: The tag of a run that begins with it.
    """
    wanted, found = config_hash(config), []
    for folder in dict.fromkeys(folder for root in roots for folder in run_folders(root)):
        path = folder / CONFIG
        if not path.is_file() or _config_hash_of(path) != wanted:
            continue
        if _tag(folder, tag) not in ("", digest[:12]):
            logger.warning("%s has this configuration, but its data have changed since: starting anew", folder)
            continue
        if newer := next((one for one in _inputs(config) if one.stat().st_mtime > path.stat().st_mtime), None):
            logger.warning("%s has this configuration, but '%s' has changed since: starting anew", folder, newer)
            continue
        found.append((run_state(folder).status == "FINISHED", path.stat().st_mtime, folder))
    if not found:
        return None
    finished, _, folder = max(found)
    return folder, finished


def refuse_other_run(folder: Path, config: Mapping[str, Any]) -> None:
    """Say why a run that is in a folder can't be gone on with.

    Args:
        folder: Where a run with this configuration is to begin.
        config: The configuration.

    Raises:
        ConfigError: If there is a run in it; the message has what differs.
    """
    if folder not in run_folders(folder):  # rather than below it
        return
    path = folder / CONFIG
    before = flatten(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    now = flatten(config)
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    told = "; ".join(f"{key} is {before.get(key)!r} there and {now.get(key)!r} here" for key in keys[:3])
    more = f", and {len(keys) - 3} more differ" * (len(keys) > 3)
    why = f"of another configuration ({told}{more})" if keys and before else "on data or models that have changed since"
    raise ConfigError(f"the run in '{folder}' is {why}, so it can't be gone on with; choose another folder.")


def _inputs(config: Mapping[str, Any]) -> Iterator[Path]:
    """The files beside the data that a configuration names: of members, teachers and encoders, and further ones."""
    for group in config.keys() - {"data", "tracking"}:
        for text in _texts_in(config[group]):
            named = (
                Path(text),
                *(Path(text, name) for name in ("manifest.json", f"{BUNDLE}/manifest.json", "config.json")),
            )
            with suppress(OSError, ValueError):  # a text that no path could be
                yield from (path for path in named if path.is_file())


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(one)


def _config_hash_of(path: Path) -> str:
    try:
        return config_hash(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        logger.warning("'%s' is no JSON and was passed over", path)
        return ""


def _tag(folder: Path, name: str) -> str:
    """The last value of a tag in a run's journal; empty if there is none."""
    values = [event["values"].get(name, "") for event, _ in read_events(folder) if event["event"] == "tags"]
    return next((str(value) for value in reversed(values) if value), "")


def recorded_scores(folder: Path) -> Scores:
    """The scores by split that a finished run kept in its bundle."""
    manifest = json.loads((folder / BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    scores: Scores = manifest["scores"]
    return scores
