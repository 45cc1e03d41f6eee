"""Names and values in the form that MLflow takes them."""

from __future__ import annotations

import json
import re

KEY_CHARACTERS = 250


def key_of(name: str) -> str:
    """A name that MLflow accepts: no brackets, ``=`` or ``@``, and no empty part between slashes."""
    parts = [part for part in re.sub(r"[^\w. :/-]", "_", text_of(name)).split("/") if part not in ("", ".", "..")]
    key = "/".join(parts)[:KEY_CHARACTERS].rstrip("/") or "_"
    return f"_{key[1:]}" if key.startswith("..") else key


def text_of(value: object) -> str:
    """The value as people write it, lists and mappings as JSON, in characters that UTF-8 can carry."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
    return text.encode("utf-8", "replace").decode()
