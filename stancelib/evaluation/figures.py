"""Pictures of predictions, as PNG files."""

from __future__ import annotations

import warnings
from pathlib import Path
from textwrap import wrap
from typing import Any

from stancelib.errors import require
from stancelib.evaluation.learning import LearningCurve
from stancelib.evaluation.metrics import confusion_matrix, reliability
from stancelib.schema import Predictions

TITLE_CHARACTERS_PER_INCH, N_UPRIGHT = 11, 12  # N_UPRIGHT: characters of a label that fit under its column
INK, ACCENT, GRID = "#1f2933", "#2b6cb0", "#d9dfe5"


def confusion_figure(predictions: Predictions, path: Path, *, title: str) -> None:
    """Draw the confusion matrix: counts in the cells, shade by share of the gold label."""
    labels = predictions.labels
    counts = confusion_matrix(predictions.statements.gold, predictions.label_ids, n_labels=len(labels))
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    figure = _figure(1.6 + 0.95 * len(labels), 1.2 + 0.8 * len(labels))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in _cells(counts):
        color = "white" if shares[row, column] > 0.55 else INK
        axes.text(
            column, row, f"{count:,}\n{shares[row, column]:.0%}", ha="center", va="center", color=color, fontsize=9
        )
    turned = {"rotation": 20, "ha": "right"} if max(map(len, labels)) > N_UPRIGHT else {}
    axes.set_xticks(range(len(labels)), labels=list(labels), parse_math=False, **turned)
    axes.set_yticks(range(len(labels)), labels=list(labels), parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold (rows sum to 100 %)")
    _set_title(figure, title)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _save(figure, path)


def calibration_figure(predictions: Predictions, path: Path, *, title: str) -> None:
    """Draw the reliability diagram (accuracy over confidence) above a histogram of the confidences."""
    curve = reliability(predictions.statements.gold, predictions.probabilities)
    figure = _figure(4.6, 4.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfect")
    upper.plot(curve.confidence, curve.accuracy, color=ACCENT, label=f"model (ECE {curve.ece:.3f})")
    upper.scatter(curve.confidence, curve.accuracy, s=8 + 82 * curve.count / curve.count.max(), color=ACCENT, zorder=3)
    upper.set_ylabel("accuracy")
    upper.set_ylim(-0.02, 1.02)
    upper.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9)
    _set_title(figure, title)
    lower.hist(predictions.confidence, bins=20, range=(0, 1), color=ACCENT, edgecolor="white", linewidth=0.6)
    lower.set_xlabel("confidence")
    lower.set_ylabel("statements")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    _save(figure, path)


def learning_figure(curve: LearningCurve, path: Path, *, title: str) -> None:
    """Draw the score over the number of training statements, with its intervals and a dot for each draw."""
    sizes = [point.n_statements for point in curve.points]
    around = [point.interval for point in curve.points]
    figure = _figure(5.6, 3.8)
    axes = figure.add_subplot()
    axes.fill_between(sizes, [one.low for one in around], [one.high for one in around], color=ACCENT, alpha=0.15, lw=0)
    axes.errorbar(
        sizes,
        [one.value for one in around],
        yerr=[[one.value - one.low for one in around], [one.high - one.value for one in around]],
        marker="o",
        capsize=3,
        color=ACCENT,
        label="mean, with its interval",
    )
    draws = [(point.n_statements, score) for point in curve.points for score in point.scores]
    axes.scatter(*zip(*draws, strict=True), s=14, color=INK, alpha=0.5, zorder=3, label="single draws")
    axes.set_xlim(left=0)
    axes.set_xlabel("training statements")
    axes.set_ylabel(f"{curve.score} on validation")
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    _set_title(figure, title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    """Write the picture; characters that its font lacks are boxes, and nothing is said of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path)


def _set_title(figure: Any, title: str) -> None:
    """Above the whole figure, in as many lines as its width needs."""
    width = int(TITLE_CHARACTERS_PER_INCH * figure.get_figwidth())
    figure.suptitle("\n".join(wrap(title, width)), fontsize=10, parse_math=False)


def _figure(width: float, height: float) -> Any:
    """A figure of this size in inches, drawn without pyplot and so without global state."""
    return require("matplotlib.figure", "train").Figure(figsize=(width, height), dpi=130, layout="constrained")


def _cells(counts: Any) -> list[tuple[tuple[int, int], int]]:
    return [((row, column), int(n)) for row, line in enumerate(counts) for column, n in enumerate(line)]
