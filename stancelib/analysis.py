"""What an evaluation finds out beyond scores: targets, slices, behaviour, perturbations, and a report that shows them.

Every question to the model goes through one memory, so that no statement is judged twice towards one target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from stancelib import __version__
from stancelib.errors import DataError
from stancelib.evaluation.behaviour import Behaviour, judge_suite
from stancelib.evaluation.cases import Capability, load_suite
from stancelib.evaluation.faithfulness import faithfulness
from stancelib.evaluation.findings import Findings
from stancelib.evaluation.metrics import Evaluation
from stancelib.evaluation.perturbations import robustness
from stancelib.evaluation.probes import not_probed, probe_target
from stancelib.evaluation.report import Explained, Report
from stancelib.evaluation.slices import slice_scores
from stancelib.evaluation.summary import markdown
from stancelib.explaining import explain_all
from stancelib.inference import StanceModel
from stancelib.journal import Journal
from stancelib.labels import LabelSet
from stancelib.learned import n_learned
from stancelib.models.base import Model
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.schema import TEST, TRAIN, VALIDATION, Corpus, Predictions, Statements
from stancelib.training.ngrams import Ngrams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Scores = Mapping[str, Mapping[str, float]]
N_SLICE_RESAMPLES = 1000
N_CHECKED = 24


class Memory:
    """A model that is asked about each text towards each target once.

    Args:
        model: The model. It must judge by text and target alone, as all families of the library do.
        known: Answers that it gave before.
    """

    def __init__(self, model: StanceModel, known: Iterable[Predictions] = ()) -> None:
        self.model = model
        self._answers: dict[tuple[str, str | None], NDArray[np.float64]] = {}
        for said in known:
            self._answers.update(zip(self._keys(said.statements), said.probabilities, strict=True))

    def __call__(self, statements: Statements) -> Predictions:
        """Predictions with the model's calibration and decision rule."""
        import numpy as np

        keys = self._keys(statements)
        new = list({key: row for row, key in enumerate(keys) if key not in self._answers}.values())
        if new:
            asked = Statements([statements.texts[row] for row in new], [statements.targets[row] for row in new])
            said = self.model.judge(asked).probabilities
            self._answers.update(zip([keys[row] for row in new], said, strict=True))
        labels = self.model.labels
        probabilities = np.array([self._answers[key] for key in keys]).reshape(len(keys), len(labels))
        return self.model.decision.apply(statements, labels, probabilities)

    def _keys(self, statements: Statements) -> list[tuple[str, str | None]]:
        targets = statements.targets if self.model.manifest["uses_target"] else [None] * len(statements)
        return list(zip(statements.texts, targets, strict=True))


@dataclass(frozen=True, slots=True)
class Controls:
    """Two models that see less than a stance needs.

    Args:
        text: Trained on the texts alone.
        target: Trained on the targets alone.
    """

    text: Model
    target: Model

    @classmethod
    def fit(cls, train: Statements) -> Controls:
        """Word n-grams under a logistic regression, for either; the frequency of labels where no two share a word.

        Raises:
            DataError: If a label has no training row.
        """
        return cls(_fitted(train), _fitted(_with_target_as_text(train)))

    def judge(self, statements: Statements) -> dict[str, Predictions]:
        """What they say about labelled statements, by name."""
        assert statements.labels is not None
        asked = {"text": (self.text, statements), "target": (self.target, _with_target_as_text(statements))}
        return {
            name: Predictions(statements, statements.labels, model.predict_proba(seen))
            for name, (model, seen) in asked.items()
        }


def _fitted(train: Statements) -> Model:
    try:
        return Tfidf(ngrams=Ngrams(char=None), use_target=False).fit(train)
    except DataError:
        return Prior().fit(train)


def _with_target_as_text(statements: Statements) -> Statements:
    return replace(statements, texts=[target or "" for target in statements.targets])


def check_analyses(evaluation: Evaluation, corpus: Corpus) -> None:
    """Refuse labels, slices and behavioural cases that can't be had, before anything is fitted.

    Raises:
        ConfigError: If a label to skip is none.
        DataError: If a split lacks a column to slice by, or a file of cases is missing or breaks a rule.
    """
    wanted, labels = evaluation.analyses, corpus.labels
    labels.require(evaluation.skip_labels, "evaluation.skip_labels")
    for split in evaluation.splits:
        for name in wanted.slices or ():
            corpus.split(split).column(name)
    if wanted.behaviour and wanted.behaviour_files:
        load_suite(wanted.behaviour_files, labels=corpus.labels)


def record_analyses(
    journal: Journal,
    model: StanceModel,
    corpus: Corpus,
    found: Scores,
    predictions: Mapping[str, Predictions],
    evaluation: Evaluation,
    n_scored_before: int | None = None,
) -> None:
    """Analyse every scored split and keep what is found: tables, reports, and metrics of the first held-out split.

    Args:
        journal: Of the run.
        model: The trained model.
        corpus: Its training split, where there is one, trains the controls and tells seen targets from unseen ones.
        found: The scores of each scored split.
        predictions: What the model said about it.
        evaluation: What is looked into.
        n_scored_before: Other runs that scored the test split before, for its report; None where nobody counts.
    """
    memory, wanted = Memory(model, predictions.values()), evaluation.analyses
    train, learned = corpus.splits.get(TRAIN), model.learned
    controls = _controls(train) if wanted.probes and wanted.controls and evaluation.n_resamples else None
    behaviour = judge_suite(memory, _suite(wanted.behaviour_files, model.labels)) if wanted.behaviour else None
    shown = next(name for name in (VALIDATION, TEST, *predictions) if name in predictions)
    for split, said in predictions.items():
        findings = analyse(memory, said, evaluation, train=train, controls=controls, behaviour=behaviour)
        for name, columns in findings.tables(split).items():
            journal.table(name, columns)
        if split == shown:
            journal.metrics(findings.metrics())
        if wanted.report:
            report = Report(
                title=journal.name,
                split=split,
                predictions=said,
                scores=found[split],
                evaluation=evaluation,
                findings=findings,
                explained=explain_errors(memory, said, evaluation),
                facts=report_facts(model, corpus, said, evaluation),
                n_scored_before=n_scored_before,
                n_learned=n_learned(said.statements, split, learned) if learned else 0,
            )
            for suffix, text in (("html", report.html()), ("md", markdown(report))):
                path = journal.folder / f"report_{split}.{suffix}"
                path.write_text(text, encoding="utf-8")
                journal.artifact(path)


def analyse(
    memory: Memory,
    said: Predictions,
    evaluation: Evaluation,
    *,
    train: Statements | None = None,
    controls: Controls | None = None,
    behaviour: Behaviour | None = None,
) -> Findings:
    """Probes, slices and perturbations of one scored split.

    Args:
        memory: The model.
        said: Its labelled predictions of the split.
        evaluation: What is looked into, with which score and intervals.
        train: Training statements, for the slices by seen and unseen targets.
        controls: Models trained on less.
        behaviour: What the model did on the behavioural cases; passed on.
    """
    wanted, statements, remarks = evaluation.analyses, said.statements, {}
    if not evaluation.n_resamples:
        reason = "it needs intervals, and evaluation.n_resamples is 0."
        return Findings(behaviour=behaviour, remarks={"probe": reason, "slices": reason})
    options = {"level": evaluation.level, "n_resamples": evaluation.n_resamples}
    scored = options | {"skip_labels": evaluation.skip_labels}
    probe = None
    if wanted.probes and (reason := not_probed(statements)):
        remarks["probe"] = reason
    elif wanted.probes:
        judged = controls.judge(statements) if controls else None
        probe = probe_target(memory, statements, controls=judged, score=evaluation.headline, **scored)  # type: ignore[arg-type]
    return Findings(
        probe=probe,
        slices=slice_scores(
            said,
            columns=wanted.slices,
            training_targets=None if train is None else train.targets,
            level=evaluation.level,
            n_resamples=min(evaluation.n_resamples, N_SLICE_RESAMPLES),
        ),
        behaviour=behaviour,
        robustness=robustness(memory, statements, headline=evaluation.headline, **scored)  # type: ignore[arg-type]
        if wanted.robustness
        else None,
        remarks=remarks,
    )


def explain_errors(memory: Memory, said: Predictions, evaluation: Evaluation) -> Explained:
    """The most confident errors with what led to them, and how far such explanations can be believed.

    Faithfulness is measured on statements drawn at random, right and wrong: errors alone would flatter or slander it.
    """
    import numpy as np

    n_wanted, statements = evaluation.analyses.n_explained, said.statements
    if not n_wanted:
        return Explained()
    wrong = np.flatnonzero(said.label_ids != statements.gold)
    errors = wrong[np.argsort(-said.confidence[wrong], kind="stable")][:n_wanted].tolist()
    drawn = np.random.default_rng(0).permutation(len(statements))[:N_CHECKED].tolist()
    found = explain_all(memory.model, memory, statements.take([*errors, *drawn]))
    options = {"level": evaluation.level, "n_resamples": evaluation.n_resamples}
    checked = faithfulness(memory, found[len(errors) :], **options) if evaluation.n_resamples else None  # type: ignore[arg-type]
    return Explained(dict(zip(errors, found, strict=False)), checked)


def report_facts(model: StanceModel, corpus: Corpus, said: Predictions, evaluation: Evaluation) -> dict[str, str]:
    """Where the numbers of a report come from."""
    learnt = model.manifest.get("data", {})
    facts = {"model": f"{model.manifest['family']}, {model.manifest.get('name', '')}".rstrip(", ")}
    if learnt.get("digest", corpus.digest) != corpus.digest:
        facts["trained on"] = f"{learnt['name']}, {learnt['protocol']} split ({learnt['digest'][:12]})"
    return facts | {
        "data": f"{corpus.name}, {corpus.protocol} split ({corpus.digest[:12]}), from {corpus.source or 'memory'}",
        "statements": f"{len(said.statements)} ({said.statements.digest[:12]})",
        "temperature": f"{model.temperature:.3f}",
        "intervals": f"{evaluation.level:.0%}, {_method(evaluation)} of {evaluation.n_resamples} resamples of clusters",
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by stancelib {__version__}",
    }


def _method(evaluation: Evaluation) -> str:
    return "percentile bootstrap" if evaluation.interval == "percentile" else "BCa bootstrap (of slices: percentile)"


def _suite(files: Sequence[str], labels: LabelSet) -> Sequence[Capability]:
    return load_suite(files, labels=labels) if files else _shipped_suite()


@cache
def _shipped_suite() -> tuple[Capability, ...]:
    """Read once for all runs of a process: parsing takes longer than judging."""
    return tuple(load_suite())


def _controls(train: Statements | None) -> Controls | None:
    """None without training statements of every label."""
    try:
        return None if train is None else Controls.fit(train)
    except DataError:
        return None
