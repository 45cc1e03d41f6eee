"""What of the Hydra application trains nothing: a trained model scored, a corpus looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.app.composing import compose
from stancelib.app.naming import new_run_folder
from stancelib.app.overriding import warn_unused
from stancelib.app.sources import Sources
from stancelib.data.cleaning import raise_errors
from stancelib.errors import DataError
from stancelib.schema import Corpus, Finding

if TYPE_CHECKING:
    from stancelib.evaluation.metrics import Evaluation
    from stancelib.experiment import Result
    from stancelib.models.base import Model

UNUSED = {  # in an evaluation
    "decision": "the model keeps its own",
    "hydra": "name the run folder with --output",
    "model": "the trained model is named first",
    "resume": "an evaluation starts anew",
    "seeds": "one model is scored",
    "split": "the data keep the splits they came with",
}


def evaluate(
    source: str,
    overrides: Sequence[str],
    *,
    folder: Path | None = None,
    note: str = "",
    sources: Sources | None = None,
    families: Mapping[str, type[Model]] | None = None,
) -> tuple[Result, Evaluation]:
    """Score a trained model on the corpus of a composed configuration.

    Args:
        source: What ``stancelib.load`` takes.
        overrides: As for ``train``; model and split are not used, and the data keep the splits they came with.
        folder: The run folder; None makes a new one below ``runs/``.
        note: Markdown for the top of the run's page.
        sources: Where options of the user's own are.
        families: Classes of the user's own that the model may be of, by dotted name.

    Raises:
        ConfigError: If the configuration can't be composed or doesn't fit the components.
    """
    from stancelib.experiment import evaluate_model
    from stancelib.inference import load
    from stancelib.recording import Identity

    parts, plain = compose(overrides, ("evaluation", "tracking", "data"), sources)
    warn_unused(overrides, UNUSED, "an evaluation")
    for unused in ("model", "split", "decision", "resume", "seeds"):
        del plain[unused]
    evaluation, corpus = parts["evaluation"], parts["data"]
    if len(corpus.splits) == 1 and not any(o.lstrip("+").startswith("evaluation.splits=") for o in overrides):
        evaluation = replace(evaluation, splits=tuple(corpus.splits))  # the one file that was given
    result = evaluate_model(
        model=load(source, families=families),
        corpus=corpus,
        folder=folder or new_run_folder(),
        evaluation=evaluation,
        tracker=parts["tracking"],
        identity=Identity(name=plain["name"], seed=plain["seed"], config=plain | {"model": source}, note=note),
    )
    return result, evaluation


def read_corpus(overrides: Sequence[str], sources: Sources | None = None) -> tuple[Corpus, Any]:
    """The corpus of a composed configuration after its split, and the model that would be trained on it.

    Raises:
        DataError: If it can't be split; the message has what is wrong with its rows, too.
    """
    parts, _ = compose(overrides, ("model", "split", "data"), sources)
    try:
        return parts["split"](parts["data"]), parts["model"]
    except DataError as error:
        raise_errors([*parts["data"].findings, Finding("error", "split", str(error), 0)])
        raise
