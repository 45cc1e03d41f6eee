"""Statements as short hashes: enough to know one again, too little to read it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from stancelib.data.duplicates import keys_of
from stancelib.schema import Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def fingerprints(statements: Statements) -> NDArray[np.uint64]:
    """Eight bytes of BLAKE2b of every statement's duplicate key, shape (n_statements,).

    Statements of the same words towards the same target have the same one; two others share one by a chance of 2**-64.
    """
    import numpy as np

    digests = (hashlib.blake2b("\n".join(key).encode(), digest_size=8).digest() for key in keys_of(statements))
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
