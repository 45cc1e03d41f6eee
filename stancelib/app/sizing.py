"""The learning curve of a composed configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stancelib.app.composing import compose
from stancelib.app.naming import new_run_folder, run_name
from stancelib.app.overriding import warn_unused

if TYPE_CHECKING:
    from stancelib.app.sources import Sources
    from stancelib.models.base import Report
    from stancelib.sizing import CurveResult

UNUSED = {
    "decision": "the most probable label is scored",
    "evaluation.splits": "validation alone is scored",
    "hydra": "name the run folder with --output",
    "resume": "a curve starts anew",
    "seeds": "set --draws",
}


def curve(
    overrides: Sequence[str],
    *,
    fractions: Sequence[float],
    n_draws: int,
    report: Report,
    folder: Path | None = None,
    note: str = "",
    sources: Sources | None = None,
) -> CurveResult:
    """Fit the model of a configuration on growing shares of its training split, and record the curve as a run.

    Args:
        overrides: As for ``train``.
        fractions: Shares of the training split.
        n_draws: Samples of each share below 1.
        report: Called with the progress over all fits.
        folder: The run folder; None makes a new one below ``runs/``.
        note: Markdown for the top of the run's page.
        sources: Where options of the user's own are.

    Raises:
        ConfigError: If the configuration can't be composed, doesn't fit the components, or no curve can be made of it.
    """
    from stancelib.evaluation.learning import check_sizes
    from stancelib.recording import Identity
    from stancelib.sizing import run_learning_curve

    check_sizes(fractions, range(n_draws))  # before any data are read
    parts, plain = compose(overrides, ("model", "split", "evaluation", "tracking", "data"), sources)
    warn_unused(overrides, UNUSED, "a learning curve")
    for unused in ("decision", "resume", "seeds"):
        del plain[unused]
    family = str(plain["model"]["_target_"]).split(".")[-2]
    return run_learning_curve(
        corpus=parts["data"],
        model=parts["model"],
        folder=folder or new_run_folder(),
        split=parts["split"],
        fractions=fractions,
        n_draws=n_draws,
        evaluation=parts["evaluation"],
        tracker=parts["tracking"],
        identity=Identity(
            name=plain["name"] or f"curve {run_name(family, overrides, plain['seed'])}",
            seed=plain["seed"],
            config=plain | {"curve": {"fractions": list(fractions), "draws": n_draws}},
            note=note,
        ),
        report=report,
    )
