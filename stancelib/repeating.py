"""The same experiment with several seeds: runs under one parent, which carries their mean and spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stancelib.evaluation.metrics import end_name, is_end, range_of
from stancelib.journal import Journal, JournalOnly, Tracker, signals_as_exceptions
from stancelib.provenance import flatten
from stancelib.recording import Identity, Scores, record_config

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """One score over several seeds.

    Args:
        mean: Their mean.
        sd: Their standard deviation, with n - 1; 0 for one seed.
        low: Lower end of the 95 % t interval of the mean.
        high: Upper end.
        n: How many seeds.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int


def spread(values: Sequence[float], lowest: float = -math.inf, highest: float = math.inf) -> Spread:
    """Mean, standard deviation and t interval; it speaks of training luck, not of the choice of test statements.

    Args:
        values: One for each seed.
        lowest: The least value that there can be, where the interval ends at the latest.
        highest: The greatest.
    """
    from scipy.stats import t

    n, mean = len(values), statistics.fmean(values)
    sd = statistics.stdev(values) if n > 1 else 0.0
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * sd / math.sqrt(n) if n > 1 else 0.0
    return Spread(mean, sd, max(lowest, mean - half), min(highest, mean + half), n)


def repeat_experiment(
    *,
    run_one: Callable[[int, Path, str], Scores],
    seeds: Sequence[int],
    folder: str | Path,
    headline: str = "macro_f1",
    tracker: Tracker | None = None,
    identity: Identity | None = None,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Spread]:
    """Run an experiment once per seed, each a run of its own below this one.

    Args:
        run_one: Called with a seed, the folder for its run and the parent's uid; returns scores by split and name.
        seeds: The seeds, at least one.
        folder: The parent's run folder, made here unless ``identity.resume``; the seeds' folders lie in it.
        headline: The score that the parent's note shows.
        tracker: Where the parent's journal is copied.
        identity: Name, configuration and note of the parent.
        tags: Further tags of the parent.

    Returns:
        Every score over the seeds, by ``<split>/<name>``.
    """
    identity, tracker, folder = identity or Identity(), tracker or JournalOnly(), Path(folder)
    with signals_as_exceptions():
        try:
            name = identity.name or f"{len(seeds)} seeds"
            with Journal.reopen(folder) if identity.resume else Journal(folder, name=name) as journal:
                tracker.attach(journal)
                record_config(journal, identity.config)
                journal.params(flatten({k: v for k, v in identity.config.items() if k not in ("name", "tracking")}))
                journal.tags({"stage": "seeds", "seed": " ".join(map(str, seeds)), **(tags or {})})
                found = [run_one(seed, folder / f"seed-{seed}", journal.uid) for seed in seeds]
                spreads = _spreads(found)
                journal.metrics({name: one.mean for name, one in spreads.items()} | {"n_seeds": len(seeds)})
                for part in ("sd", "low", "high"):
                    journal.metrics({end_name(name, part): getattr(one, part) for name, one in spreads.items()})
                journal.note(_note(identity, seeds, found, spreads, headline))
        finally:
            tracker.close()
    return spreads


def _spreads(found: Sequence[Scores]) -> dict[str, Spread]:
    """Spreads of the scores that all seeds have; each seed's own intervals are not averaged."""
    flat = [
        {f"{part}/{name}": value for part, values in one.items() for name, value in values.items()} for one in found
    ]
    ends = {f"{part}/{name}" for part, values in found[0].items() for name in values if is_end(name)}
    shared = [name for name in flat[0] if all(name in one for one in flat) and name not in ends]
    return {name: spread([one[name] for one in flat], *range_of(name.partition("/")[2])) for name in shared}


def _note(
    identity: Identity, seeds: Sequence[int], found: Sequence[Scores], spreads: Mapping[str, Spread], headline: str
) -> str:
    lines = [identity.note] if identity.note else []
    lines += ["| split | mean | sd | 95 % interval | " + " | ".join(f"seed {seed}" for seed in seeds) + " |"]
    lines += ["|---|" + "---:|" * (3 + len(seeds))]
    for part in found[0]:
        one = spreads[f"{part}/{headline}"]
        each = " | ".join(f"{scores[part][headline]:.4f}" for scores in found)
        lines.append(f"| {part} | {one.mean:.4f} | {one.sd:.4f} | [{one.low:.4f}, {one.high:.4f}] | {each} |")
    return f"{headline} over {len(seeds)} seeds\n\n" + "\n".join(lines)
