"""Texts as people mean them: what counts as none, and when two are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stancelib.errors import DataError


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


def require_texts(name: str, values: Sequence[Any], *, or_none: bool = False) -> None:
    """Refuse values that are no texts.

    Args:
        name: What the values are, for the message.
        values: In the order of the statements.
        or_none: None is allowed too.

    Raises:
        DataError: If one is something else, or holds half of a character; the message has its number, from 1.
    """
    allowed = (str, type(None)) if or_none else (str,)
    if not all(issubclass(kind, allowed) for kind in set(map(type, values))):
        row = next(row for row, value in enumerate(values) if not isinstance(value, allowed))
        wanted = "a string or None" if or_none else "a string"
        raise DataError(f"{name} {row + 1} must be {wanted}, got {values[row]!r}.")
    for row, value in enumerate(values, start=1):
        if value is not None and is_cut(value):
            raise DataError(f"{name} {row} holds half of a character, as if cut in the middle of an emoji: {value!r}.")
