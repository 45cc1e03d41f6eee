"""Charts as inline SVG that takes its colours from the page, and so fits light and dark alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from stancelib.evaluation.intervals import Interval
from stancelib.evaluation.metrics import Reliability
from stancelib.evaluation.selective import RiskCoverage

N_POINTS, FIRST_SHARE = 200, 0.02  # a curve's beginning rests on a handful of statements, and jumps
CHART_WIDTH, CHART_HEIGHT = 470, 304
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
AXIS_ENDS = (0.04, 0.08, 0.12, 0.2, 0.4, 0.6, 0.8, 1.0)
STRIP_WIDTH, STRIP_HEIGHT = 220, 18


@dataclass(frozen=True, slots=True)
class _Axes:
    """A plot's place on the page, in pixels, and what it shows; x runs from 0 to 1."""

    width: float
    height: float
    top: float
    high: float = 1.0
    left: float = 44.0

    def x(self, value: float) -> float:
        return self.left + value * self.width

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - value / self.high)

    def points(self, xs: Iterable[float], ys: Iterable[float]) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))

    def grid(self, ticks: Sequence[float], below: str, beside: str, *, base: float) -> list[str]:
        """Lines with numbers at both axes, and the axes' names; the lower ones start at ``base``."""
        found = []
        for tick in ticks:
            y = self.y(tick * self.high)
            found.append(f'<line class="grid" x1="{self.left}" x2="{self.x(1):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
            number = f"{tick * self.high:.2f}".rstrip("0").rstrip(".")
            found.append(f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{number}</text>')
            found.append(f'<text x="{self.x(tick):.1f}" y="{base + 16:.1f}" text-anchor="middle">{tick:g}</text>')
        middle = self.top + self.height / 2
        found.append(f'<text x="{self.x(0.5):.1f}" y="{base + 35:.1f}" text-anchor="middle">{escape(below)}</text>')
        turned = f'transform="rotate(-90 12 {middle:.1f})"'
        found.append(f'<text x="12" y="{middle:.1f}" text-anchor="middle" {turned}>{escape(beside)}</text>')
        return found


def reliability_chart(curve: Reliability) -> str:
    """Accuracy over confidence, dots as large as their bins, above how many statements have which confidence."""
    axes = _Axes(width=CHART_WIDTH - 56, height=200, top=10)
    base = CHART_HEIGHT - 40.0
    parts = axes.grid(TICKS, "confidence", "accuracy", base=base)
    parts.append(_line("reference", axes.points((0, 1), (0, 1))))
    parts.append(_line("curve", axes.points(curve.confidence, curve.accuracy)))
    most, total = float(curve.count.max()), float(curve.count.sum())
    for x, y, n in zip(curve.confidence, curve.accuracy, curve.count, strict=True):
        title = f"<title>{n} statements: confidence {x:.2f}, accuracy {y:.2f}</title>"
        radius = 3 + 6 * (n / most) ** 0.5
        parts.append(f'<circle class="dot" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="{radius:.1f}">{title}</circle>')
        size = f'y="{base - 36 * n / most:.1f}" width="14" height="{36 * n / most:.1f}"'
        parts.append(f'<rect class="bar" x="{axes.x(x) - 7:.1f}" {size}>{title}</rect>')
    parts.append(f'<line class="grid" x1="{axes.left}" x2="{axes.x(1):.1f}" y1="{base}" y2="{base}"/>')
    parts.append(f'<text x="{axes.left - 6}" y="{base - 8}" text-anchor="end">n</text>')
    label = f"Reliability diagram: expected calibration error {curve.ece:.3f} over {total:.0f} statements."
    return _svg(CHART_WIDTH, CHART_HEIGHT, label, parts)


def risk_coverage_chart(curve: RiskCoverage) -> str:
    """Errors among the most confident statements, over their share; dashed: the best possible order."""
    import numpy as np

    at = np.unique(np.linspace(0, len(curve.coverage) - 1, N_POINTS).astype(int))
    shown = at[curve.coverage[at] >= FIRST_SHARE] if len(at) > 1 / FIRST_SHARE else at
    high = next(end for end in AXIS_ENDS if end >= min(float(curve.risk[shown].max()), 1.0))
    axes = _Axes(width=CHART_WIDTH - 56, height=CHART_HEIGHT - 50, top=10, high=high)
    parts = axes.grid(TICKS, "share answered, most confident first", "errors among them", base=axes.y(0))
    parts.append(_line("reference", axes.points(curve.coverage[shown], curve.best[shown])))
    parts.append(_line("curve", axes.points(curve.coverage[shown], curve.risk[shown])))
    for share in (0.5, 0.8, 1.0):
        risk = curve.risk_at(share)
        title = f"<title>the most confident {share:.0%}: {risk:.1%} errors</title>"
        parts.append(f'<circle class="dot" cx="{axes.x(share):.1f}" cy="{axes.y(risk):.1f}" r="4">{title}</circle>')
    half, whole = curve.risk_at(0.5), curve.risk_at(1)
    label = f"Risk-coverage curve: {half:.1%} errors in the most confident half, {whole:.1%} in all."
    return _svg(CHART_WIDTH, CHART_HEIGHT, label, parts)


def strip(found: Interval, *, domain: tuple[float, float], reference: float | None = None) -> str:
    """A value with its interval on a line from one end of the domain to the other."""
    low, high = domain

    def x(value: float) -> float:
        return 6 + (STRIP_WIDTH - 12) * (min(max(value, low), high) - low) / (high - low)

    middle = STRIP_HEIGHT / 2
    parts = [f'<line class="grid" x1="6" x2="{STRIP_WIDTH - 6}" y1="{middle}" y2="{middle}"/>']
    if reference is not None:
        at = f"{x(reference):.1f}"
        parts.append(f'<line class="reference" x1="{at}" x2="{at}" y1="0" y2="{STRIP_HEIGHT}"/>')
    if found.known:
        ends = f'x1="{x(found.low):.1f}" x2="{x(found.high):.1f}"'
        parts.append(f'<line class="interval" {ends} y1="{middle}" y2="{middle}"/>')
    parts.append(f'<circle class="dot" cx="{x(found.value):.1f}" cy="{middle}" r="4"/>')
    label = f"{found.value:.3f}, interval {found.low:.3f} to {found.high:.3f}"
    return _svg(STRIP_WIDTH, STRIP_HEIGHT, label, parts, kind="strip")


def strip_domain(found: Sequence[Interval], *references: float) -> tuple[float, float]:
    """Ends, in tenths, between which all intervals and references lie."""
    import math

    values = [*references, *(one.value for one in found)]
    values += [end for one in found if one.known for end in (one.low, one.high)]
    low, high = math.floor(min(values) * 10) / 10, math.ceil(max(values) * 10) / 10
    return (low, high) if high > low else (low, low + 0.1)


def _line(kind: str, points: str) -> str:
    return f'<polyline class="{kind}" points="{points}"/>'


def _svg(width: float, height: float, label: str, parts: Sequence[str], kind: str = "chart") -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg class="{kind}" {size} role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
