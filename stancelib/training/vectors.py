"""Sentence vectors from a frozen encoder, kept on disk so that a sweep over heads embeds once.

The store is one SQLite file per encoder and pooling, under ``$STANCELIB_CACHE`` or ``~/.cache/stancelib``. Its keys
are digests of the texts. Any number of processes may read and write it; what is damaged or can't be written
is computed again. Deleting the folder is always safe.

Shapes: N texts, D dimensions of the encoder, B texts in a batch, T tokens.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.errors import ConfigError, nearest
from stancelib.training.encoders import (
    EncoderSettings,
    encoder_digest,
    import_torch,
    load_network,
    load_tokenizer,
    torch_threads,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCKS = ("statement", "target", "difference", "product")
ALL_BLOCKS = (*BLOCKS, "interaction")
BATCH = 32
WINDOW = 1024  # texts embedded between two writes: what a killed run loses
_WAIT_SECONDS = 60


class VectorStore:
    """Vectors by text on disk.

    Args:
        path: The SQLite file; made where it doesn't exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of those texts that are there; one that was cut short is not."""
        import numpy as np

        found: dict[str, bytes] = {}
        try:
            with self._connection() as connection:
                for text in texts:
                    row = connection.execute("SELECT vector FROM vectors WHERE text = ?", (_key(text),)).fetchone()
                    if row:
                        found[text] = row[0]
        except (OSError, sqlite3.Error) as error:
            self._warn("read", error)
        size = statistics.mode(map(len, found.values())) if found else 0
        return {
            text: np.frombuffer(blob, dtype="<f4") for text, blob in found.items() if len(blob) == size and not size % 4
        }

    def write(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Add vectors, all of them or none."""
        import numpy as np

        rows = [(_key(text), np.asarray(vector, dtype="<f4").tobytes()) for text, vector in vectors.items()]
        try:
            with self._connection() as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        except (OSError, sqlite3.Error) as error:
            self._warn("written", error)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_WAIT_SECONDS)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
            yield connection

    def _warn(self, what: str, error: Exception) -> None:
        warnings.warn(
            f"the vector cache {self.path} can't be {what} ({error}); vectors are computed instead. "
            "Delete that file, or point STANCELIB_CACHE at a folder that can be written.",
            stacklevel=3,
        )


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def cache_folder() -> Path:
    """``$STANCELIB_CACHE``, or ``~/.cache/stancelib``."""
    return Path(os.environ.get("STANCELIB_CACHE") or Path.home() / ".cache" / "stancelib")


class Vectorizer:
    """Texts in, vectors of length 1 out.

    Torch and the weights are loaded when the first text is really embedded, so a run whose vectors
    are all on disk starts without them.

    Args:
        folder: The encoder's files.
        settings: Pooling, length limit and threads; its ``name`` isn't looked at.
        cached: Keep vectors on disk and look there first.
    """

    def __init__(self, folder: Path, settings: EncoderSettings, *, cached: bool) -> None:
        self.folder = folder
        self.settings = settings
        self.cached = cached
        self.n_embedded = 0

    @cached_property
    def digest(self) -> str:
        """Of the encoder's files."""
        return encoder_digest(self.folder)

    @cached_property
    def tokenizer(self) -> Any:
        """The encoder's tokenizer."""
        return load_tokenizer(self.folder, self.settings.max_tokens)

    @cached_property
    def network(self) -> Any:
        """The encoder as a torch module, on the GPU where there is one."""
        torch = import_torch()
        return load_network(self.folder).to("cuda" if torch.cuda.is_available() else "cpu")

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector a text, shape (n_texts, n_dimensions); each different text is embedded once."""
        import numpy as np

        different = list(dict.fromkeys(texts))
        store = self._store() if self.cached else None
        known = store.read(different) if store else {}
        missing = sorted((text for text in different if text not in known), key=len)
        for start in range(0, len(missing), WINDOW):
            window = missing[start : start + WINDOW]
            fresh = dict(zip(window, self._embed(window), strict=True))
            if store:
                store.write(fresh)
            known |= fresh
        self.n_embedded += len(missing)
        return np.stack([known[text] for text in texts]) if len(texts) else np.zeros((0, 1), np.float32)

    def _store(self) -> VectorStore:
        identity = f"{self.digest} {self.settings.pooling} {self.settings.max_tokens}"
        name = hashlib.sha256(identity.encode()).hexdigest()[:24]
        return VectorStore(cache_folder() / "vectors" / f"{name}.sqlite")

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors without a look at the disk, in batches of similar length."""
        import numpy as np
        import torch

        nothing = [self.network.config.pad_token_id or 0]  # some tokenizers make no token at all of an empty text
        ids = [encoding.ids or nothing for encoding in self.tokenizer.encode_batch(list(texts))]
        order = np.argsort([len(row) for row in ids], kind="stable")
        vectors: list[Any] = [None] * len(texts)
        with torch_threads(self.settings.threads), torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                for row, vector in zip(rows, self._forward([ids[row] for row in rows]), strict=True):
                    vectors[row] = vector
        return np.stack(vectors)

    def _forward(self, ids: list[list[int]]) -> NDArray[np.float32]:
        import torch

        longest = max(map(len, ids))
        padding = self.network.config.pad_token_id or 0
        device = next(self.network.parameters()).device
        ids_BT = torch.tensor([row + [padding] * (longest - len(row)) for row in ids], device=device)
        mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=device)
        hidden_BTD = self.network(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        pooled_BD = pool(hidden_BTD, mask_BT, self.settings.pooling)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled_BD, dim=1).cpu().numpy()
        return vectors


def pool(hidden_BTD: Any, mask_BT: Any, pooling: str) -> Any:
    """One vector a row: the mean over the tokens of its mask, or its first token; shape (n_rows, n_dimensions)."""
    if pooling == "first":
        return hidden_BTD[:, 0]
    mask_BT1 = mask_BT[:, :, None].to(hidden_BTD.dtype)
    return (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1)


def check_blocks(blocks: Sequence[str], *, use_target: bool) -> tuple[str, ...]:
    """The blocks that count, in the order of ``ALL_BLOCKS``; without a target only the statement's.

    Raises:
        ConfigError: If one is unknown, or none is left.
    """
    for block in blocks:
        if block not in ALL_BLOCKS:
            raise ConfigError(
                f"unknown block {block!r}; the blocks are {', '.join(ALL_BLOCKS)}{nearest(block, ALL_BLOCKS)}"
            )
    kept = tuple(block for block in ALL_BLOCKS if block in blocks and (use_target or block == "statement"))
    if not kept:
        raise ConfigError(f"no block is left of {list(blocks)} with use_target={use_target}; add 'statement'.")
    return kept


def pair_features(
    vectorizer: Vectorizer, texts: Sequence[str], targets: Sequence[str | None], blocks: Sequence[str]
) -> NDArray[np.float32]:
    """The blocks of statement t and target q side by side: t, q, |t - q|, t · q and √D t · q, element by element.

    The product of two vectors of length 1 is about 1/√D long, which a penalty on the weights all but silences; the
    interaction is as long as the other blocks. Where a statement has no target, all but the first are 0.

    Returns:
        Shape (n_statements, n_blocks * n_dimensions).
    """
    import numpy as np

    needs_target = tuple(blocks) != ("statement",)
    wanted = list(texts) + ([target for target in targets if target] if needs_target else [])
    vectors = vectorizer.vectors(wanted)
    text_ND = vectors[: len(texts)]
    if not needs_target:
        return text_ND
    has_target = np.array([bool(target) for target in targets], dtype=bool)
    target_ND = np.zeros_like(text_ND)
    target_ND[has_target] = vectors[len(texts) :]
    distance_ND = np.abs(text_ND - target_ND) * has_target[:, None]
    product_ND = text_ND * target_ND
    by_name = {
        "statement": text_ND,
        "target": target_ND,
        "difference": distance_ND,
        "product": product_ND,
        "interaction": np.float32(text_ND.shape[1] ** 0.5) * product_ND,
    }
    return np.hstack([by_name[block] for block in blocks])
