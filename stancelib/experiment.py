"""One experiment from plain objects: split, check, fit, score, save.

Needs neither Hydra nor MLflow: the journal in the run folder is the record, and a tracker may copy it elsewhere.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stancelib.bundle import family_of, save_bundle
from stancelib.data.cleaning import check_corpus, raise_errors
from stancelib.errors import DataError, nearest
from stancelib.evaluation.figures import calibration_figure, confusion_figure
from stancelib.evaluation.metrics import Evaluation, scores
from stancelib.inference import StanceModel, answer_columns
from stancelib.journal import Journal, JournalOnly, SystemMetrics, Tracker, signals_as_exceptions
from stancelib.models.base import Model
from stancelib.provenance import config_hash, flatten, git_state, package_versions
from stancelib.schema import TRAIN, VALIDATION, Corpus, Predictions, Progress

logger = logging.getLogger("stancelib")
Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What people and the tracker know a run by.

    Args:
        name: Shown in tables; None makes one of family, corpus and seed.
        seed: The seed of split and model, for the record.
        config: The resolved configuration; logged whole, hashed and flattened into parameters.
        note: Markdown shown above the result, such as the command that was run.
    """

    name: str | None = None
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


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
    tracker: Tracker | None = None,
    identity: Identity | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Result:
    """Fit a model on the training split, score it, and save it as a bundle.

    Args:
        corpus: Labelled statements.
        model: An unfitted family.
        folder: The run folder, made here; it must not hold a run yet.
        split: A protocol that rearranges the corpus; None keeps its splits.
        evaluation: What is scored; by default macro-F1 leads and only ``validation`` is scored.
        tracker: Where the journal is copied; None keeps the journal only.
        identity: Name, seed and configuration for the record.
        report: Called with the progress of the fit.

    Raises:
        DataError: If a check of the data finds an error, or a split to score is missing.
    """
    identity, evaluation = identity or Identity(), evaluation or Evaluation()
    name = identity.name or f"{family_of(model)} {corpus.name} s{identity.seed}"
    with _recorded(Path(folder), name, tracker or JournalOnly()) as (journal, outcome):
        raise_errors(corpus.findings)
        corpus = split(corpus) if split else corpus
        _check(corpus, model, evaluation.splits, journal)
        _describe(journal, corpus, {"model": family_of(model)}, identity)
        fit_seconds = _fit(model, corpus, journal, report)
        predictions = _score(
            lambda part: Predictions(part, corpus.labels, model.predict_proba(part)), corpus, evaluation, journal
        )
        found = {part: scores(said, skip_labels=evaluation.skip_labels) for part, said in predictions.items()}
        _record_scores(journal, found, predictions)
        bundle = journal.folder / "model"
        save_bundle(
            bundle, model=model, labels=corpus.labels, facts=_facts(name, model, corpus, found), config=identity.config
        )
        size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
        journal.metrics({"perf/fit_seconds": fit_seconds, "perf/bundle_mib": size / 2**20})
        journal.model(bundle)
        journal.note(_note(identity, found, evaluation.headline))
        outcome |= {"bundle": bundle, "scores": found, "predictions": predictions}
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
        model: A loaded bundle.
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
    corpus = with_labels_of(corpus, model)
    with _recorded(Path(folder), name, tracker or JournalOnly()) as (journal, outcome):
        _check(corpus, model.bundle.model, evaluation.splits, journal)
        _describe(journal, corpus, {"model": str(model.manifest["family"]), "stage": "evaluation"}, identity)
        predictions = _score(model.judge, corpus, evaluation, journal)
        found = {part: scores(said, skip_labels=evaluation.skip_labels) for part, said in predictions.items()}
        _record_scores(journal, found, predictions)
        journal.note(_note(identity, found, evaluation.headline))
        outcome |= {"bundle": model.bundle.folder, "scores": found, "predictions": predictions}
    return Result(**outcome)


@contextmanager
def _recorded(folder: Path, name: str, tracker: Tracker) -> Iterator[tuple[Journal, dict[str, Any]]]:
    """A journal with the tracker at its side; the second item becomes the Result's fields."""
    outcome: dict[str, Any] = {}
    started = time.monotonic()
    with signals_as_exceptions():
        try:
            with Journal(folder, name=name) as journal:
                tracker.attach(journal)
                with SystemMetrics(journal):
                    yield journal, outcome
                journal.metrics({"perf/wall_seconds": time.monotonic() - started})
        finally:
            tracker.close()
    outcome |= {"folder": journal.folder, "url": tracker.url, "message": tracker.message}


def _check(corpus: Corpus, model: Model, splits: Sequence[str], journal: Journal) -> None:
    """Stop on errors in the data; show and record the warnings."""
    findings = check_corpus(corpus, needs_target=model.uses_target)
    if findings:
        columns = {"severity": "severity", "check": "check", "rows": "n_rows", "message": "message"}
        journal.table("data_checks", {title: [getattr(f, name) for f in findings] for title, name in columns.items()})
    raise_errors(findings)
    for split in splits:
        corpus.split(split)
    for finding in findings:
        logger.warning("%s", finding.message)
    journal.metrics({"data/n_warnings": len(findings)})


def _describe(journal: Journal, corpus: Corpus, tags: Mapping[str, str], identity: Identity) -> None:
    """Parameters, tags, data sets and the configuration: everything that tells this run from another."""
    config = identity.config
    identifying = {key: value for key, value in config.items() if key not in ("name", "tracking")}
    journal.params(flatten(identifying) or {"seed": identity.seed})
    split_name = corpus.protocol.partition("(")[0]
    versions = {f"version.{package}": found for package, found in package_versions().items()}
    journal.tags(
        {"stage": "training", "data": corpus.name, "split": split_name, "seed": str(identity.seed), **tags}
        | {"data.digest": corpus.digest[:12], "split.protocol": corpus.protocol, "config.hash": config_hash(config)}
        | git_state(Path.cwd())
        | versions
    )
    for part, statements in corpus.splits.items():
        journal.dataset(
            name=corpus.name,
            digest=statements.digest[:12],
            split=part,
            source=corpus.source,
            n_rows=len(statements),
            label_counts=_counts(corpus)[part],
            protocol=corpus.protocol,
        )
    if config:
        path = journal.folder / "config.json"
        path.write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
        journal.artifact(path)


def _fit(model: Model, corpus: Corpus, journal: Journal, report: Callable[[Progress], None] | None) -> float:
    """Fit, with every Progress in the journal; the seconds it took."""

    def record(progress: Progress) -> None:
        if progress.metrics:
            journal.metrics(progress.metrics, step=progress.step)
        if report:
            report(progress)

    started = time.monotonic()
    model.fit(corpus.split(TRAIN), corpus.splits.get(VALIDATION), report=record)
    return time.monotonic() - started


def _score(
    judge: Callable[[Any], Predictions], corpus: Corpus, evaluation: Evaluation, journal: Journal
) -> dict[str, Predictions]:
    started = time.monotonic()
    predictions = {part: judge(corpus.split(part)) for part in evaluation.splits}
    n_statements = sum(len(said.statements) for said in predictions.values())
    journal.metrics({"perf/statements_per_second": n_statements / max(time.monotonic() - started, 1e-9)})
    return predictions


def _record_scores(journal: Journal, found: Scores, predictions: Mapping[str, Predictions]) -> None:
    """Scores as metrics, pictures and the prediction table of every split."""
    figures = journal.folder / "figures"
    figures.mkdir(exist_ok=True)
    for part, said in predictions.items():
        journal.metrics({f"{part}/{name}": value for name, value in found[part].items()})
        title = f"{journal.name} · {part} (n = {len(said.statements)})"
        for draw, kind in ((confusion_figure, "confusion"), (calibration_figure, "calibration")):
            path = figures / f"{part}_{kind}.png"
            draw(said, path, title=title)
            journal.artifact(path, "figures")
        journal.table(f"predictions_{part}", _prediction_columns(said))


def _prediction_columns(said: Predictions) -> dict[str, Sequence[object]]:
    statements = said.statements
    gold = list(statements.column("label"))
    answers = answer_columns(said)
    right = [a == b for a, b in zip(gold, answers["label"], strict=True)]
    first = {"id": statements.ids, "text": statements.texts, "target": statements.targets, "gold": gold}
    return {**first, "predicted": answers.pop("label"), "right": right, **answers}


def _facts(name: str, model: Model, corpus: Corpus, found: Scores) -> dict[str, Any]:
    """What the bundle's manifest and card tell about the run."""
    return {
        "name": name,
        "extra": getattr(model, "extra", ""),
        "scores": found,
        "data": {
            "name": corpus.name,
            "source": corpus.source,
            "protocol": corpus.protocol,
            "digest": corpus.digest,
            "counts": _counts(corpus),
        },
        "versions": package_versions(),
    }


def _counts(corpus: Corpus) -> dict[str, dict[str, int]]:
    """Statements by split and label."""
    import numpy as np

    return {
        part: dict(
            zip(corpus.labels, map(int, np.bincount(statements.gold, minlength=len(corpus.labels))), strict=True)
        )
        for part, statements in corpus.splits.items()
    }


def _note(identity: Identity, found: Scores, headline: str) -> str:
    """Markdown for the top of the run's page: the command and the scores."""
    names = [name for name in next(iter(found.values())) if "." not in name]
    names.sort(key=lambda name: name != headline)
    lines = [identity.note] if identity.note else []
    lines += ["| split | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    lines += [
        f"| {part} | " + " | ".join(f"{values[name]:.4f}" for name in names) + " |" for part, values in found.items()
    ]
    return "\n".join(lines)


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
    splits = {
        part: replace(statements, labels=model.labels, label_ids=model.labels.encode(statements.column("label")))
        for part, statements in corpus.splits.items()
    }
    return replace(corpus, labels=model.labels, splits=splits)
