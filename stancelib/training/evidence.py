"""Evidence: the part of a statement that its label rests on, which an encoder learns to mark beside the label.

Shapes: B rows in a batch, T tokens of its longest row.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from stancelib.schema import Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def evidence_in(statements: Statements, column: str) -> list[str | None]:
    """The evidence of each statement: blank for none, None where it isn't known or no part of the statement."""
    given = [value.strip() if isinstance(value, str) else None for value in statements.column(column)]
    found = [
        part if part is not None and part in text else None for part, text in zip(given, statements.texts, strict=True)
    ]
    if lost := [row for row, part in enumerate(given) if part != found[row]]:
        warnings.warn(
            f"the {column} of {len(lost):,} of {len(given):,} statements is no part of them, word for word, and isn't "
            f"learned from: {given[lost[0]]!r} of {statements.texts[lost[0]]!r}. loss.evidence names its column.",
            stacklevel=2,
        )
    return found


def evidence_tokens(encoding: Any, text: str, evidence: str | None, statement: NDArray[np.int8]) -> NDArray[np.int8]:
    """1 where one of the statement's tokens overlaps its evidence, 0 elsewhere; -1 throughout where it isn't known."""
    import numpy as np

    if evidence is None or not encoding.offsets:
        return np.full(len(statement), -1, np.int8)
    first = text.index(evidence)
    begins, ends = np.array(encoding.offsets).T
    overlaps: NDArray[np.bool_] = (begins < first + len(evidence)) & (ends > first) & (statement == 1)
    return overlaps.astype(np.int8)
