"""What a run tells its journal: who it is, what it was trained on, how well it does."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stancelib.bundle import Learned
from stancelib.data.cleaning import check_corpus, raise_errors
from stancelib.data.mixture import without_held_out
from stancelib.errors import DataError
from stancelib.evaluation.figures import calibration_figure, confusion_figure
from stancelib.evaluation.metrics import Evaluation, headline_first, spelled
from stancelib.journal import (
    Journal,
    JournalOnly,
    SystemMetrics,
    Tracker,
    is_main_process,
    read_events,
    signals_as_exceptions,
)
from stancelib.learned import learned_before, learned_findings
from stancelib.models.base import Model
from stancelib.prediction_tables import prediction_columns
from stancelib.provenance import config_hash, flatten, git_state, package_versions
from stancelib.schema import TRAIN, VALIDATION, Corpus, Finding, Predictions

logger = logging.getLogger("stancelib")
CONFIG, BUNDLE = "config.json", "model"
Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What people and the tracker know a run by.

    Args:
        name: Shown in tables; None makes one of family, corpus and seed.
        seed: The seed of split and model, for the record.
        config: The resolved configuration; logged whole, hashed and flattened into parameters.
        note: Markdown shown above the result, such as the command that was run.
        resume: Continue the run that is in the folder already.
        parent: The uid of the run that this one is a part of; empty for none.
    """

    name: str | None = None
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    resume: bool = False
    parent: str = ""


@contextmanager
def recorded(folder: Path, name: str, tracker: Tracker, identity: Identity) -> Iterator[tuple[Journal, dict[str, Any]]]:
    """A journal with the tracker at its side; the second item gets folder, url and message once the run is over.

    Only the main process gets beyond: in others the journal is thrown away, and the block's end is the process's end.
    """
    outcome: dict[str, Any] = {}
    started = time.monotonic()
    with signals_as_exceptions(), ExitStack() as stack:
        if not is_main_process():
            folder = Path(stack.enter_context(TemporaryDirectory()))
            tracker, identity = JournalOnly(), replace(identity, resume=False)
        try:
            opened = Journal.reopen(folder) if identity.resume else Journal(folder, name=name, parent=identity.parent)
            with opened as journal:
                tracker.attach(journal)
                if identity.config:  # before all that may fail or be killed, so that `resume` finds the run
                    record_config(journal, identity.config)
                with SystemMetrics(journal):
                    yield journal, outcome
                journal.metrics({"perf/wall_seconds": time.monotonic() - started})
        finally:
            tracker.close()
    if not is_main_process():
        raise SystemExit(0)
    outcome |= {"folder": journal.folder, "url": tracker.url, "message": tracker.message}


def prepared(corpus: Corpus, split: Callable[[Corpus], Corpus] | None) -> Corpus:
    """The corpus as a run uses it: split, and with nothing to learn beside it that it is judged on.

    Raises:
        DataError: If its findings hold an error, or it can't be split.
    """
    raise_errors(corpus.findings)  # before the split, which may fail on what they left over
    return without_held_out(split(corpus) if split else corpus)


def check_data(
    corpus: Corpus, model: Model, splits: Sequence[str], *, judged: Mapping[str, Learned] | None = None
) -> list[Finding]:
    """Stop on errors in the data, before there is a run; the warnings.

    Args:
        corpus: Split as it will be used.
        model: What is to be trained on it, or judged.
        splits: Those to score.
        judged: What the model rests on, where it is only judged; None where it is to be trained.

    Raises:
        DataError: If a check finds an error, or a split to score is missing.
    """
    findings = check_corpus(corpus, needs_target=model.uses_target)
    held_out = [name for name in (VALIDATION, *splits) if name in corpus.splits and name != TRAIN]
    if judged is None:
        findings += learned_findings(corpus, learned_before(model), held_out, learning=True)
    else:
        findings += learned_findings(corpus, judged, [name for name in splits if name in corpus.splits], learning=False)
        findings = [finding for finding in findings if finding.check != "rare-label"]
    raise_errors(findings)
    for split in splits:
        if split not in corpus.splits and judged is None:
            raise DataError(
                f"corpus '{corpus.name}' has no split '{split}' to score; it has {', '.join(corpus.splits)}. A split "
                "protocol makes one: split=random, in Python split=partial(stancelib.data.splitting.random, seed=0)."
            )
        corpus.split(split)
    return findings


def record_findings(journal: Journal, findings: Sequence[Finding]) -> None:
    """Show the warnings about the data, and keep them as the table ``data_checks``."""
    if findings:
        columns = {"severity": "severity", "check": "check", "rows": "n_rows", "message": "message"}
        journal.table("data_checks", {title: [getattr(f, name) for f in findings] for title, name in columns.items()})
    for finding in findings:
        logger.warning("%s", finding.message)
    journal.tags({"data.warnings": str(len(findings))})


def describe(journal: Journal, corpus: Corpus, tags: Mapping[str, str], identity: Identity) -> None:
    """Parameters, tags and data sets: everything that tells this run from another."""
    config = identity.config
    identifying = {key: value for key, value in config.items() if key not in ("name", "tracking")}
    journal.params(flatten(identifying) or {"seed": identity.seed})
    split_name = corpus.protocol.partition("(")[0]
    journal.tags(
        {"stage": "training", "data": corpus.name, "split": split_name, "seed": str(identity.seed), **tags}
        | {"split.digest": corpus.digest[:12], "split.protocol": corpus.protocol}
        | origin(config)
    )
    for part, statements in corpus.splits.items():
        journal.dataset(
            name=corpus.name,
            digest=statements.digest[:12],
            split=part,
            source=corpus.source,
            n_rows=len(statements),
            label_counts=label_counts(corpus)[part],
            protocol=corpus.protocol,
        )


def record_config(journal: Journal, config: Mapping[str, Any]) -> None:
    """The configuration as a file of the run; by it ``resuming`` finds the run."""
    path = journal.folder / CONFIG
    path.write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
    journal.artifact(path)


def encoder_tags(model: object) -> dict[str, str]:
    """The digest of a fitted model's encoder as a tag; none for a family without an encoder."""
    digest = getattr(model, "encoder_digest_", "")
    return {"encoder.digest": digest[:12]} if digest else {}


def interval_tags(evaluation: Evaluation) -> dict[str, str]:
    """What the ends of all intervals of a run rest on."""
    return {"interval.level": f"{evaluation.level:g}", "interval.resamples": str(evaluation.n_resamples)}


def origin(config: Mapping[str, Any]) -> dict[str, str]:
    """Tags that say with what code and configuration something was made."""
    versions = {f"version.{package}": found for package, found in package_versions().items()}
    return {"config.hash": config_hash(config)} | git_state(Path.cwd()) | versions


def record_scores(journal: Journal, found: Scores, predictions: Mapping[str, Predictions]) -> None:
    """Scores as metrics, pictures and the prediction table of every split."""
    figures = journal.folder / "figures"
    figures.mkdir(exist_ok=True)
    for part, said in predictions.items():
        values = {f"{part}/{name}": value for name, value in found[part].items()}
        journal.metrics(values, step=_last_step(journal.folder, part))
        title = f"{journal.name} · {part} (n = {len(said.statements)})"
        for draw, kind in ((confusion_figure, "confusion"), (calibration_figure, "calibration")):
            path = figures / f"{part}_{kind}.png"
            draw(said, path, title=title)
            journal.artifact(path, "figures")
        journal.table(f"predictions_{part}", prediction_columns(said))


def _last_step(folder: Path, part: str) -> int:
    """The last step at which something of a split was measured while fitting: trackers show a metric's last step."""
    steps = (
        event["step"]
        for event, _ in read_events(folder)
        if event["event"] == "metrics" and any(name.startswith(f"{part}/") for name in event["values"])
    )
    return max(steps, default=0)


def label_counts(corpus: Corpus) -> dict[str, dict[str, int]]:
    """Statements by split and label."""
    import numpy as np

    return {
        part: dict(
            zip(corpus.labels, map(int, np.bincount(statements.gold, minlength=len(corpus.labels))), strict=True)
        )
        for part, statements in corpus.splits.items()
    }


def summary_note(identity: Identity, found: Scores, headline: str) -> str:
    """Markdown for the top of the run's page: the command and the scores."""
    names = headline_first(next(iter(found.values())), headline)
    lines = [identity.note] if identity.note else []
    lines += ["| split | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    lines += [
        f"| {part} | " + " | ".join(spelled(values, name) for name in names) + " |" for part, values in found.items()
    ]
    return "\n".join(lines)
