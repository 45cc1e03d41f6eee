"""One scored split as a page: scores with intervals, charts, findings and the worst errors with what led to them.

The page is a single HTML file. It needs no script and fetches nothing, and follows the reader's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from stancelib.errors import require
from stancelib.evaluation.charts import reliability_chart, risk_coverage_chart, strip, strip_domain
from stancelib.evaluation.faithfulness import Explanation, Faithfulness
from stancelib.evaluation.findings import Findings
from stancelib.evaluation.intervals import clusters_of
from stancelib.evaluation.metrics import LOWER_IS_BETTER, Evaluation, confusion_matrix, headline_first, reliability
from stancelib.evaluation.probes import TargetProbe
from stancelib.evaluation.selective import risk_coverage
from stancelib.evaluation.slices import Slices
from stancelib.evaluation.verdicts import freshness, interval_of, novelty, spell, verdicts
from stancelib.schema import TEST, Predictions

UNCALIBRATED = "_uncalibrated"
FORMS = {"score": ".3f", "signed": "+.3f", "short": ".2f", "tenth": ".1f", "percent": ".0%", "exact_percent": ".1%"}
N_FAILURES = 4
FAINTEST = 0.06


@dataclass(frozen=True, slots=True)
class Explained:
    """The worst errors, and whether their explanations can be believed.

    Args:
        errors: Explanations by row of the predictions, the most confident error first.
        faithfulness: What deleting tokens showed, on statements drawn at random; None where that wasn't asked.
    """

    errors: Mapping[int, Explanation] = field(default_factory=dict)
    faithfulness: Faithfulness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is known about a model's predictions of one split.

    Args:
        title: Usually the run's name.
        split: Which split.
        predictions: Labelled predictions.
        scores: As logged: by name, with ``…_low`` and ``…_high`` where there are intervals.
        evaluation: What was scored, and how.
        findings: Targets, slices, behaviour, robustness.
        explained: The worst errors.
        facts: Where model and data come from, by name, for the end of the page.
        n_scored_before: Other runs that scored this test split before; None where nobody counts.
        n_learned: Statements of the split that the model has learned from.
    """

    title: str
    split: str
    predictions: Predictions
    scores: Mapping[str, float]
    evaluation: Evaluation
    findings: Findings = field(default_factory=Findings)
    explained: Explained = field(default_factory=Explained)
    facts: Mapping[str, str] = field(default_factory=dict)
    n_scored_before: int | None = None
    n_learned: int = 0

    def html(self) -> str:
        """The page.

        Raises:
            MissingExtraError: If Jinja2 is not installed.
        """
        page: str = _template().render(self.content())
        return page

    def content(self) -> dict[str, Any]:
        """What the template shows, as plain containers; charts are SVG."""
        said, found = self.predictions, self.findings
        gold = said.statements.gold
        return {
            "title": self.title,
            "split": self.split,
            "n_statements": len(gold),
            "n_clusters": len(set(clusters_of(said.statements))),
            "level": self.evaluation.level,
            "headline": self._score(self.evaluation.headline),
            "scores": [self._score(name) for name in self._others()],
            "verdicts": [
                *([novelty(self.n_learned, len(gold))] if self.n_learned else ()),
                *verdicts(self.scores, self.evaluation.headline, found, self.split),
                *([freshness(self.n_scored_before)] if self.split == TEST else ()),
            ],
            "labels": list(_labels(said, self.scores)),
            "confusion": _confusion(said),
            "reliability": reliability_chart(reliability(gold, said.probabilities)),
            "risk_coverage": risk_coverage_chart(curve := risk_coverage(said)),
            "risks": [(share, curve.risk_at(share)) for share in (0.5, 0.8, 1.0)],
            "probe": _probe(found.probe) if found.probe else None,
            "slices": _slices(found.slices) if found.slices else None,
            "behaviour": _behaviour(found) if found.behaviour else None,
            "robustness": _robustness(found) if found.robustness else None,
            "remarks": found.remarks,
            "n_errors": int((said.label_ids != gold).sum()),
            "errors": [_error(said, row, one) for row, one in self.explained.errors.items()],
            "faithfulness": self.explained.faithfulness,
            "facts": self.facts,
        }

    def _others(self) -> list[str]:
        """Scores but the headline; those before calibration stand with those after it."""
        names = headline_first(self.scores, self.evaluation.headline)[1:]
        return [name for name in names if not name.endswith(UNCALIBRATED)]

    def _score(self, name: str) -> dict[str, Any]:
        return {
            "name": spell(name),
            "value": self.scores[name],
            "interval": interval_of(self.scores, name),
            "uncalibrated": self.scores.get(name + UNCALIBRATED),
            "hint": "lower is better" if name in LOWER_IS_BETTER else "",
        }


@cache
def _template() -> Any:
    """Compiled once for all reports of a process."""
    jinja = require("jinja2", "train")
    loader = jinja.FileSystemLoader(Path(__file__).parent)
    options = {"autoescape": True, "undefined": jinja.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja.Environment(loader=loader, **options)
    environment.filters |= {name: partial(_number, form) for name, form in FORMS.items()}
    return environment.get_template("report.html.jinja")


def _number(form: str, value: float) -> str:
    """With a true minus sign, and none before a zero."""
    text = format(value, form)
    return text.replace("-", "−") if any(digit in "123456789" for digit in text) else text.lstrip("+-")


def _labels(said: Predictions, scores: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Precision, recall and F1 of each label, with the F1's interval drawn on one scale."""
    found = {name: interval_of(scores, f"f1.{name}") for name in said.labels}
    domain = strip_domain([one for one in found.values() if one], *(scores[f"f1.{name}"] for name in said.labels))
    for label_id, (name, around) in enumerate(found.items()):
        yield {
            "name": name,
            "definition": said.labels.definitions.get(name, ""),
            "count": int((said.statements.gold == label_id).sum()),
            "precision": scores[f"precision.{name}"],
            "recall": scores[f"recall.{name}"],
            "f1": scores[f"f1.{name}"],
            "interval": around,
            "strip": strip(around, domain=domain, reference=scores["macro_f1"]) if around else "",
            "domain": domain,
        }


def _confusion(said: Predictions) -> list[dict[str, Any]]:
    counts = confusion_matrix(said.statements.gold, said.label_ids, n_labels=len(said.labels))
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    return [
        {
            "gold": name,
            "n": int(counts[row].sum()),
            "cells": list(zip(counts[row].tolist(), shares[row].tolist(), strict=True)),
        }
        for row, name in enumerate(said.labels)
    ]


def _probe(found: TargetProbe) -> dict[str, Any]:
    asked = [
        ("right targets", found.right),
        ("other statements' targets", found.shuffled),
        ("no target", found.blanked),
    ]
    asked += [(f"control: {name} alone", score) for name, score in found.controls.items()]
    numbers = [
        ("target reliance", found.target_reliance, "score with right targets minus that with other statements'"),
        ("swap reliance", found.swap_reliance, "the same on pairs, each half with the other's target"),
        ("pair accuracy", found.pair_accuracy, "pairs of one text and two targets with both halves right"),
        (f"gap to the control '{found.best_control}'", found.gap, "score minus that of the best control"),
    ]
    known = [(name, interval, meaning) for name, interval, meaning in numbers if interval is not None]
    domain = strip_domain([interval for _, interval, _ in known], 0.0)
    return {
        "score": spell(found.score),
        "bars": asked,
        "numbers": [(name, one, meaning, strip(one, domain=domain, reference=0.0)) for name, one, meaning in known],
        "domain": domain,
        "n": found.n_statements,
        "n_pairs": found.n_pairs,
        "n_unmoved": found.n_unmoved,
        "swapped": found.swapped,
    }


def _slices(found: Slices) -> dict[str, Any]:
    judged = [one for one in found.slices if one.interval is not None]
    domain = strip_domain(
        [one.interval for one in judged if one.interval], *(one.value for one in found.whole.values())
    )
    kinds: dict[str, list[dict[str, Any]]] = {}
    for one in judged:
        assert one.interval is not None
        whole = found.whole[one.score].value
        place = "below" if one.interval.high < whole else "above" if one.interval.low > whole else ""
        row = {"value": one.value, "n": one.n_statements, "n_clusters": one.n_clusters, "score": spell(one.score)}
        row |= {"interval": one.interval, "gap": one.interval.value - whole, "place": place}
        kinds.setdefault(one.kind, []).append(row | {"strip": strip(one.interval, domain=domain, reference=whole)})
    return {
        "kinds": kinds,
        "domain": domain,
        "n_judged": len(judged),
        "unjudged": [(one.kind, one.value, one.reason) for one in found.slices if one.interval is None],
        "whole": [(spell(name), one) for name, one in found.whole.items()],
    }


def _behaviour(found: Findings) -> list[dict[str, Any]]:
    assert found.behaviour is not None
    rows = [
        {
            "name": one.capability.name,
            "description": one.capability.description,
            "rate": one.pass_rate,
            "n": one.n_judged,
            "n_passed": one.n_judged - len(one.failures),
            "failures": one.failures[:N_FAILURES],
            "n_more": max(len(one.failures) - N_FAILURES, 0),
        }
        for one in found.behaviour.results
        if one.n_judged
    ]
    return sorted(rows, key=lambda row: row["rate"])


def _robustness(found: Findings) -> dict[str, Any]:
    assert found.robustness is not None
    drops = list(found.robustness.drops.values())
    domain = strip_domain([one.drop for one in drops], 0.0)
    rows = [(one, one.name.replace("_", " "), strip(one.drop, domain=domain, reference=0.0)) for one in drops]
    return {"score": spell(found.robustness.headline), "value": found.robustness.score, "rows": rows, "domain": domain}


def _error(said: Predictions, row: int, why: Explanation) -> dict[str, Any]:
    """One wrong prediction: its tokens in runs of text with a strength in [-1, 1], and all probabilities."""
    statements, gold = said.statements, said.labels.names[said.statements.gold[row]]
    ranked = sorted(zip(said.labels, said.probabilities[row].tolist(), strict=True), key=lambda pair: -pair[1])
    return {
        "id": statements.ids[row],
        "gold": gold,
        "predicted": why.label,
        "confidence": float(said.confidence[row]),
        "target": statements.targets[row],
        "pieces": list(pieces(why)),
        "target_weight": why.target_weight,
        "method": why.method,
        "probabilities": ranked,
    }


def pieces(why: Explanation) -> Iterator[tuple[str, float]]:
    """The text in pieces, each with the strength of its token in [-1, 1]; 0 between tokens and for faint ones."""
    most, at = max(map(abs, why.weights), default=0.0) or 1.0, 0
    for (start, end), weight in zip(why.spans, why.weights, strict=True):
        if start > at:
            yield why.text[at:start], 0.0
        yield why.text[start:end], weight / most if abs(weight) >= FAINTEST * most else 0.0
        at = end
    if why.text[at:]:
        yield why.text[at:], 0.0
