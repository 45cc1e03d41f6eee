"""Tokenised rows, and batches of similar length.

Rows are tokenised once. An epoch shuffles them, sorts windows of 50 batches by length, cuts batches
and shuffles those: little padding, and still another order in every epoch.

Shapes: B rows in a batch, T tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stancelib.errors import ConfigError
from stancelib.training.evidence import evidence_tokens

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
        statement: 1 in the statement's own tokens, 0 in the target's and in special ones.
        evidence: 1 in tokens of the statement's evidence, 0 in others, -1 where it isn't known; None for no evidence.
    """

    ids: NDArray[np.int32]
    segments: NDArray[np.int8]
    starts: NDArray[np.int64]
    padding_id: int
    statement: NDArray[np.int8]
    evidence: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, shape (n_rows,)."""
        return self.starts[1:] - self.starts[:-1]

    def batch(self, rows: Sequence[int] | NDArray[np.int_]) -> dict[str, Any]:
        """Padded tensors of these rows, each of shape (n_rows, n_tokens).

        They are under the encoder's argument names; ``statement_mask`` and ``evidence`` are for what follows it.
        """
        import numpy as np
        import torch

        columns: dict[str, NDArray[Any]] = {
            "input_ids": self.ids,
            "token_type_ids": self.segments,
            "statement_mask": self.statement,
        }
        if self.evidence is not None:
            columns["evidence"] = self.evidence
        longest = max(int(self.starts[row + 1] - self.starts[row]) for row in rows)
        arrays = {name: np.zeros((len(rows), longest), np.int64) for name in (*columns, "attention_mask")}
        arrays["input_ids"].fill(self.padding_id)
        for i, row in enumerate(rows):
            start, end = self.starts[row], self.starts[row + 1]
            arrays["attention_mask"][i, : end - start] = 1
            for name, values in columns.items():
                arrays[name][i, : end - start] = values[start:end]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def tokenize(
    tokenizer: Any,
    texts: Sequence[str],
    targets: Sequence[str | None] | None,
    *,
    evidence: Sequence[str | None] | None = None,
    padding_id: int = 0,
) -> TokenRows:
    """Tokens of each statement, behind its target where there are targets; an absent target counts as an empty one.

    Args:
        tokenizer: What makes them.
        texts: The statements.
        targets: As many; None to read the statements alone.
        evidence: The part of each statement that its label rests on: empty for none, None where it isn't known.
        padding_id: See ``TokenRows``; also the single token of a text of which the tokenizer makes none.
    """
    import numpy as np

    own, nothing = (0 if targets is None else 1), np.zeros(0, np.int8)
    ids, segments, marks, found, lengths = [np.zeros(0, np.int32)], [nothing], [nothing], [nothing], [0]
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        window: Sequence[Any] = texts[start : start + ENCODED_AT_ONCE]
        if targets is not None:
            window = [(target or "", text) for target, text in zip(targets[start:], window, strict=False)]
        for row, encoding in enumerate(tokenizer.encode_batch(window), start):
            ids.append(np.array(encoding.ids or [padding_id], np.int32))
            segments.append(np.array(encoding.type_ids or [0], np.int8))
            marks.append(np.array([side == own for side in encoding.sequence_ids] or [0], np.int8))
            lengths.append(len(ids[-1]))
            if evidence is not None:
                found.append(evidence_tokens(encoding, texts[row], evidence[row], marks[-1]))
    return TokenRows(
        ids=np.concatenate(ids),
        segments=np.concatenate(segments),
        starts=np.cumsum(lengths, dtype=np.int64),
        padding_id=padding_id,
        statement=np.concatenate(marks),
        evidence=None if evidence is None else np.concatenate(found),
    )


def mask_token(tokenizer: Any) -> int:
    """The id of the token that stands for a hidden one.

    Raises:
        ConfigError: If the tokenizer has none.
    """
    for name in ("[MASK]", "<mask>"):
        if (found := tokenizer.token_to_id(name)) is not None:
            return int(found)
    raise ConfigError("this encoder's tokenizer has no mask token; set augment.masked to 0.")


def single_token(token_id: int) -> TokenRows:
    """One row of one token."""
    import numpy as np

    ones = np.ones(1, np.int8)
    return TokenRows(np.array([token_id], np.int32), 0 * ones, np.arange(2), padding_id=0, statement=ones)


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
