"""Behavioural tests: whether a model does, case by case, what each capability asks; see ``cases`` for their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stancelib.evaluation.cases import INVARIANCE, Capability, Case
from stancelib.schema import Judge, Predictions, Statements

MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed case, with the first probe that shows it; ``original`` is the text that it is a variant of."""

    capability: str
    case: str
    kind: str
    text: str
    target: str
    expected: str
    got: str
    original: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CapabilityResult:
    """How one capability went; skipped cases hold a label that the model doesn't know, and count nowhere else."""

    capability: Capability
    n_skipped: int
    failures: tuple[Failure, ...]

    @property
    def n_judged(self) -> int:
        """Cases that were not skipped."""
        return len(self.capability.cases) - self.n_skipped

    @property
    def pass_rate(self) -> float | None:
        """Share of the judged cases that passed, in [0, 1]; None where all were skipped."""
        return 1 - len(self.failures) / self.n_judged if self.n_judged else None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a model did on a suite, capability by capability."""

    results: tuple[CapabilityResult, ...]

    def metrics(self) -> dict[str, float]:
        """Pass rates: ``behaviour/<capability>`` where a case was judged, and ``behaviour/all`` over all such cases."""
        rates = {one.capability.metric: one.pass_rate for one in self.results if one.pass_rate is not None}
        n_judged, n_failed = sum(one.n_judged for one in self.results), sum(len(one.failures) for one in self.results)
        return rates | ({"behaviour/all": 1 - n_failed / n_judged} if n_judged else {})

    def failures(self) -> dict[str, list[Any]]:
        """The failed cases as a table: columns by name, one row per case."""
        rows = [failure for one in self.results for failure in one.failures]
        names = ("capability", "case", "kind", "text", "target", "expected", "got", "original")
        labels = dict.fromkeys(label for row in rows for label in row.probabilities)
        probabilities = {f"probability.{label}": [row.probabilities.get(label) for row in rows] for label in labels}
        return {name: [getattr(row, name) for row in rows] for name in names} | probabilities


def judge_suite(judge: Judge, suite: Sequence[Capability]) -> Behaviour:
    """Judge all cases in one batch, and see which passed.

    A case is skipped where the model doesn't know the label of the original, or none that a change names.
    """
    probes = list(dict.fromkeys(probe for one in suite for case in one.cases for probe in case.probes))
    said = judge(Statements([probe.text for probe in probes], [probe.target for probe in probes]))
    rows = {probe: row for row, probe in enumerate(probes)}
    results = []
    for one in suite:
        known = [case for case in one.cases if _is_judged(case, said)]
        failed = [_failure(one.name, case, said, [rows[probe] for probe in case.probes]) for case in known]
        results.append(CapabilityResult(one, len(one.cases) - len(known), tuple(filter(None, failed))))
    return Behaviour(tuple(results))


def _is_judged(case: Case, said: Predictions) -> bool:
    changes = (case.probes[-1].label, case.rises, case.falls)
    return case.probes[0].label in said.labels and any(label in said.labels for label in changes)


def _failure(capability: str, case: Case, said: Predictions, rows: Sequence[int]) -> Failure | None:
    wrong = next(_wrong(case, said, rows), None)
    if wrong is None:
        return None
    at, expected, got = wrong
    probe, original = case.probes[at], case.probes[0].text if at else ""
    probabilities = dict(zip(said.labels, said.probabilities[rows[at]].tolist(), strict=True))
    return Failure(capability, case.id, case.kind, probe.text, probe.target, expected, got, original, probabilities)


def _wrong(case: Case, said: Predictions, rows: Sequence[int]) -> Iterator[tuple[int, str, str]]:
    """The wrong probes: which one, what was expected of it, and what came out."""
    names = said.labels.decode(said.label_ids[list(rows)])
    if case.kind == INVARIANCE:
        yield from ((at, f"{names[0]}, as for the original", name) for at, name in enumerate(names) if name != names[0])
    elif case.probes[-1].label in said.labels:
        pairs = enumerate(zip(case.probes, names, strict=True))
        yield from ((at, probe.label, name) for at, (probe, name) in pairs if probe.label != name)
    for label, sign, verb in ((case.rises, 1, "rises"), (case.falls, -1, "falls")):
        if label in said.labels:
            before, after = said.probabilities[[rows[0], rows[-1]], said.labels.id_of(label)].tolist()
            if sign * (after - before) < MARGIN:
                yield 1, f"probability of {label} {verb} by {MARGIN} or more", f"{before:.2f} to {after:.2f}"
