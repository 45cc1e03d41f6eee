"""What a trained model has learned from, so that it isn't judged on that unawares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stancelib.bundle import Learned, read_learned, verify
from stancelib.data.fingerprints import fingerprints
from stancelib.models.base import Model
from stancelib.models.distil import Distil
from stancelib.models.ensemble import Ensemble
from stancelib.models.soup import Soup
from stancelib.schema import TRAIN, VALIDATION, Corpus, Finding, Statements
from stancelib.training.encoders import bundle_of_encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STUDENT = "the student"
BY_CHANCE = 0.05  # of a split: what corpora hold twice without anybody's fault


def learned_before(model: Model) -> dict[str, Learned]:
    """What the trained parts of an unfitted model rest on, by the part's name.

    Trained parts are the members of an ensemble or soup, a teacher, and an encoder out of a bundle. Statements that a
    student learns from without labels count too.

    Raises:
        BundleError: If the bundle of an encoder is damaged.
    """
    bundles: dict[str, Path | None] = {}
    found: dict[str, Learned] = {}
    if isinstance(model, Ensemble | Soup):
        bundles |= {f"member {member.name}": member.folder for member in model.members}
    if isinstance(model, Distil):
        if model.teacher is not None:
            bundles[f"teacher {model.teacher.name}"] = model.teacher.folder
        if model.unlabelled is not None:
            found[STUDENT] = _learned([fingerprints(model.unlabelled)], [])
        found |= learned_before(model.student)
    if encoder := getattr(model, "encoder", None):
        bundle = bundle_of_encoder(Path(encoder.name).expanduser())
        if bundle is not None:
            verify(bundle)  # as members and teachers were when they were loaded
        bundles[f"encoder {encoder.name}"] = bundle
    read = {name: read_learned(folder) for name, folder in bundles.items() if folder is not None}
    return found | {name: learned for name, learned in read.items() if learned is not None}


def rests_on(corpus: Corpus, before: Mapping[str, Learned]) -> Learned:
    """All that a model rests on which was fitted on a corpus, together with its trained parts."""
    trained = [corpus.split(TRAIN), *(task.statements for task in corpus.auxiliary)]
    chosen = [corpus.splits[VALIDATION]] if VALIDATION in corpus.splits else []
    return _learned(
        [*map(fingerprints, trained), *(part.trained for part in before.values())],
        [*map(fingerprints, chosen), *(part.chosen for part in before.values())],
    )


def _learned(trained: Sequence[NDArray[np.uint64]], chosen: Sequence[NDArray[np.uint64]]) -> Learned:
    import numpy as np

    nothing = np.zeros(0, np.uint64)
    return Learned(*(np.unique(np.concatenate([nothing, *parts])) for parts in (trained, chosen)))


def n_learned(statements: Statements, split: str, learned: Learned) -> int:
    """How many of a split's statements a model rests on; by those of validation it may have been chosen."""
    import numpy as np

    own = fingerprints(statements)
    known = np.isin(own, learned.trained)
    if split != VALIDATION:
        known |= np.isin(own, learned.chosen)
    return int(known.sum())


def learned_findings(
    corpus: Corpus, before: Mapping[str, Learned], splits: Iterable[str], *, learning: bool
) -> list[Finding]:
    """A finding for every split that holds statements which a trained part rests on.

    What a part was only chosen by may stand in validation again, and nowhere else.

    Args:
        corpus: Split as it will be used.
        before: What ``learned_before`` returned, or what the model to judge rests on.
        splits: Those that the model is judged on.
        learning: A model is to be trained: more than ``BY_CHANCE`` of a split is an error then, and else a warning.
    """
    findings = []
    for split in dict.fromkeys(splits):
        statements = corpus.split(split)
        for name, learned in before.items():
            if not (n_known := n_learned(statements, split, learned)):
                continue
            is_error = learning and n_known > BY_CHANCE * len(statements)
            message = f"{name} has learned from {n_known:,} of the {len(statements):,} statements of '{split}', so "
            message += _training_advice(name, split) if learning else _judging_advice(split)
            findings.append(Finding("error" if is_error else "warning", "learned-before", message, n_known))
    return findings


def _training_advice(name: str, split: str) -> str:
    way = (
        "Take one that was trained on this very split (the same data, protocol and split.seed), or on other statements."
    )
    if name == STUDENT:
        way = "Take them out of the file of unlabelled statements."
    return f"the scores of '{split}' would tell what it remembers. {way}"


def _judging_advice(split: str) -> str:
    return (
        f"its scores on '{split}' tell what it remembers, not what it can do. The run that trained it has the "
        "scores of what it held out; for others give statements that it hasn't learned from."
    )
