"""Label sets: names in a fixed order, their definitions, and mappings from other schemes.

A label is bound by its name everywhere; an id is only its position in one LabelSet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stancelib.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

DEFINITIONS = {
    "conditional-accept": (
        "accepts the target in principle and makes it depend on something: a condition, an order, a reservation"
    ),
    "reject": "refuses, rules out, declines or opposes the target, in whatever tone",
    "propose": "puts the target on the table: offers, invites, calls for, suggests or asks for it",
    "accept": "agrees to the target without a condition that the outcome depends on",
    "none": "mentions the target but takes no position on it",
}

BOOLEANS = "YAML reads bare yes, no, on and off as booleans: put label names in quotes."


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The labels of one task, in order.

    Args:
        names: Label names; ids run from 0 in this order.
        definitions: One sentence per label, shown in model cards; labels without one are fine.

    Raises:
        ConfigError: If fewer than two names are given, or one is empty or repeated.
    """

    names: tuple[str, ...]
    definitions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) < 2:
            raise ConfigError(f"a label set needs at least 2 labels, got {list(self.names)}.")
        for name in self.names:
            if not isinstance(name, str) or not name.strip():
                raise ConfigError(f"labels must be non-empty strings, got {name!r}. {BOOLEANS}")
        if repeated := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ConfigError(f"label {repeated[0]!r} is listed more than once.")
        if unknown := sorted(set(self.definitions) - set(self.names)):
            raise ConfigError(
                f"a definition is given for {unknown[0]!r}, which is no label{nearest(unknown[0], self.names)}"
            )

    @classmethod
    def of(cls, names: Iterable[str]) -> LabelSet:
        """A label set with the project's own definitions where a name has one."""
        names = tuple(names)
        return cls(names, {name: DEFINITIONS[name] for name in names if name in DEFINITIONS})

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def id_of(self, name: str) -> int:
        """The id of a label.

        Raises:
            ConfigError: If there is no such label; the message suggests the nearest one.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ConfigError(
                f"unknown label {name!r}; the labels are {', '.join(self.names)}{nearest(str(name), self.names)}"
            ) from None

    def require(self, names: Iterable[str], where: str) -> None:
        """Refuse names that are no label's.

        Args:
            names: As somebody gave them.
            where: The option that holds them, for the message.

        Raises:
            ConfigError: At the first one; the message suggests the nearest label.
        """
        for name in names:
            if name not in self.names:
                hint = f" {BOOLEANS}" if name in ("true", "false") else ""
                known = f"{', '.join(self.names)}{nearest(str(name), self.names)}"
                raise ConfigError(f"{where} names {name!r}, but the labels are {known}{hint}")

    def encode(self, names: Sequence[str]) -> NDArray[np.int_]:
        """Label ids, shape (n,)."""
        import numpy as np

        ids = {name: i for i, name in enumerate(self.names)}
        return np.array([ids[name] if name in ids else self.id_of(name) for name in names], dtype=np.int_)

    def checked(self, ids: ArrayLike) -> NDArray[np.int_]:
        """The ids as an array.

        Raises:
            DataError: If they aren't whole numbers in one dimension, or one is no label's.
        """
        import numpy as np

        found = np.asarray(ids)
        if not found.size:
            return np.zeros(0, np.int_)
        if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
            raise DataError(
                f"label_ids must be whole numbers in one dimension, got {found.dtype} of shape {found.shape}."
            )
        if not 0 <= found.min() <= found.max() < len(self):
            wrong = next(one for one in found.tolist() if not 0 <= one < len(self))
            raise DataError(
                f"label_ids must be from 0 to {len(self) - 1}, as there are {len(self)} labels; got {wrong}."
            )
        return found.astype(np.int_, copy=False)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Label names for ids."""
        return [self.names[i] for i in ids]
