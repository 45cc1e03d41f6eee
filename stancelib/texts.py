"""Texts as people mean them: what counts as none, and when two are the same."""

from __future__ import annotations

from typing import Any


def text_or_none(value: Any) -> str | None:
    """A value as text; None for what is missing, blank or not a number."""
    if value is None or value != value:
        return None
    text = value if isinstance(value, str) else str(value)
    return text if text.strip() else None


def folded(text: str) -> str:
    """The text by which two spellings are the same: case and the number of blanks don't count."""
    return " ".join(text.casefold().split())
