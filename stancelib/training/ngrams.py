"""TF-IDF blocks of statement and target, side by side in one sparse matrix.

Blocks: word n-grams of the statement, character n-grams of the statement, word n-grams of the target, and
(with a target) how much of the target's wording the statement repeats.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stancelib.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOKEN = r"(?u)\w+|[^\w\s]"  # noqa: S105 - punctuation counts: a question mark often makes a proposal
_WORD = re.compile(r"\w+")
N_OVERLAP = 3


@dataclass(frozen=True, slots=True)
class Ngrams:
    """Which n-grams of a statement count.

    Args:
        word: Shortest and longest word n-gram, or None for no word block.
        char: Shortest and longest character n-gram inside word boundaries, or None for no character block.
        min_df: Statements that an n-gram must occur in, at least 1.
        max_features: The most frequent n-grams kept per block, or None for all.

    Raises:
        ValueError: If a range is empty or upside down, both blocks are off, or a number is below 1.
    """

    word: tuple[int, int] | None = (1, 2)
    char: tuple[int, int] | None = (3, 5)
    min_df: int = 2
    max_features: int | None = None

    def __post_init__(self) -> None:
        for name in ("word", "char"):
            if (span := getattr(self, name)) is None:
                continue
            object.__setattr__(self, name, tuple(span))
            if len(span) != 2 or not 1 <= span[0] <= span[1]:
                raise ValueError(f"{name} must be [shortest, longest] with 1 <= shortest <= longest, got {list(span)}.")
        if self.word is None and self.char is None:
            raise ValueError("word and char are both null; one block of n-grams is needed.")
        for name in ("min_df", "max_features"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}.")


class TextBlocks:
    """Turns statements into the sparse matrix of their blocks.

    Args:
        ngrams: Which n-grams of the statement count.
        use_target: Add the target's words and the overlap of statement and target.
    """

    def __init__(self, *, ngrams: Ngrams, use_target: bool) -> None:
        self.ngrams = ngrams
        self.use_target = use_target

    def fit_transform(self, texts: Sequence[str], targets: Sequence[str | None]) -> csr_matrix:
        """Learn vocabularies and document frequencies; the matrix, shape (n_statements, n_features).

        Raises:
            DataError: If no n-gram is in as many statements as it takes, and nothing else would be left to go by.
        """
        self.vectorizers_, parts = {}, []
        for name, options in self._options().items():
            vectorizer = _vectorizer(options)
            if _has_terms(vectorizer, _source(name, texts, targets)):
                parts.append(vectorizer.fit_transform(_source(name, texts, targets)))
                self.vectorizers_[name] = vectorizer
        if not parts and not self.use_target:
            raise DataError(
                f"no n-gram is in {self.ngrams.min_df} of the {len(texts)} training statements: lower ngrams.min_df, "
                "or give more statements."
            )
        return self._stack(parts, texts, targets)

    def transform(self, texts: Sequence[str], targets: Sequence[str | None]) -> csr_matrix:
        """The matrix, shape (n_statements, n_features)."""
        parts = [vectorizer.transform(_source(name, texts, targets)) for name, vectorizer in self.vectorizers_.items()]
        return self._stack(parts, texts, targets)

    def save(self, folder: Path) -> None:
        """Write ``blocks.json``, one ``vocabulary.*.json`` a block, and ``idf.safetensors``."""
        import numpy as np
        from safetensors.numpy import save_file

        settings = {"ngrams": asdict(self.ngrams), "use_target": self.use_target, "blocks": list(self.vectorizers_)}
        (folder / "blocks.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
        for name, vectorizer in self.vectorizers_.items():
            terms = _terms(vectorizer)
            (folder / f"vocabulary.{name}.json").write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
        save_file({name: np.asarray(v.idf_) for name, v in self.vectorizers_.items()}, folder / "idf.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The blocks that ``save`` wrote."""
        from safetensors.numpy import load_file

        settings = json.loads((folder / "blocks.json").read_text(encoding="utf-8"))
        blocks = cls(ngrams=Ngrams(**settings["ngrams"]), use_target=settings["use_target"])
        idf = load_file(folder / "idf.safetensors")
        blocks.vectorizers_ = {}
        for name in settings["blocks"]:
            terms = json.loads((folder / f"vocabulary.{name}.json").read_text(encoding="utf-8"))
            vocabulary = {term: column for column, term in enumerate(terms)}
            vectorizer = _vectorizer(blocks._options()[name] | {"vocabulary": vocabulary})
            vectorizer.idf_ = idf[name]
            blocks.vectorizers_[name] = vectorizer
        return blocks

    @property
    def feature_names(self) -> list[str]:
        """A readable name for every column, such as ``word:as long as``."""
        names = [f"{block}:{term}" for block, v in self.vectorizers_.items() for term in _terms(v)]
        return names + (["overlap:target", "overlap:jaccard", "overlap:longest"] if self.use_target else [])

    def _options(self) -> dict[str, dict[str, Any]]:
        """What makes each block's vectorizer."""
        limits = {"min_df": self.ngrams.min_df, "max_features": self.ngrams.max_features}
        options: dict[str, dict[str, Any]] = {}
        if self.ngrams.word:
            options["word"] = {"analyzer": "word", "token_pattern": TOKEN, "ngram_range": self.ngrams.word} | limits
        if self.ngrams.char:
            options["char"] = {"analyzer": "char_wb", "ngram_range": self.ngrams.char} | limits
        if self.use_target:
            options["target"] = {"analyzer": "word", "token_pattern": TOKEN, "ngram_range": (1, 2)} | limits
        return options

    def _stack(self, parts: list[Any], texts: Sequence[str], targets: Sequence[str | None]) -> csr_matrix:
        from scipy.sparse import csr_matrix, hstack

        if self.use_target:
            parts.append(csr_matrix(_overlaps(texts, targets)))
        return hstack(parts, format="csr")


def _vectorizer(options: dict[str, Any]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, lowercase=True, **options)


def _source(block: str, texts: Sequence[str], targets: Sequence[str | None]) -> Iterable[str]:
    return (target or "" for target in targets) if block == "target" else texts


def _terms(vectorizer: Any) -> list[str]:
    """The block's n-grams in the order of its columns."""
    return sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)


def _has_terms(vectorizer: Any, documents: Iterable[str]) -> bool:
    """False where no n-gram is frequent enough for a vocabulary, as on a handful of rows."""
    analyze = vectorizer.build_analyzer()
    seen: Counter[str] = Counter()
    for document in documents:
        terms = set(analyze(document))
        seen.update(terms)
        if any(seen[term] >= vectorizer.min_df for term in terms):
            return True
    return False


def _overlaps(texts: Sequence[str], targets: Sequence[str | None]) -> list[list[float]]:
    """Share of the target's words in the statement, Jaccard index, and longest shared word in tens of letters."""
    words_of: dict[str, set[str]] = {}
    rows = []
    for text, target in zip(texts, targets, strict=True):
        if not target:
            rows.append([0.0] * N_OVERLAP)
            continue
        if target not in words_of:
            words_of[target] = set(_WORD.findall(target.lower()))
        wanted, found = words_of[target], set(_WORD.findall(text.lower()))
        shared = wanted & found
        longest = max(map(len, shared), default=0)
        rows.append(
            [len(shared) / max(len(wanted), 1), len(shared) / max(len(wanted | found), 1), min(longest, 20) / 10]
        )
    return rows
