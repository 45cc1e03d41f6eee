"""Scores for stance predictions.

Functions take the gold label ids first and the predictions second and return plain floats; ``scores`` puts all of
them into one mapping with stable names. Shapes: N statements, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stancelib.errors import nearest
from stancelib.schema import SPLITS, VALIDATION, Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADLINES = ("macro_f1", "f_avg", "accuracy", "mcc")
OF_PROBABILITIES = ("log_loss", "brier", "ece")
INTERVALS = ("percentile", "bca")
LOWER_IS_BETTER = (*OF_PROBABILITIES, "cost", "abstained", "set_size")
N_BINS = 15
_SHARE = (0.0, 1.0)
_RANGES = dict.fromkeys(("macro_f1", "f_avg", "accuracy", "ece", "precision", "recall", "f1"), _SHARE) | {
    "mcc": (-1.0, 1.0),
    "log_loss": (0.0, math.inf),
    "brier": (0.0, 2.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyses:
    """What is found out about a model beside its scores.

    Args:
        probes: Whether the model uses its targets: these are blanked, shuffled and swapped.
        controls: Compare it with models that are trained on the text alone and on the target alone.
        behaviour: Judge the behavioural cases, capability by capability.
        behaviour_files: Cases of your own, files or folders, judged beside the library's.
        slices: Columns to score by parts; None takes domain, register, tranche and phenomena where there are such.
        robustness: Score the statements with typos, in other casing, with attributions and neutral clauses.
        report: Write an HTML page and a Markdown summary of every scored split.
        n_explained: The worst errors shown in the report, each with the tokens that led to it; 0 for none.

    Raises:
        ValueError: If ``n_explained`` is below 0.
    """

    probes: bool = True
    controls: bool = True
    behaviour: bool = True
    behaviour_files: Sequence[str] = ()
    slices: Sequence[str] | None = None
    robustness: bool = False
    report: bool = True
    n_explained: int = 12

    def __post_init__(self) -> None:
        object.__setattr__(self, "behaviour_files", tuple(self.behaviour_files))
        if self.n_explained < 0:
            raise ValueError(f"n_explained must be at least 0, got {self.n_explained}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What is scored after a fit.

    Args:
        splits: Splits to score; put ``test`` here once, at the very end.
        headline: The score that stands first and sorts the runs table: macro_f1, f_avg, accuracy or mcc.
        skip_labels: Labels left out of ``f_avg`` (SemEval-2016 leaves out NONE); without any, there is no ``f_avg``.
        calibrate: Scale the probabilities by a temperature fitted on validation.
        interval: Method of the intervals around scores: ``percentile``, or ``bca``, which corrects bias and skewness.
        level: Their level, in (0, 1).
        n_resamples: Bootstrap resamples for the intervals; 0 for no intervals, and none of the analyses that need them.
        analyses: What is found out beside the scores.

    Raises:
        ValueError: If a split, headline or method is unknown, or ``f_avg`` has no labels to skip.
    """

    splits: Sequence[str] = (VALIDATION,)
    headline: str = "macro_f1"
    skip_labels: Sequence[str] = ()
    calibrate: bool = True
    interval: Literal["percentile", "bca"] = "percentile"
    level: float = 0.95
    n_resamples: int = 2000
    analyses: Analyses = Analyses()

    def __post_init__(self) -> None:
        if isinstance(self.splits, str):
            raise ValueError(f"splits must be a list of names, got the text {self.splits!r}.")
        if not self.splits:
            raise ValueError(f"splits is empty; name at least one of {', '.join(SPLITS)}.")
        for split in self.splits:
            if split not in SPLITS:
                raise ValueError(f"splits must be of {', '.join(SPLITS)}, got {split!r}{nearest(split, SPLITS)}")
        if self.headline not in HEADLINES:
            raise ValueError(
                f"headline must be one of {', '.join(HEADLINES)}, got {self.headline!r}"
                + nearest(self.headline, HEADLINES)
            )
        if self.interval not in INTERVALS:
            raise ValueError(
                f"interval must be one of {', '.join(INTERVALS)}, got {self.interval!r}"
                + nearest(self.interval, INTERVALS)
            )
        if not 0 < self.level < 1:
            raise ValueError(f"level must be above 0 and below 1, got {self.level}.")
        if self.n_resamples < 0:
            raise ValueError(f"n_resamples must be at least 0, got {self.n_resamples}.")
        if self.headline == "f_avg" and not self.skip_labels:
            raise ValueError(
                "headline 'f_avg' needs skip_labels: the labels that its mean leaves out, such as ['NONE']."
            )


def macro_f1(
    gold: NDArray[np.int_], predicted: NDArray[np.int_], *, n_labels: int, skip: Collection[int] = ()
) -> float:
    """Unweighted mean of the per-label F1 scores.

    With ``skip={NONE}`` this is the official SemEval-2016 score: the mean of F1(favor) and F1(against), while
    errors on NONE statements still cost precision.

    Args:
        gold: True label ids, shape (n_statements,).
        predicted: Predicted label ids, shape (n_statements,).
        n_labels: Number of labels; ids run from 0 to ``n_labels - 1``.
        skip: Label ids left out of the mean, not out of the counts.

    Returns:
        The score, in [0, 1]. A label absent from both arrays scores 0.

    Raises:
        ValueError: If the arrays differ in shape, or ``skip`` leaves no label.

    References:
        Mohammad et al. (2016), SemEval-2016 Task 6: Detecting Stance in Tweets.
    """
    kept = [label for label in range(n_labels) if label not in skip]
    if not kept:
        raise ValueError(f"skip={sorted(skip)} leaves none of the {n_labels} labels.")
    _, _, f1 = precision_recall_f1(gold, predicted, n_labels=n_labels)
    return float(f1[kept].mean())


def precision_recall_f1(
    gold: NDArray[np.int_], predicted: NDArray[np.int_], *, n_labels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 of each label, three arrays of shape (n_labels,); 0 where undefined.

    Raises:
        ValueError: If the arrays differ in shape.
    """
    import numpy as np

    counts_KK = confusion_matrix(gold, predicted, n_labels=n_labels)
    hits, n_predicted, n_gold = counts_KK.diagonal(), counts_KK.sum(axis=0), counts_KK.sum(axis=1)
    precision = hits / np.maximum(n_predicted, 1)
    recall = hits / np.maximum(n_gold, 1)
    f1 = 2 * hits / np.maximum(n_predicted + n_gold, 1)
    return precision, recall, f1


def confusion_matrix(gold: NDArray[np.int_], predicted: NDArray[np.int_], *, n_labels: int) -> NDArray[np.int_]:
    """Counts, shape (n_labels, n_labels): gold in rows, predicted in columns.

    Raises:
        ValueError: If the arrays differ in shape.
    """
    import numpy as np

    if gold.shape != predicted.shape:
        raise ValueError(f"gold has shape {gold.shape}, predicted {predicted.shape}; they must be equal.")
    counts: NDArray[np.int_] = np.bincount(gold * n_labels + predicted, minlength=n_labels**2)
    return counts.reshape(n_labels, n_labels)


def matthews(gold: NDArray[np.int_], predicted: NDArray[np.int_]) -> float:
    """Matthews correlation coefficient for several labels, in [-1, 1]; 0 for a constant prediction."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(gold, predicted))


def log_loss(gold: NDArray[np.int_], probabilities_NK: NDArray[np.float64]) -> float:
    """Mean negative log-likelihood of the gold labels, in nats, at least 0; probabilities are cut at 1e-15."""
    import numpy as np

    return float(abs(np.log(probabilities_NK[np.arange(len(gold)), gold].clip(1e-15, 1)).mean()))


def brier(gold: NDArray[np.int_], probabilities_NK: NDArray[np.float64]) -> float:
    """Mean squared distance between probabilities and the gold label's unit vector, in [0, 2].

    References:
        Brier (1950), Verification of Forecasts Expressed in Terms of Probability.
    """
    import numpy as np

    unit_NK = np.eye(probabilities_NK.shape[1])[gold]
    return float(((probabilities_NK - unit_NK) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence bins, each array of shape (n_bins,) over the bins that hold statements.

    Args:
        confidence: Mean confidence.
        accuracy: Share of right predictions.
        count: Statements in the bin.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int_]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean gap between confidence and accuracy, in [0, 1].

        References:
            Guo et al. (2017), On Calibration of Modern Neural Networks.
        """
        import numpy as np

        return float(np.average(abs(self.confidence - self.accuracy), weights=self.count))


def reliability(gold: NDArray[np.int_], probabilities_NK: NDArray[np.float64], *, n_bins: int = N_BINS) -> Reliability:
    """Confidence against accuracy in bins of equal width."""
    import numpy as np

    confidence, right = probabilities_NK.max(axis=1), probabilities_NK.argmax(axis=1) == gold
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    count = np.bincount(bins, minlength=n_bins)
    used = count > 0
    sums = [np.bincount(bins, weights=values, minlength=n_bins)[used] for values in (confidence, right)]
    return Reliability(sums[0] / count[used], sums[1] / count[used], count[used])


def scores(predictions: Predictions, *, skip_labels: Sequence[str] = ()) -> dict[str, float]:
    """Every score of labelled predictions, by name.

    Returns:
        ``macro_f1``, ``f_avg`` (with ``skip_labels``), ``accuracy``, ``mcc``, ``log_loss``, ``brier``, ``ece``, and for
        each label ``f1.<label>``, ``precision.<label>``, ``recall.<label>``.

    Raises:
        ConfigError: If ``skip_labels`` names an unknown label.
    """
    gold, predicted, labels = predictions.statements.gold, predictions.label_ids, predictions.labels
    result = {"macro_f1": macro_f1(gold, predicted, n_labels=len(labels))}
    if skip_labels:
        skip = {labels.id_of(name) for name in skip_labels}
        result["f_avg"] = macro_f1(gold, predicted, n_labels=len(labels), skip=skip)
    result |= {
        "accuracy": float((gold == predicted).mean()),
        "mcc": matthews(gold, predicted),
        "log_loss": log_loss(gold, predictions.probabilities),
        "brier": brier(gold, predictions.probabilities),
        "ece": reliability(gold, predictions.probabilities).ece,
    }
    for kind, values in zip(
        ("precision", "recall", "f1"), precision_recall_f1(gold, predicted, n_labels=len(labels)), strict=True
    ):
        result |= {f"{kind}.{name}": float(value) for name, value in zip(labels, values, strict=True)}
    assert all(math.isfinite(value) for value in result.values())
    return result


def end_name(score: str, end: str) -> str:
    """What an end of a score's interval is called: ``macro_f1_low``, and ``f1_low.<label>`` of a label's."""
    kind, dot, label = score.partition(".")
    return f"{kind}_{end}{dot}{label}"


def is_end(name: str) -> bool:
    """Whether a name is one of ``end_name``."""
    return name.partition(".")[0].endswith(("_low", "_high"))


def range_of(score: str) -> tuple[float, float]:
    """The lowest and highest value that a score can have; infinite for what is no score of this module."""
    return _RANGES.get(score.partition(".")[0], (-math.inf, math.inf))


def headline_first(found: Mapping[str, float], headline: str) -> list[str]:
    """The names of the scores of the whole split, without those of single labels and the ends of intervals."""
    whole = [name for name in found if "." not in name and not is_end(name)]
    return sorted(whole, key=lambda name: name != headline)


def spelled(found: Mapping[str, float], name: str) -> str:
    """A score with its interval where it has one, such as ``0.7533 [0.7161, 0.7882]``."""
    bounds = f" [{found[f'{name}_low']:.4f}, {found[f'{name}_high']:.4f}]" if f"{name}_low" in found else ""
    return f"{found[name]:.4f}{bounds}"
