"""A small model taught by a trained one: it learns the teacher's probabilities over unlabelled statements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stancelib.errors import ConfigError, DataError
from stancelib.models.base import Member, Model, Report, family_class, family_of, silent, training_labels
from stancelib.schema import Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Distil:
    """Fits a student on labels drawn from a teacher's probabilities.

    Every unlabelled statement enters the student's training data ``n_draws`` times, each time with a label drawn from
    the teacher's probabilities, beside the labelled statements. So any family can be the student, and the more draws,
    the closer its loss is to the cross-entropy with the teacher.

    Args:
        teacher: A trained model with the labels of the training data.
        student: An unfitted model.
        unlabelled: Statements whose labels nobody needs to know; None takes the training statements.
        n_draws: Labels drawn per statement, at least 1.
        seed: Of the draws.

    Raises:
        ValueError: If ``n_draws`` is below 1.

    References:
        Hinton, Vinyals, Dean (2015), Distilling the Knowledge in a Neural Network.
    """

    def __init__(
        self,
        *,
        teacher: Member | None,
        student: Model,
        unlabelled: Statements | None = None,
        n_draws: int = 4,
        seed: int = 0,
    ) -> None:
        if n_draws < 1:
            raise ValueError(f"n_draws must be at least 1, got {n_draws}.")
        self.teacher = teacher
        self.student = student
        self.unlabelled = unlabelled
        self.n_draws = n_draws
        self.seed = seed
        self.uses_target = student.uses_target
        self.extra = getattr(student, "extra", "")

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Draw the teacher's labels, then fit the student on them and on the labelled statements.

        Raises:
            DataError: If the teacher lacks a label.
        """
        import numpy as np

        labels = training_labels(train)
        assert self.teacher is not None
        if missing := [name for name in labels if name not in self.teacher.labels]:
            raise DataError(
                f"the teacher {self.teacher.name} doesn't know the label '{missing[0]}'; it knows "
                f"{', '.join(self.teacher.labels)}. Take one that was trained on the same labels."
            )
        source = self.unlabelled if self.unlabelled is not None else train
        probabilities = self.teacher.predict_proba(source, labels)
        draws = np.random.default_rng(self.seed).random((self.n_draws, len(source), 1))
        drawn = (draws > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=2)
        taught = [replace(source, labels=labels, label_ids=label_ids) for label_ids in drawn]
        self.student.fit(Statements.concatenate([train, *taught]), validation, report=report)
        return self

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """The student's probabilities, shape (n_statements, n_labels)."""
        return self.student.predict_proba(statements)

    def save(self, folder: Path) -> None:
        """Write the student into ``student/``, and its family's name into ``distil.json``.

        Raises:
            ConfigError: If the student is of a family from elsewhere, which no bundle may name inside another.
        """
        if "." in (family := family_of(self.student)):
            raise ConfigError(f"the student is a {family}; distil saves stancelib's own families only.")
        (folder / "student").mkdir()
        self.student.save(folder / "student")
        (folder / "distil.json").write_text(json.dumps({"student": family}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The student that ``save`` wrote; the teacher is not needed any more."""
        content = json.loads((folder / "distil.json").read_text(encoding="utf-8"))
        return cls(teacher=None, student=family_class(content["student"]).load(folder / "student"))
