"""Texts as people mean them: what counts as none, and when two are the same."""

from __future__ import annotations

from typing import Any


def text_or_none(value: Any) -> str | None:
    """A value as text; None for what is missing, blank or not a number."""
    if value is None or value != value:
        return None
    text = value if isinstance(value, str) else str(value)
    return text if text.strip() else None


def is_cut(text: str) -> bool:
    """True where a text holds half of a UTF-16 pair, as one that was cut in the middle of an emoji: it has no UTF-8."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def mended(text: str) -> str:
    """The text with the replacement character U+FFFD for every half of a character, as a model can read it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if is_cut(text) else text


def folded(text: str) -> str:
    """The text by which two spellings are the same: case and the number of blanks don't count."""
    return " ".join(text.casefold().split())
