"""A loaded model: statements in, labels and probabilities out. Needs neither Hydra nor MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.bundle import Bundle, Learned, load_bundle, read_learned
from stancelib.errors import BundleError, DataError
from stancelib.evaluation.calibration import apply_temperature
from stancelib.evaluation.decisions import FittedDecision
from stancelib.models.base import Model
from stancelib.schema import Predictions, Statements
from stancelib.texts import mended

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Texts = str | Iterable[str]
Targets = str | Iterable[str | None] | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one statement.

    Args:
        label: The label that the model's decision rule chose: the most probable one, unless costs or its set say
            otherwise.
        confidence: Its probability, in [0, 1].
        probabilities: The probability of every label, by name.
        prediction_set: The labels that can't be ruled out at the model's coverage, possibly none; ``label`` alone
            without a coverage.
        abstained: True where the model's decision rule gives no answer; ``label`` is then only its best guess.
    """

    label: str
    confidence: float
    probabilities: Mapping[str, float]
    prediction_set: tuple[str, ...]
    abstained: bool


class StanceModel:
    """A stance classifier that was trained before.

    Args:
        bundle: What ``load_bundle`` returned.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.labels = bundle.labels
        self.temperature = float(bundle.manifest.get("temperature", 1.0))
        self.decision = FittedDecision.of(bundle.manifest.get("decision", {}))

    @property
    def learned(self) -> Learned | None:
        """Fingerprints of the statements that it rests on; None if its bundle doesn't tell."""
        return read_learned(self.bundle.folder)

    def __repr__(self) -> str:
        return f"<StanceModel {self.manifest.get('name', self.manifest['family'])}: {', '.join(self.labels)}>"

    def predict(self, statements: Texts, targets: Targets = None) -> list[Prediction]:
        """Judge statements towards their targets.

        Args:
            statements: One text or several.
            targets: One target for all, one per statement, or None where the model needs none; NaN is none, too.

        Returns:
            One prediction per statement, in order.

        Raises:
            DataError: If the numbers differ, or an item is no string.
        """
        said = self.judge(_statements(statements, targets))
        return [_prediction(said, row) for row in range(len(said.statements))]

    def predict_proba(self, statements: Texts, targets: Targets = None) -> NDArray[np.float64]:
        """Label probabilities, shape (n_statements, n_labels), columns in the order of ``labels``.

        Raises:
            DataError: If the numbers differ, or an item is no string.
        """
        return self.judge(_statements(statements, targets)).probabilities

    def predict_frame(self, frame: pd.DataFrame, *, text: str = "text", target: str | None = "target") -> pd.DataFrame:
        """The frame with the columns ``label``, ``confidence`` and ``p_<label>`` added, its index kept.

        Where the frame has a column of such a name already, the new one is called ``predicted_<name>``.

        Args:
            frame: One statement a row.
            text: The column of the statements.
            target: The column of the targets; None, or a frame without ``target``, is judged without targets.

        Raises:
            DataError: If the text column, or a target column by another name, is missing, or holds something other than
                strings.
        """
        for name in (text, *([target] if target not in (None, "target") else [])):
            if name not in frame.columns:
                raise DataError(f"the frame has no column '{name}'; it has {', '.join(map(str, frame.columns))}.")
        targets = frame[target].tolist() if target is not None and target in frame.columns else None
        answers = answer_columns(self.judge(_statements(frame[text].tolist(), targets)), taken=frame.columns)
        return frame.assign(**answers)

    def judge(self, statements: Statements) -> Predictions:
        """Predictions for statements in columns; the form that evaluation takes."""
        import numpy as np

        if not len(statements):
            return Predictions(statements, self.labels, np.zeros((0, len(self.labels))))
        raw = self.bundle.model.predict_proba(statements)
        return self.decision.apply(statements, self.labels, apply_temperature(raw, self.temperature))


def load(source: str | PathLike[str], *, families: Mapping[str, type[Model]] | None = None) -> StanceModel:
    """Load a trained model.

    Args:
        source: A bundle's folder, a run's folder, or an MLflow address: ``runs:/<run id>``, ``models:/<name>@<alias>``,
            ``models:/<name>/<version>`` (these need the extra ``train``).
        families: Classes of your own that bundles may name, by dotted name.

    Raises:
        BundleError: If there is no sound bundle at the address.
    """
    if str(source).startswith(("runs:/", "models:/")):
        from stancelib.tracking.browse import download_model

        return StanceModel(load_bundle(download_model(str(source)), families=families))
    folder = Path(source)
    if not (folder / "manifest.json").exists() and (folder / "model" / "manifest.json").exists():
        folder = folder / "model"
    return StanceModel(load_bundle(folder, families=families))


def answer_columns(predictions: Predictions, *, taken: Iterable[str] = ()) -> dict[str, Any]:
    """The columns that a scored table gains, each of length n.

    Args:
        predictions: What the model said.
        taken: Columns that the table has already; a name among them gets the prefix ``predicted_``.

    Returns:
        ``label``, ``confidence``, one ``p_<label>`` per label, and where the model has them ``prediction_set`` (labels
        joined by ``|``) and ``abstained``.
    """
    columns: dict[str, Any] = {
        "label": predictions.labels.decode(predictions.label_ids),
        "confidence": predictions.confidence.tolist(),
    }
    for name, column in zip(predictions.labels, predictions.probabilities.T, strict=True):
        columns[f"p_{name}"] = column.tolist()
    if predictions.sets is not None:
        columns["prediction_set"] = ["|".join(_names(predictions, row)) for row in range(len(predictions.sets))]
    if predictions.abstained is not None:
        columns["abstained"] = predictions.abstained.tolist()
    return dict(zip(free_names(columns, taken=taken), columns.values(), strict=True))


def free_names(names: Iterable[str], *, taken: Iterable[str]) -> list[str]:
    """The names, with ``predicted_`` in front as often as it takes to differ from the taken ones."""
    taken, free = set(taken), []
    for name in names:
        while name in taken:
            name = f"predicted_{name}"
        free.append(name)
    return free


def _prediction(said: Predictions, row: int) -> Prediction:
    return Prediction(
        label=said.labels.names[said.label_ids[row]],
        confidence=float(said.confidence[row]),
        probabilities=dict(zip(said.labels, map(float, said.probabilities[row]), strict=True)),
        prediction_set=tuple(_names(said, row)),
        abstained=bool(said.abstained is not None and said.abstained[row]),
    )


def _names(said: Predictions, row: int) -> list[str]:
    """The labels in a statement's prediction set."""
    if said.sets is None:
        return [said.labels.names[said.label_ids[row]]]
    return [name for name, inside in zip(said.labels, said.sets[row], strict=True) if inside]


def _statements(statements: Texts, targets: Targets) -> Statements:
    texts = _in_order("statements", [statements] if isinstance(statements, str) else statements)
    if targets is None or isinstance(targets, str):
        targets = [targets] * len(texts)
    targets = [None if _is_missing(target) else target for target in _in_order("targets", targets)]
    if len(targets) != len(texts):
        raise DataError(
            f"there are {len(texts)} statements but {len(targets)} targets; give one target, or one for each."
        )
    return Statements(texts, targets)


def _is_missing(value: Any) -> bool:
    """True of None, NaN, and pandas' NA and NaT, which no library need be there for."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _in_order(name: str, values: Any) -> list[Any]:
    """The items of a list, series, array or generator."""
    if hasattr(values, "columns"):
        raise DataError(f"{name} is a frame; give one of its columns, or the frame to predict_frame.")
    if isinstance(values, Mapping | Set) or not isinstance(values, Iterable):
        raise DataError(f"{name} must be a string or a list of strings, got a {type(values).__name__}.")
    return [mended(value) if isinstance(value, str) else value for value in values]


class _Pyfunc:
    """The shape that MLflow's pyfunc flavour calls."""

    def __init__(self, model: StanceModel) -> None:
        self._model = model

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answers only, one row per input row; takes a frame, or a mapping of columns."""
        import pandas as pd

        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        columns = [name for name in ("text", "target") if name in frame.columns]
        if len(frame) == 1 and (whole := [name for name in columns if pd.api.types.is_list_like(frame[name].iloc[0])]):
            frame = frame.explode(whole, ignore_index=True)  # MLflow makes one row of a mapping of lists
        return self._model.predict_frame(frame[columns]).drop(columns=columns)


def _load_pyfunc(path: str) -> _Pyfunc:
    """Called by MLflow, which knows the bundle as a pyfunc model."""
    if not Path(path).is_dir():
        raise BundleError(f"there is no folder '{path}'.")
    return _Pyfunc(load(path))
