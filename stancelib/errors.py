"""What can go wrong on the user's side, and what to do about it."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class ConfigError(ValueError):
    """A configuration that can't be run: an unknown key, a wrong type, a value out of range."""


class DataError(ValueError):
    """Data that can't be trained or scored on; the message names file and row."""


class BundleError(ValueError):
    """A saved model that is damaged, incomplete, of a newer format or of a foreign type."""


class MissingExtraError(ImportError):
    """An optional dependency that this activity needs is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Raises:
        MissingExtraError: If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"this needs the package '{module}', which is not installed. Run: pip install 'stancelib[{extra}]'",
            name=module,
        ) from None


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a sentence: ``; did you mean 'x'?`` for the closest valid name, a full stop if none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    close = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean '{by_folded[close[0]]}'?" if close else "."
