"""The Hydra application: composes a configuration, checks it, builds its components and runs them.

This folder alone imports Hydra, and all ``instantiate`` calls are in ``composing``.
"""

from stancelib.app.composing import compose
from stancelib.app.running import evaluate, read_corpus, train

__all__ = ["compose", "evaluate", "read_corpus", "train"]
