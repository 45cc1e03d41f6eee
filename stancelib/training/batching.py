"""Tokenised rows, and batches of similar length.

Rows are tokenised once. An epoch shuffles them, sorts windows of 50 batches by length, cuts batches
and shuffles those: little padding, and still another order in every epoch.

Shapes: B rows in a batch, T tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 50
ENCODED_AT_ONCE = 1024  # the tokenizer's own rows take some kilobytes each


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Token ids of many rows, end to end.

    Args:
        ids: Token ids of all rows.
        segments: 0 in the first text of a pair, 1 in the second.
        starts: Where each row begins in ``ids``, and the end of the last one; shape (n_rows + 1,).
        padding_id: What fills a batch up.
    """

    ids: NDArray[np.int32]
    segments: NDArray[np.int8]
    starts: NDArray[np.int64]
    padding_id: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, shape (n_rows,)."""
        return self.starts[1:] - self.starts[:-1]

    def batch(self, rows: Sequence[int] | NDArray[np.int_]) -> dict[str, Any]:
        """Padded tensors of these rows, each of shape (n_rows, n_tokens), under the encoder's argument names."""
        import numpy as np
        import torch

        longest = max(int(self.starts[row + 1] - self.starts[row]) for row in rows)
        ids_BT = np.full((len(rows), longest), self.padding_id, np.int64)
        segments_BT = np.zeros((len(rows), longest), np.int64)
        mask_BT = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            start, end = self.starts[row], self.starts[row + 1]
            ids_BT[i, : end - start] = self.ids[start:end]
            segments_BT[i, : end - start] = self.segments[start:end]
            mask_BT[i, : end - start] = 1
        arrays = {"input_ids": ids_BT, "token_type_ids": segments_BT, "attention_mask": mask_BT}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def tokenize(
    tokenizer: Any, texts: Sequence[str], targets: Sequence[str | None] | None, *, padding_id: int = 0
) -> TokenRows:
    """Tokens of each statement, behind its target where there are targets; an absent target counts as an empty one."""
    import numpy as np

    ids, segments, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int8)], [0]
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        window: Sequence[Any] = texts[start : start + ENCODED_AT_ONCE]
        if targets is not None:
            window = [(target or "", text) for target, text in zip(targets[start:], window, strict=False)]
        for encoding in tokenizer.encode_batch(window):  # some tokenizers make no token at all of an empty statement
            ids.append(np.array(encoding.ids or [padding_id], np.int32))
            segments.append(np.array(encoding.type_ids or [0], np.int8))
            lengths.append(len(ids[-1]))
    return TokenRows(np.concatenate(ids), np.concatenate(segments), np.cumsum(lengths, dtype=np.int64), padding_id)


def bucketed(lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int_]]:
    """One epoch: every row once, in batches of similar length, in random order."""
    import numpy as np

    order = rng.permutation(len(lengths))
    window = batch_size * WINDOW
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def by_length(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int_]]:
    """Every row once, shortest first: for prediction, where the order is free."""
    import numpy as np

    order = np.argsort(lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
