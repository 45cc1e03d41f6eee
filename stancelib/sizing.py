"""How much data is enough, as a run: one model per share of the training statements, scored on validation alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stancelib.data.writing import write_rows
from stancelib.evaluation.figures import learning_figure
from stancelib.evaluation.learning import (
    FRACTIONS,
    LearningCurve,
    LearningPoint,
    check_sizes,
    learning_points,
    n_fits,
)
from stancelib.evaluation.metrics import Evaluation
from stancelib.journal import Journal, JournalOnly, Tracker
from stancelib.models.base import Model, Report, family_of, fresh_fits, learn_auxiliary, silent
from stancelib.recording import Identity, check_data, describe, prepared, record_findings, recorded
from stancelib.schema import TRAIN, VALIDATION, Corpus

CURVE = "learning_curve"


@dataclass(frozen=True, slots=True)
class CurveResult:
    """What came out of a learning curve.

    Args:
        folder: The run folder, with ``learning_curve.csv`` and ``figures/learning_curve.png``.
        curve: The scores by size.
        url: Where the tracker shows the run; empty without one.
        message: What the tracker could not copy, and how to complete it; empty if nothing.
    """

    folder: Path
    curve: LearningCurve
    url: str
    message: str


def run_learning_curve(
    *,
    corpus: Corpus,
    model: Model,
    folder: str | Path,
    split: Callable[[Corpus], Corpus] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    n_draws: int = 3,
    evaluation: Evaluation | None = None,
    tracker: Tracker | None = None,
    identity: Identity | None = None,
    report: Report = silent,
) -> CurveResult:
    """Fit on growing shares of the training split and record the headline score on validation by size.

    Args:
        corpus: Labelled statements.
        model: An unfitted family; every fit gets a copy.
        folder: The run folder, made here; it must not hold a run yet.
        split: A protocol that rearranges the corpus; None keeps its splits.
        fractions: Shares of the training split, each above 0 and at most 1.
        n_draws: Samples of each share below 1, drawn with ``identity.seed`` and the seeds after it.
        evaluation: Headline and intervals.
        tracker: Where the journal is copied; None keeps the journal only.
        identity: Name, seed and configuration for the record.
        report: Called with the progress over all fits.

    Raises:
        ConfigError: If the fractions or draws can't be used.
        DataError: If a check of the data finds an error, there is no validation split, or a share lacks a label.
    """
    identity, evaluation, tracker = identity or Identity(), evaluation or Evaluation(), tracker or JournalOnly()
    seeds = range(identity.seed, identity.seed + n_draws)
    check_sizes(fractions, seeds, evaluation.n_resamples)
    name = identity.name or f"curve of {family_of(model)} {corpus.name} s{identity.seed}"
    corpus = prepared(corpus, split)
    findings = check_data(corpus, model, (VALIDATION,))
    with recorded(Path(folder), name, tracker, identity) as (journal, outcome):
        record_findings(journal, findings)
        describe(journal, corpus, {"model": family_of(model), "stage": "curve"}, identity)
        learn_auxiliary(model := copy.deepcopy(model), corpus)
        fit = fresh_fits(model, n_fits(fractions, n_draws), report, validation=corpus.split(VALIDATION))
        points = learning_points(
            corpus.split(TRAIN),
            corpus.split(VALIDATION),
            fit,
            fractions=fractions,
            seeds=seeds,
            score=evaluation.headline,
            skip_labels=evaluation.skip_labels,
            level=evaluation.level,
            n_resamples=evaluation.n_resamples,
        )
        curve = LearningCurve(evaluation.headline, tuple(_recording(journal, evaluation.headline, points)))
        _keep(journal, curve, identity)
        outcome["curve"] = curve
    return CurveResult(**outcome)


def _recording(journal: Journal, score: str, points: Iterable[LearningPoint]) -> Iterable[LearningPoint]:
    """The points, each in the journal as it comes; the step is the number of training statements."""
    for point in points:
        ends = {"": point.interval.value, "_low": point.interval.low, "_high": point.interval.high, "_sd": point.sd}
        values = {f"curve/{score}{end}": value for end, value in ends.items()}
        journal.metrics(values, step=round(point.n_statements))
        yield point


def _keep(journal: Journal, curve: LearningCurve, identity: Identity) -> None:
    """The curve as CSV, picture, table and note."""
    columns = curve.columns()
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path = journal.folder / f"{CURVE}.csv"
    with write_rows(path) as write:
        write(rows)
    journal.artifact(path)
    picture = journal.folder / "figures" / f"{CURVE}.png"
    picture.parent.mkdir(exist_ok=True)
    learning_figure(curve, picture, title=journal.name)
    journal.artifact(picture, "figures")
    journal.table(CURVE, columns)
    lines = [identity.note] if identity.note else []
    lines += ["| " + " | ".join(columns) + " |", "|" + "---:|" * len(columns)]
    lines += ["| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |" for row in rows]
    journal.note("\n".join(lines))
