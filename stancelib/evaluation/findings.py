"""What an evaluation finds out beside the scores of one split, as metrics and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stancelib.evaluation.behaviour import Behaviour
from stancelib.evaluation.perturbations import Robustness
from stancelib.evaluation.probes import TargetProbe
from stancelib.evaluation.slices import Slices

Table = Mapping[str, Sequence[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was looked into; None where it wasn't.

    Args:
        probe: Whether the model uses its targets.
        slices: Where it fails.
        behaviour: What it does on the behavioural cases.
        robustness: What perturbations cost it.
        remarks: Why a part is missing, by its name; a part that was switched off has none.
    """

    probe: TargetProbe | None = None
    slices: Slices | None = None
    behaviour: Behaviour | None = None
    robustness: Robustness | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Everything as metrics: ``probe/…``, ``behaviour/…``, ``robustness/…`` and ``slice/worst_gap``.

        The worst gap is that between the worst slice that is large enough to judge and all statements; as the lowest of
        many, it is below 0 by chance alone.
        """
        found: dict[str, float] = {}
        for part in (self.probe, self.behaviour, self.robustness):
            found |= part.metrics() if part else {}
        gaps = [gap for gap in (self.slices.columns()["gap"] if self.slices else ()) if isinstance(gap, float)]
        return found | ({"slice/worst_gap": min(gaps)} if gaps else {})

    def tables(self, split: str) -> dict[str, Table]:
        """Tables by name; those of the split bear its name."""
        found: dict[str, Table] = {}
        if self.slices:
            found[f"slices_{split}"] = self.slices.columns()
        if self.robustness:
            drops = self.robustness.drops.values()
            found[f"robustness_{split}"] = {
                "perturbation": [one.name for one in drops],
                self.robustness.headline: [one.score for one in drops],
                "drop": [one.drop.value for one in drops],
                "drop_low": [one.drop.low for one in drops],
                "drop_high": [one.drop.high for one in drops],
                "flipped": [one.flipped_fraction for one in drops],
            }
        if self.behaviour:
            results = self.behaviour.results
            found["behaviour"] = {
                "capability": [one.capability.name for one in results],
                "pass_rate": [one.pass_rate for one in results],
                "cases": [one.n_judged for one in results],
                "skipped": [one.n_skipped for one in results],
                "description": [one.capability.description for one in results],
            }
            found["behaviour_failures"] = self.behaviour.failures()
        return found
