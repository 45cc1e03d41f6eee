"""Writes variations of the train split's statements for a teacher to label: reworded, recombined, aimed elsewhere.

Every one starts from a text of any of the five labels and its own target or, in 3 of 10, another one of its domain.
Then each of these happens by chance: a clause is exchanged with one of another statement of the domain; a second
statement follows; words are replaced by near ones (cosine of their vectors from the encoder); words are dropped.
usage: python pool.py POOL.jsonl N_VARIATIONS
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from stancelib.data.statements import statements
from stancelib.data.writing import write_rows
from stancelib.schema import TRAIN, Statements
from stancelib.training.encoders import EncoderSettings, find_encoder
from stancelib.training.vectors import Vectorizer

LABELS = ("conditional-accept", "reject", "propose", "accept", "none")
CLAUSE = re.compile(r"(?<=[.;,:!?–—])\s+")
WORD = re.compile(r"[a-z']+")
N_NEAR = 8
EXCHANGED, FOLLOWED, REWORDED, SHORTENED = 0.35, 0.15, 0.6, 0.15  # shares of the variations
REPLACED, DROPPED = 0.2, 0.1  # shares of the words of one


def near_words(texts: list[str]) -> dict[str, list[str]]:
    """For every word that occurs, the nearest others."""
    words = sorted({word for text in texts for word in WORD.findall(text.lower())})
    encoder = EncoderSettings()
    vectors = Vectorizer(find_encoder(encoder.name, None), encoder, cached=True).vectors(words)
    near = {}
    for word, similarity in zip(words, vectors @ vectors.T, strict=True):
        order = np.argsort(-similarity)[1 : N_NEAR + 1]
        near[word] = [words[i] for i in order]
    return near


def exchange(text: str, other: str, random: np.random.Generator) -> str:
    """The text with one of its clauses replaced by one of the other's."""
    clauses, others = CLAUSE.split(text), CLAUSE.split(other)
    clauses[random.integers(len(clauses))] = others[random.integers(len(others))]
    return " ".join(clauses)


def reword(text: str, near: dict[str, list[str]], random: np.random.Generator) -> str:
    """The text with some words replaced by near ones."""

    def replacement(match: re.Match[str]) -> str:
        options = near.get(match.group().lower())
        return str(random.choice(options)) if options and random.random() < REPLACED else match.group()

    return re.sub(r"[A-Za-z']+", replacement, text)


def shorten(text: str, random: np.random.Generator) -> str:
    """The text without some of its words."""
    return " ".join(word for word in text.split() if random.random() >= DROPPED) or text


def vary(train: Statements, row: int, rows: list[int], near: dict[str, list[str]], random: np.random.Generator) -> str:
    """One variation of a statement; ``rows`` are those of its domain."""
    text = train.texts[row]
    if random.random() < EXCHANGED:
        text = exchange(text, train.texts[random.choice(rows)], random)
    if random.random() < FOLLOWED:
        text = f"{text} {train.texts[random.choice(rows)]}"
    if random.random() < REWORDED:
        text = reword(text, near, random)
    return shorten(text, random) if random.random() < SHORTENED else text


def main(path: Path, n_variations: int) -> None:
    """Write the pool."""
    train = statements(labels=LABELS).split(TRAIN)
    domains = train.columns["domain"]
    rows_of = defaultdict(list)
    for row, domain in enumerate(domains):
        rows_of[domain].append(row)
    targets_of = {domain: sorted({train.targets[row] for row in rows}) for domain, rows in rows_of.items()}
    near = near_words(list(train.texts))
    random = np.random.default_rng(0)
    with write_rows(path) as write:
        for _ in range(n_variations):
            row = int(random.integers(len(train)))
            domain = domains[row]
            target = train.targets[row] if random.random() < 0.7 else str(random.choice(targets_of[domain]))
            write([{"text": vary(train, row, rows_of[domain], near, random), "target": target}])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
