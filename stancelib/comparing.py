"""Trained models compared on the same statements: what is decided, and where they differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stancelib.data.writing import write_rows
from stancelib.errors import ConfigError
from stancelib.evaluation.comparison import (
    Comparison,
    Difference,
    SliceDifference,
    aligned,
    check_score,
    compare,
    compare_slices,
)
from stancelib.evaluation.intervals import clusters_of
from stancelib.evaluation.metrics import headline_first, range_of
from stancelib.evaluation.significance import holm
from stancelib.evaluation.verdicts import spell
from stancelib.journal import EVENTS, read_events, run_state
from stancelib.prediction_tables import locate_predictions, read_table, run_id_of
from stancelib.schema import VALIDATION, Predictions

ALPHA = 0.05
FLIP = ("compared", "right", "id", "gold", "A", "B", "target", "text")
A_BETTER, B_BETTER, ALIKE = "A is better", "B is better", "no difference beyond chance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One of the models that are compared.

    Args:
        source: What it was named by: a run folder, an MLflow run id, a prediction file.
        predictions: Labelled predictions.
        name: The run's name, else ``source``.
        run_id: Its id in MLflow; empty where that isn't known, and so the next two.
        data: Name of the corpus.
        split: Which split.
    """

    source: str
    predictions: Predictions
    name: str = ""
    run_id: str = ""
    data: str = ""
    split: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the statements and of what was said about them (64 hex digits)."""
        said = self.predictions
        digest = hashlib.sha256(said.statements.digest.encode())
        digest.update(said.label_ids.astype("<i8").tobytes())
        digest.update(said.probabilities.astype("<f8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A challenger, B, beside the baseline, A.

    Args:
        baseline: A.
        challenger: B.
        score: What decides.
        found: All differences.
        slices: The difference in ``score`` by slice.
        adjusted_p: The p-value of ``score`` after Holm's correction over all challengers.
        n_challengers: How many there are.
        skip_labels: Labels left out of ``f_avg``.
    """

    baseline: Contender
    challenger: Contender
    score: str
    found: Comparison
    slices: Sequence[SliceDifference]
    adjusted_p: float
    n_challengers: int = 1
    skip_labels: Sequence[str] = ()

    @property
    def headline(self) -> Difference:
        """The difference in the score that decides."""
        return self.found.differences[self.score]

    @property
    def decision(self) -> str:
        """Which of the two is better, if that is more than chance."""
        if self.adjusted_p > ALPHA:
            return ALIKE
        return B_BETTER if self.headline.second_is_better else A_BETTER

    @property
    def grounds(self) -> str:
        """The rest of the sentence that ``decision`` begins."""
        corrected = f" (p = {spelled_p(self.adjusted_p)} after Holm's correction)" if self.n_challengers > 1 else ""
        return f"in {spell(self.score)} at the 5 % level{corrected}; {self._reach}"

    @property
    def _reach(self) -> str:
        detectable, (lowest, highest) = self.headline.detectable, range_of(self.score)
        if not detectable:
            return "no resample of the statements shows any."
        if detectable > highest - lowest:
            return "these statements are too few to find any."
        return f"a difference of {detectable:.3f} would be found four times out of five."

    def names(self) -> list[str]:
        """The scores, the one that decides first, then those of the whole, then those of labels."""
        whole = headline_first(dict.fromkeys(self.found.differences, 0.0), self.score)
        return list(dict.fromkeys([self.score, *whole, *self.found.differences]))

    def better_slices(self, *, b: bool) -> list[SliceDifference]:
        """Slices on which B (or A) is better beyond chance."""
        sure = [one for one in self.slices if one.adjusted_p <= ALPHA]
        return [one for one in sure if one.difference and one.difference.second_is_better == b]

    def about_slices(self) -> str:
        """What the slices amount to, in a sentence."""
        n_judged = sum(one.difference is not None for one in self.slices)
        if not n_judged:
            return f"None of {len(self.slices)} slices is large enough to judge."
        b, a = len(self.better_slices(b=True)), len(self.better_slices(b=False))
        return f"Of {n_judged} slices, B is better on {b} and A on {a} after Holm's correction over them."


def spelled_p(value: float) -> str:
    """A p-value as people write it."""
    return f"{value:.4f}" if value >= 1e-4 else "< 0.0001"


def read_contender(source: str, split: str | None = None, *, uri: str | None = None) -> Contender:
    """A model to compare, by what it was named by.

    Args:
        source: As for ``read_predictions``.
        split: Which split's predictions; None takes ``test`` where the run scored it, else ``validation``.
        uri: The tracking address, resolved as for training.

    Raises:
        DataError: If there are no such predictions.
    """
    path = locate_predictions(source, split, uri=uri)
    known = Contender(source=source, name=source, predictions=read_table(path))
    folder = path.parent.parent
    if run_id := run_id_of(source):
        from stancelib.tracking.registry import name_and_tags

        name, tags = name_and_tags(run_id, uri=uri)
        known = replace(known, name=name, run_id=run_id, data=tags.get("data", ""))
    elif path.parent.name == "tables" and (folder / EVENTS).is_file():
        known = replace(known, name=run_state(folder).name, run_id=_run_id(folder), data=_data(folder))
    part = path.stem.removeprefix("predictions_") if path.parent.name == "tables" else ""
    return replace(known, split=part)


def read_contenders(sources: Sequence[str], split: str | None = None, *, uri: str | None = None) -> list[Contender]:
    """All the models of a comparison, on one split.

    Args:
        sources: As for ``read_contender``.
        split: Which split's predictions; None takes ``test`` where all runs scored it, else ``validation``.
        uri: The tracking address, resolved as for training.

    Raises:
        DataError: If a source has no such predictions.
    """
    found = [read_contender(source, split, uri=uri) for source in sources]
    if len({one.split for one in found if one.split}) > 1:
        found = [read_contender(source, VALIDATION, uri=uri) for source in sources]
    return found


def _run_id(folder: Path) -> str:
    from stancelib.tracking.link import Link

    link = Link.load(folder)
    return link.run_id if link else ""


def _data(folder: Path) -> str:
    tags = (event["values"] for event, _ in read_events(folder) if event["event"] == "tags")
    return str(next((values["data"] for values in tags if "data" in values), ""))


def compare_models(
    contenders: Sequence[Contender],
    *,
    score: str | None = None,
    skip_labels: Sequence[str] = (),
) -> list[Contest]:
    """Every challenger beside the baseline, which comes first.

    Args:
        contenders: At least two.
        score: What decides; None takes ``f_avg`` where there are labels to skip, else ``macro_f1``.
        skip_labels: Labels left out of ``f_avg``.

    Raises:
        ConfigError: If there are fewer than two, or there is no such score.
        DataError: If they aren't about the same labelled statements.
    """
    if len(contenders) < 2:
        raise ConfigError("compare needs at least two runs: the baseline first.")
    baseline, *challengers = contenders
    first, score = baseline.predictions, score or ("f_avg" if skip_labels else "macro_f1")
    check_score(score, first, skip_labels)
    clusters = clusters_of(first.statements)
    challengers = [replace(one, predictions=aligned(one.predictions, first)) for one in challengers]
    found = [compare(first, one.predictions, clusters, skip_labels=skip_labels) for one in challengers]
    adjusted = holm([one.differences[score].p_value for one in found])
    return [
        Contest(
            baseline=baseline,
            challenger=challenger,
            score=score,
            found=one,
            slices=compare_slices(first, challenger.predictions, clusters, score=score, skip_labels=skip_labels),
            adjusted_p=p_value,
            n_challengers=len(challengers),
            skip_labels=skip_labels,
        )
        for challenger, one, p_value in zip(challengers, found, adjusted, strict=True)
    ]


def flips(contest: Contest, n_each: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows that only one model gets right, those of A first; at most ``n_each`` of each."""
    models = (contest.baseline.predictions, contest.challenger.predictions)
    statements, labels = models[0].statements, models[0].labels
    for which, rows in (("A", contest.found.only_first), ("B", contest.found.only_second)):
        for row in rows[:n_each]:
            said = [labels.names[model.label_ids[row]] for model in models]
            gold, target, text = labels.names[statements.gold[row]], statements.targets[row], statements.texts[row]
            values = (contest.challenger.source, which, statements.ids[row], gold, *said, target, text)
            yield dict(zip(FLIP, values, strict=True))


def write_flips(path: Path, contests: Sequence[Contest]) -> None:
    """All rows that only one model gets right, of every contest.

    Raises:
        DataError: If there is no folder for the file.
    """
    with write_rows(path) as write:
        for contest in contests:
            write(list(flips(contest)), like=dict.fromkeys(FLIP))
