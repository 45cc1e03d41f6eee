"""From raw probabilities to calibrated answers, and from these to scores with intervals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stancelib.errors import DataError
from stancelib.evaluation.calibration import apply_temperature, fit_temperature
from stancelib.evaluation.decisions import Decision, FittedDecision, decision_scores
from stancelib.evaluation.intervals import FEW, clusters_of, intervals, with_bounds
from stancelib.evaluation.metrics import HEADLINES, Evaluation, brier, reliability, scores
from stancelib.schema import VALIDATION, Corpus, Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("stancelib")


def calibrate(
    corpus: Corpus, raw: Mapping[str, NDArray[np.float64]], evaluation: Evaluation, decision: Decision
) -> tuple[float, FittedDecision]:
    """Temperature and decision rule, fitted on validation; without a validation split they stay plain."""
    import numpy as np

    if VALIDATION not in raw:
        if decision.coverage is not None:
            raise DataError(
                "decision.coverage needs a validation split to find its thresholds; choose a split that makes one."
            )
        return 1.0, decision.fit(corpus.labels, np.zeros(0, int), np.zeros((0, len(corpus.labels))))
    gold = corpus.split(VALIDATION).gold
    temperature = fit_temperature(gold, raw[VALIDATION]) if evaluation.calibrate else 1.0
    return temperature, decision.fit(corpus.labels, gold, apply_temperature(raw[VALIDATION], temperature))


def judged(
    corpus: Corpus,
    raw: Mapping[str, NDArray[np.float64]],
    temperature: float,
    rule: FittedDecision,
    evaluation: Evaluation,
) -> tuple[dict[str, Predictions], dict[str, dict[str, float]]]:
    """What the calibrated model says about the splits to score, and how good that is."""
    predictions, found = {}, {}
    for part in evaluation.splits:
        statements = corpus.split(part)
        predictions[part] = rule.apply(statements, corpus.labels, apply_temperature(raw[part], temperature))
        found[part] = scored(predictions[part], evaluation, rule)
        found[part]["ece_uncalibrated"] = reliability(statements.gold, raw[part]).ece
        found[part]["brier_uncalibrated"] = brier(statements.gold, raw[part])
    return predictions, found


def scored(said: Predictions, evaluation: Evaluation, rule: FittedDecision) -> dict[str, float]:
    """Scores with their intervals, and what the decision rule costs and gains."""
    present = set(said.statements.gold.tolist())
    if absent := [name for label_id, name in enumerate(said.labels) if label_id not in present]:
        logger.warning("no scored statement is %s: macro-F1 counts a label without one as 0", " or ".join(absent))
    found = scores(said, skip_labels=evaluation.skip_labels)
    found |= decision_scores(rule, said.labels, said.statements.gold, said.probabilities)
    if not evaluation.n_resamples:
        return found
    clusters = clusters_of(said.statements)
    if (n_clusters := len(set(clusters))) < FEW:
        message = "the scored statements are in %d group%s: intervals and tests on fewer than %d are rough"
        logger.warning(message, n_clusters, "s" * (n_clusters != 1), FEW)
    around = intervals(
        said,
        clusters,
        skip_labels=evaluation.skip_labels,
        level=evaluation.level,
        n_resamples=evaluation.n_resamples,
        method=evaluation.interval,
    )
    return found | with_bounds({name: around[name] for name in around if name in HEADLINES or name.startswith("f1.")})
