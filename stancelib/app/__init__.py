"""The Hydra application: composes a configuration, checks it, builds its components and runs them.

This folder alone imports Hydra, and all ``instantiate`` calls are in ``composing``.
"""

from stancelib.app.composing import compose
from stancelib.app.evaluating import evaluate, read_corpus
from stancelib.app.running import train
from stancelib.app.sizing import curve
from stancelib.app.sources import Sources

__all__ = ["Sources", "compose", "curve", "evaluate", "read_corpus", "train"]
