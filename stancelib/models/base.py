"""The contract that every family keeps.

A family is a class with keyword-only constructor arguments and four methods. Its module and class share a name:
``stancelib.models.cross_encoder.CrossEncoder``. Nothing is inherited and nothing is registered.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from stancelib.errors import DataError
from stancelib.labels import LabelSet
from stancelib.schema import Progress, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A report that nobody reads."""


def training_labels(train: Statements) -> LabelSet:
    """The label set of statements to learn from.

    Raises:
        DataError: If they carry no labels, or a label has no row.
    """
    import numpy as np

    gold = train.gold
    assert train.labels is not None
    counts = np.bincount(gold, minlength=len(train.labels))
    if not counts.all():
        raise DataError(
            f"label '{train.labels.names[int(counts.argmin())]}' has no training row; leave it out or add some."
        )
    return train.labels


@runtime_checkable
class Resumable(Protocol):
    """A family whose fit can go on where a killed one stopped."""

    def checkpoint_to(self, folder: Path, *, resume: bool) -> None:
        """Keep checkpoints of the next ``fit`` in a folder, and start from the last one there if ``resume``."""
        ...


@runtime_checkable
class Model(Protocol):
    """A stance classifier.

    Attributes:
        uses_target: True where the prediction depends on the target, so that every statement must have one.
    """

    uses_target: bool

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Learn from labelled statements.

        Args:
            train: Labelled statements; ``train.labels`` fixes the columns of ``predict_proba``.
            validation: Labelled statements for choices made while fitting (early stopping, calibration).
            report: Called with every Progress.

        Raises:
            DataError: If ``train`` is unlabelled or lacks a label entirely.
        """
        ...

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Label probabilities, shape (n_statements, n_labels); rows sum to 1."""
        ...

    def save(self, folder: Path) -> None:
        """Write all that ``load`` needs into an existing empty folder, as JSON and safetensors."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote; its probabilities are the same."""
        ...
