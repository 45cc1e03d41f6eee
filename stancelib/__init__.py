"""Train, compare and reuse stance classifiers, which say what a statement does to a proposal.

The public names load on first use, so ``import stancelib`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stancelib.experiment import Result as Result
    from stancelib.experiment import run_experiment as run_experiment
    from stancelib.inference import Prediction as Prediction
    from stancelib.inference import StanceModel as StanceModel
    from stancelib.inference import load as load
    from stancelib.labels import LabelSet as LabelSet
    from stancelib.schema import Corpus as Corpus
    from stancelib.schema import Predictions as Predictions
    from stancelib.schema import Statements as Statements

__version__ = "0.1.0"

_HOME = {
    "Corpus": "schema",
    "LabelSet": "labels",
    "Prediction": "inference",
    "Predictions": "schema",
    "Result": "experiment",
    "StanceModel": "inference",
    "Statements": "schema",
    "load": "inference",
    "run_experiment": "experiment",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stancelib' has no attribute {name!r}")
    return getattr(import_module(f"stancelib.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
