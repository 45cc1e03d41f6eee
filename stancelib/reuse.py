"""Trained models as parts of new ones: members of an ensemble or soup, teachers, encoders to start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stancelib.data.rows import read_rows
from stancelib.errors import ConfigError, DataError
from stancelib.inference import load
from stancelib.models.base import Member, Model
from stancelib.models.distil import Distil
from stancelib.models.ensemble import Ensemble
from stancelib.models.soup import Soup
from stancelib.schema import Statements
from stancelib.texts import is_cut, text_or_none


def member(source: str) -> Member:
    """A trained model for an ensemble or as a teacher.

    Args:
        source: What ``load`` takes.

    Raises:
        BundleError: If there is no sound bundle at the address.
    """
    loaded = load(source)
    return Member(loaded.bundle.model, loaded.labels, loaded.temperature, str(source), loaded.bundle.folder)


def ensemble(*, members: Sequence[str], weights: Literal["fitted", "equal"] = "fitted") -> Ensemble:
    """An unfitted ensemble of trained models; see Ensemble.

    Args:
        members: What ``load`` takes, at least one.
        weights: ``fitted`` on validation, or ``equal``.

    Raises:
        BundleError: If there is no sound bundle at an address.
    """
    return Ensemble(members=[member(source) for source in members], weights=weights)


def soup(*, members: Sequence[str], weights: Literal["equal", "greedy"] = "equal") -> Soup:
    """An unfitted soup of trained models; see Soup.

    Args:
        members: What ``load`` takes, at least one.
        weights: ``equal``, or ``greedy`` on validation.

    Raises:
        BundleError: If there is no sound bundle at an address.
        ConfigError: If a member is no ``cross_encoder``, or they don't go together.
    """
    return Soup(members=[member(source) for source in members], weights=weights)


def distil(*, teacher: str, student: Model, unlabelled: str | None = None, n_draws: int = 4, seed: int = 0) -> Distil:
    """An unfitted student of a trained model; see Distil.

    Args:
        teacher: What ``load`` takes.
        student: An unfitted model.
        unlabelled: A file with the columns ``text`` and ``target``; None takes the training statements.
        n_draws: Labels drawn per statement, at least 1.
        seed: Of the draws.

    Raises:
        BundleError: If there is no sound bundle at the address.
        DataError: If a row of the file has no text.
    """
    statements = None if unlabelled is None else _unlabelled(unlabelled)
    return Distil(teacher=member(teacher), student=student, unlabelled=statements, n_draws=n_draws, seed=seed)


def encoder_folder(name: str) -> str:
    """The name of an encoder as ``EncoderSettings`` takes it: an MLflow address becomes its model's folder.

    Args:
        name: ``runs:/<run id>`` or ``models:/<name>@<alias>`` of a model with an encoder; any other name stays.

    Raises:
        BundleError: If there is no model at the address.
        ConfigError: If the model there has no encoder, or the server can't be reached.
    """
    if not name.startswith(("runs:/", "models:/")):
        return name
    from stancelib.tracking.browse import download_model

    folder = download_model(name)
    if not (folder / "model" / "encoder").is_dir():
        raise ConfigError(f"the model '{name}' has no encoder to start from; give one of a family that has.")
    return str(folder)


def _unlabelled(path: str) -> Statements:
    texts, targets = [], []
    for place, row in read_rows(path):
        text, target = row.get("text"), text_or_none(row.get("target"))
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"{place} has no text: a file of unlabelled statements needs the column 'text', and 'target' beside it."
            )
        if is_cut(text) or is_cut(target or ""):
            raise DataError(f"{place} holds half of a character, as if cut in the middle of an emoji.")
        texts.append(text)
        targets.append(target)
    return Statements(texts, targets)
