"""The contract that every family keeps.

A family is a class with keyword-only constructor arguments and four methods. Its module and class share a name:
``stancelib.models.cross_encoder.CrossEncoder``. Nothing is inherited and nothing is registered.
"""

from __future__ import annotations

import copy
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.schema import Auxiliary, Corpus, Judge, Predictions, Progress, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Report = Callable[[Progress], None]
MEMBERS = ("fit", "predict_proba", "save", "load")  # of every family, beside ``uses_target``


def silent(progress: Progress) -> None:
    """A report that nobody reads."""


def training_labels(train: Statements, class_weight: object = None) -> LabelSet:
    """The label set of statements to learn from.

    Args:
        train: The statements.
        class_weight: A family's option; where it has names, they must be among the labels.

    Raises:
        DataError: If they carry no labels, or a label has no row.
        ConfigError: If a weight is of no label.
    """
    import numpy as np

    gold = train.gold
    assert train.labels is not None
    counts = np.bincount(gold, minlength=len(train.labels))
    if not counts.all():
        raise DataError(
            f"label '{train.labels.names[int(counts.argmin())]}' has no training row; leave it out or add some."
        )
    if isinstance(class_weight, Mapping):
        train.labels.require(class_weight, "class_weight")
    return train.labels


@runtime_checkable
class Resumable(Protocol):
    """A family whose fit can go on where a killed one stopped."""

    def checkpoint_to(self, folder: Path, *, resume: bool) -> None:
        """Keep checkpoints of the next ``fit`` in a folder, and start from the last one there if ``resume``."""
        ...


@runtime_checkable
class Multitask(Protocol):
    """A family that can learn other tasks beside its own."""

    def learn_beside(self, auxiliary: Sequence[Auxiliary]) -> None:
        """Have the next ``fit`` train the shared encoder on these too, each with a head that isn't kept.

        Further labels (``Auxiliary.further``) go with the main ones into one head, of which the main ones are kept.
        """
        ...


@runtime_checkable
class Model(Protocol):
    """A stance classifier.

    Attributes:
        uses_target: True where the prediction depends on the target, so that every statement must have one.
        extra: Optional. The extra of stancelib without which the saved model can't be loaded, such as ``torch``.
        encoder_digest_: Optional, after ``fit``. Of the encoder that it started from, as ``encoder_digest`` makes it.
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


@dataclass(frozen=True, slots=True)
class Member:
    """A trained model that another one learns from.

    Args:
        model: The model.
        labels: Its labels, in the order of its columns.
        temperature: What its logarithmic probabilities are divided by, above 0.
        name: Where it came from, for the record.
        folder: Its bundle, where it has one.
    """

    model: Model
    labels: LabelSet
    temperature: float = 1.0
    name: str = ""
    folder: Path | None = None

    def predict_proba(self, statements: Statements, labels: LabelSet) -> NDArray[np.float64]:
        """Calibrated probabilities in the order of ``labels``, shape (n_statements, n_labels)."""
        order = [self.labels.id_of(name) for name in labels]
        powered = self.model.predict_proba(statements)[:, order].clip(1e-30) ** (1 / self.temperature)
        scaled: NDArray[np.float64] = powered / powered.sum(axis=1, keepdims=True)
        return scaled


def check_members(members: Sequence[Member]) -> None:
    """Raise unless there is a member, and all of them know the same labels.

    Raises:
        ValueError: If not.
    """
    if not members:
        raise ValueError("members must name at least one trained model.")
    for member in members:
        if set(member.labels) != set(members[0].labels):
            raise ValueError(
                f"members must know the same labels; {member.name or 'one'} knows {', '.join(member.labels)}, "
                f"{members[0].name or 'the first'} {', '.join(members[0].labels)}."
            )


def labels_for(members: Sequence[Member], train: Statements) -> LabelSet:
    """The label set of statements that trained members are fitted to.

    Raises:
        DataError: If it isn't the members'.
    """
    labels = training_labels(train)
    if set(labels) != set(members[0].labels):
        raise DataError(f"the members know the labels {', '.join(members[0].labels)}, the data {', '.join(labels)}.")
    return labels


def family_names() -> list[str]:
    """The families that stancelib itself can save and load: the modules beside this one."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name != "base")


def class_name(family: str) -> str:
    """``cross_encoder`` → ``CrossEncoder``."""
    return family.title().replace("_", "")


def family_class(family: str) -> type[Model]:
    """The class of one of ``family_names``.

    Raises:
        ValueError: If it is none of them.
    """
    if family not in family_names():
        raise ValueError(f"{family!r} is none of the families {', '.join(family_names())}.")
    found: type[Model] = getattr(import_module(f"stancelib.models.{family}"), class_name(family))
    return found


def family_of(model: Model) -> str:
    """The name that a saved model bears: the family's, or the dotted name of a class from elsewhere."""
    kind = type(model)
    package, _, family = kind.__module__.rpartition(".")
    return family if package == __package__ else f"{kind.__module__}.{kind.__qualname__}"


def check_family(model: object) -> None:
    """Refuse what is no unfitted model, before anything is done with it.

    Raises:
        ConfigError: If it is a class, or lacks what a family has.
    """
    if isinstance(model, type):
        raise ConfigError(f"model is the class {model.__name__}; give an object of it: {model.__name__}().")
    if lacking := [name for name in (*MEMBERS, "uses_target") if not hasattr(model, name)]:
        raise ConfigError(f"model is a {type(model).__name__}, which has no '{lacking[0]}', so it is no family.")


def checked_probabilities(model: Model, statements: Statements, labels: LabelSet) -> NDArray[np.float64]:
    """What a model says of statements, shape (n_statements, n_labels).

    Raises:
        DataError: If it isn't of that shape, or its rows aren't probabilities.
    """
    import numpy as np

    said = np.asarray(model.predict_proba(statements))
    wanted = (len(statements), len(labels))
    if said.shape != wanted:
        raise DataError(f"{family_of(model)}.predict_proba returned the shape {said.shape}, and {wanted} is needed.")
    if not (np.isfinite(said).all() and (said >= 0).all() and np.allclose(said.sum(axis=1), 1, rtol=0, atol=1e-4)):
        row = int(np.argmin(np.isfinite(said).all(axis=1) & np.isclose(said.sum(axis=1), 1, rtol=0, atol=1e-4)))
        raise DataError(
            f"{family_of(model)}.predict_proba returned {said[row].tolist()} for statement {row + 1}: probabilities "
            "are at least 0 and sum to 1."
        )
    return said


def own_families(names: Iterable[str]) -> dict[str, type[Model]]:
    """Classes of the user's own by dotted name: imported because the user names them, which no bundle can.

    Raises:
        ConfigError: If there is no such class, or it is no family.
    """
    found = {}
    for name in names:
        module, _, title = name.rpartition(".")
        try:
            family = getattr(import_module(module), title)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"there is no family '{name}': {error}. Give <module>.<class>; PYTHONPATH names the module's folder."
            ) from None
        if lacking := [one for one in MEMBERS if not hasattr(family, one)]:
            raise ConfigError(f"'{name}' is no family: it has no '{lacking[0]}'.")
        found[name] = family
    return found


def learn_auxiliary(model: Model, corpus: Corpus) -> None:
    """Have the next fit learn the other tasks of a mixture, and further labels where the family can.

    Raises:
        ConfigError: If the family learns one corpus at a time.
        DataError: If another task has fewer than 2 labels.
    """
    others = [task for task in corpus.auxiliary if not task.further]
    if not isinstance(model, Multitask):
        if not others:
            return
        raise ConfigError(
            f"model '{family_of(model)}' learns one corpus at a time, and '{corpus.name}' is a mixture. "
            "Choose model=cross_encoder, or another corpus."
        )
    for task in others:
        if len(set(task.statements.gold.tolist())) < 2:
            raise DataError(
                f"of corpus '{task.name}' of the mixture, fewer than 2 labels are left to learn from; leave it out."
            )
    model.learn_beside(corpus.auxiliary)


def fresh_fits(
    model: Model, n_fits: int, report: Report = silent, *, validation: Statements | None = None
) -> Callable[[Statements], Judge]:
    """A function that fits a copy of the model each time, and reports how many of all fits are done."""
    n_done = 0

    def fit(train: Statements) -> Judge:
        nonlocal n_done
        report(Progress(n_done, n_fits, {"fit/statements": len(train)}))
        fresh = copy.deepcopy(model).fit(train, validation)
        n_done += 1
        labels = training_labels(train)
        return lambda others: Predictions(others, labels, fresh.predict_proba(others))

    return fit
