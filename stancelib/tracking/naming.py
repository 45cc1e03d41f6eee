"""Names and values in the form that MLflow takes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from stancelib.errors import ConfigError

KEY_CHARACTERS = 250


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """The names that MLflow accepts, by the names; where two would be one, the later gets a number."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        key, number = key_of(name), 2
        while key in taken:
            key, number = f"{key_of(name)[: KEY_CHARACTERS - 5]}-{number}", number + 1
        found[name] = key
        taken.add(key)
    return found


def key_of(name: str) -> str:
    """A name that MLflow accepts: no brackets, ``=`` or ``@``, and at most one slash, between two parts."""
    group, slash, rest = text_of(name).partition("/")
    text = re.sub(r"[^\w. :/-]", "_", f"{group}{slash}{rest.replace('/', '_')}")
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    key = "/".join(parts)[:KEY_CHARACTERS].rstrip("/") or "_"
    return f"_{key[1:]}" if key.startswith("..") else key


def check_alias(alias: str) -> None:
    """Refuse an alias that MLflow doesn't allow.

    Raises:
        ConfigError: If it is one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", alias) or re.fullmatch(r"latest|[vV]\d+", alias):
        raise ConfigError(
            f"'{alias}' can't be an alias: letters, digits, '-', '_' and '.', and not latest or v<number>."
        )


def check_model_name(name: str) -> None:
    """Refuse a name that MLflow doesn't register models under, or can't look for.

    Raises:
        ConfigError: If it is one.
    """
    if not name.strip() or name in (".", "..") or re.search(r"[/:'\"\x00-\x1f]", name):
        raise ConfigError(
            f"{name!r} can't be the name of a registered model: it must not be empty, and have no '/', ':' or quotes."
        )


def text_of(value: object) -> str:
    """The value as people write it, lists and mappings as JSON, in characters that UTF-8 can carry."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
    return text.encode("utf-8", "replace").decode()
