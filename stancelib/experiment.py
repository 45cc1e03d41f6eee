"""One experiment from plain objects: split, check, fit, calibrate, score, save.

Needs neither Hydra nor MLflow: the journal in the run folder is the record, and a tracker may copy it elsewhere.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.analysis import check_analyses, record_analyses
from stancelib.bundle import Bundle, load_bundle, save_bundle
from stancelib.calibrating import calibrate, judged, scored
from stancelib.data.further import further_counts
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.evaluation.decisions import Decision
from stancelib.evaluation.metrics import Evaluation
from stancelib.inference import StanceModel
from stancelib.journal import Journal, JournalOnly, Tracker, is_main_process
from stancelib.learned import learned_before, rests_on
from stancelib.models.base import (
    Model,
    Multitask,
    Report,
    Resumable,
    check_family,
    checked_probabilities,
    family_names,
    family_of,
    learn_auxiliary,
    silent,
)
from stancelib.provenance import package_versions
from stancelib.recording import (
    BUNDLE,
    Identity,
    Scores,
    check_data,
    describe,
    encoder_tags,
    interval_tags,
    label_counts,
    prepared,
    record_findings,
    record_scores,
    recorded,
    summary_note,
)
from stancelib.schema import TEST, TRAIN, VALIDATION, Corpus, Predictions, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHECKPOINTS = "checkpoints"
logger = logging.getLogger("stancelib")


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of a run.

    Args:
        folder: The run folder, with ``events.jsonl``.
        bundle: The trained model's folder.
        scores: Scores by split and name.
        predictions: Predictions by split.
        url: Where the tracker shows the run; empty without one.
        message: What the tracker could not copy, and how to complete it; empty if nothing.
    """

    folder: Path
    bundle: Path
    scores: Scores
    predictions: Mapping[str, Predictions]
    url: str
    message: str


def run_experiment(
    *,
    corpus: Corpus,
    model: Model,
    folder: str | Path,
    split: Callable[[Corpus], Corpus] | None = None,
    evaluation: Evaluation | None = None,
    decision: Decision | None = None,
    tracker: Tracker | None = None,
    identity: Identity | None = None,
    report: Callable[[Progress], None] = silent,
) -> Result:
    """Fit a model on the training split, calibrate and score it, and save it as a bundle.

    Where a launcher such as ``torchrun`` runs several processes, the main one does all this; the others fit with it
    and then end, with exit code 0.

    Args:
        corpus: Labelled statements.
        model: An unfitted family.
        folder: The run folder, made here; it must not hold a run yet, unless ``identity.resume``.
        split: A protocol that rearranges the corpus; None keeps its splits.
        evaluation: What is scored; by default macro-F1 leads and only ``validation`` is scored.
        decision: How labels are chosen from probabilities; by default the most probable one.
        tracker: Where the journal is copied; None keeps the journal only.
        identity: Name, seed and configuration for the record.
        report: Called with the progress of the fit.

    Raises:
        ConfigError: If corpus or model are something else.
        DataError: If a check of the data finds an error, a split to score is missing, or the model's answers are no
            probabilities.
    """
    check_family(model)
    if not isinstance(corpus, Corpus):
        raise ConfigError(f"corpus is a {type(corpus).__name__}; give what stancelib.data.files.files returns.")
    identity, evaluation = identity or Identity(), evaluation or Evaluation()
    name = identity.name or f"{family_of(model)} {corpus.name} s{identity.seed}"
    tracker = tracker or JournalOnly()
    corpus, decision = prepared(corpus, split), decision or Decision()
    findings = check_data(corpus, model, evaluation.splits)
    check_analyses(evaluation, corpus)
    decision.check(corpus.labels)
    with recorded(Path(folder), name, tracker, identity) as (journal, outcome):
        record_findings(journal, findings)
        describe(journal, corpus, {"model": family_of(model)} | interval_tags(evaluation), identity)
        if isinstance(model, Resumable):
            model.checkpoint_to(Path(folder) / CHECKPOINTS, resume=identity.resume)
        fit_seconds = _fit(model, corpus, journal, report)
        if not is_main_process():
            raise SystemExit(0)
        raw = _probabilities(model, corpus, evaluation.splits, journal)
        temperature, rule = calibrate(corpus, raw, evaluation, decision)
        predictions, found = judged(corpus, raw, temperature, rule, evaluation)
        record_scores(journal, found, predictions)
        journal.metrics({"perf/fit_seconds": fit_seconds})
        facts = {"name": name, "temperature": temperature, "decision": asdict(rule)} | _facts(model, corpus, found)
        trained = _saved(journal, model, corpus, facts, identity)
        n_before = _n_scored_before(tracker, predictions, evaluation)
        record_analyses(journal, trained, corpus, found, predictions, evaluation, n_before)
        journal.note(summary_note(identity, found, evaluation.headline))
        outcome |= {"bundle": trained.bundle.folder, "scores": found, "predictions": predictions}
    return Result(**outcome)


def evaluate_model(
    *,
    model: StanceModel,
    corpus: Corpus,
    folder: str | Path,
    evaluation: Evaluation | None = None,
    tracker: Tracker | None = None,
    identity: Identity | None = None,
) -> Result:
    """Score a trained model on a corpus and record it as a run of its own.

    Args:
        model: A loaded bundle, with its calibration and decision rule.
        corpus: Labelled statements with the model's labels, in any order.
        folder: The run folder, made here.
        evaluation: What is scored.
        tracker: Where the journal is copied.
        identity: Name and configuration for the record.

    Raises:
        DataError: If the corpus has a label that the model doesn't know, or lacks a split to score.
    """
    identity, evaluation = identity or Identity(), evaluation or Evaluation()
    name = identity.name or f"evaluate {model.manifest['family']} on {corpus.name}"
    corpus, tracker = with_labels_of(corpus, model), tracker or JournalOnly()
    learned = {} if model.learned is None else {"the model": model.learned}
    findings = check_data(corpus, model.bundle.model, evaluation.splits, judged=learned)
    check_analyses(evaluation, corpus)
    with recorded(Path(folder), name, tracker, identity) as (journal, outcome):
        record_findings(journal, findings)
        tags = {"model": str(model.manifest["family"]), "stage": "evaluation"} | interval_tags(evaluation)
        describe(journal, corpus, tags | encoder_tags(model.bundle.model), identity)
        started = time.monotonic()
        predictions = {part: model.judge(corpus.split(part)) for part in evaluation.splits}
        _record_speed(journal, sum(len(said.statements) for said in predictions.values()), started)
        found = {part: scored(said, evaluation, model.decision) for part, said in predictions.items()}
        record_scores(journal, found, predictions)
        n_before = _n_scored_before(tracker, predictions, evaluation)
        record_analyses(journal, model, corpus, found, predictions, evaluation, n_before)
        journal.note(summary_note(identity, found, evaluation.headline))
        outcome |= {"bundle": model.bundle.folder, "scores": found, "predictions": predictions}
    return Result(**outcome)


def _n_scored_before(tracker: Tracker, predictions: Mapping[str, Predictions], evaluation: Evaluation) -> int | None:
    """Other runs that scored the test split; None where no report tells of one, or nobody counts."""
    if TEST not in predictions or not evaluation.analyses.report:
        return None
    return tracker.scorings_before(predictions[TEST].statements.digest[:12])


def _fit(model: Model, corpus: Corpus, journal: Journal, report: Report) -> float:
    """Fit, with every Progress and the digest of the encoder in the journal; the seconds it took."""

    def record(progress: Progress) -> None:
        if progress.metrics:
            journal.metrics(progress.metrics, step=progress.step)
        report(progress)

    started = time.monotonic()
    learn_auxiliary(model, corpus)
    model.fit(corpus.split(TRAIN), corpus.splits.get(VALIDATION), report=record)
    if tags := encoder_tags(model):
        journal.tags(tags)
    return time.monotonic() - started


def _probabilities(
    model: Model, corpus: Corpus, splits: Sequence[str], journal: Journal
) -> dict[str, NDArray[np.float64]]:
    """The family's own probabilities for the splits to score, and for validation, which calibrates them."""
    started = time.monotonic()
    parts = [*splits, *({VALIDATION} & set(corpus.splits) - set(splits))]
    raw = {part: checked_probabilities(model, corpus.split(part), corpus.labels) for part in parts}
    _record_speed(journal, sum(map(len, raw.values())), started)
    return raw


def _record_speed(journal: Journal, n_statements: int, started: float) -> None:
    journal.metrics({"perf/statements_per_second": n_statements / max(time.monotonic() - started, 1e-9)})


def _saved(journal: Journal, model: Model, corpus: Corpus, facts: Mapping[str, Any], identity: Identity) -> StanceModel:
    """The fitted model as a bundle in the run folder, and loaded."""
    bundle = journal.folder / BUNDLE
    if identity.resume:
        shutil.rmtree(bundle, ignore_errors=True)  # of an earlier try that was killed after saving it
    learned = rests_on(_learned_by(model, corpus), learned_before(model))
    save_bundle(bundle, model=model, labels=corpus.labels, facts=facts, config=identity.config, learned=learned)
    if (family := family_of(model)) not in family_names():  # of the user's own: does it load what it has saved?
        load_bundle(bundle, families={family: type(model)})
    shutil.rmtree(journal.folder / CHECKPOINTS, ignore_errors=True)
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    journal.metrics({"perf/bundle_mib": size / 2**20})
    journal.model(bundle)
    about = {"family": family_of(model), "uses_target": model.uses_target, **facts}
    return StanceModel(Bundle(bundle, model, corpus.labels, about))


def _learned_by(model: Model, corpus: Corpus) -> Corpus:
    """The corpus without what a family can't learn beside it."""
    return corpus if isinstance(model, Multitask) else replace(corpus, auxiliary=())


def _facts(model: Model, corpus: Corpus, found: Scores) -> dict[str, Any]:
    """What the bundle's manifest and card tell about the run."""
    return {
        "scores": found,
        "data": {
            "name": corpus.name,
            "source": corpus.source,
            "protocol": corpus.protocol,
            "digest": corpus.digest,
            "counts": label_counts(corpus),
            "further": further_counts(_learned_by(model, corpus)),
        },
        "versions": package_versions(),
    }


def with_labels_of(corpus: Corpus, model: StanceModel) -> Corpus:
    """The corpus with its label ids in the model's order.

    Raises:
        DataError: If it has a label that the model doesn't know.
    """
    if unknown := [label for label in corpus.labels if label not in model.labels]:
        raise DataError(
            f"corpus '{corpus.name}' has the label '{unknown[0]}', which the model does not know; "
            f"its labels are {', '.join(model.labels)}{nearest(unknown[0], model.labels)} "
            "Map it with data.label_map, or leave it out."
        )
    splits = {part: statements.with_labels(model.labels) for part, statements in corpus.splits.items()}
    return replace(corpus, labels=model.labels, splits=splits)
