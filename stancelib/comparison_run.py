"""A comparison as a run: its journal, its tables, its page; several challengers are runs below one parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stancelib.comparing import A_BETTER, ALIKE, B_BETTER, Contender, Contest, spelled_p, write_flips
from stancelib.evaluation.comparison import Difference
from stancelib.evaluation.intervals import Interval
from stancelib.evaluation.summary import cell, table
from stancelib.evaluation.verdicts import spell
from stancelib.journal import Journal, JournalOnly, Tracker
from stancelib.provenance import flatten
from stancelib.recording import Identity, origin, recorded

SHORT = 12  # hex digits of a digest
Row = dict[str, object]


def record_comparison(
    contests: Sequence[Contest],
    *,
    folder: str | Path,
    tracker: Callable[[], Tracker] = JournalOnly,
    page: str = "",
    note: str = "",
) -> dict[str, str]:
    """Record what ``compare_models`` found.

    Args:
        contests: One per challenger.
        folder: The run folder, made here; it must not hold a run yet. Several challengers have folders in it.
        tracker: Makes what the journal is copied to; called once per run.
        page: The comparison as HTML.
        note: Markdown for the top of the run's page, such as the command.

    Returns:
        ``folder``, ``url`` and ``message`` of the run, or of the parent of several: where the tracker shows it, and
        what it could not copy.
    """
    folder = Path(folder)
    if len(contests) == 1:
        return _record_one(contests[0], folder, tracker, page, Identity(note=note))
    first = contests[0]
    config = _config(first) | {"challenger": [one.challenger.name for one in contests]}
    name, told = f"compare {len(contests)} with {first.baseline.name}", list[str]()
    with recorded(folder, name, tracker(), Identity()) as (journal, outcome):
        _describe(journal, first, config, {})
        _keep(journal, contests, page)
        journal.note("\n\n".join(filter(None, [note, _overview(contests)])))
        below = Identity(note=note, parent=journal.uid)
        for number, one in enumerate(contests, start=1):
            told.append(_record_one(one, folder / f"challenger-{number}", tracker, "", below)["message"])
    message = next(filter(None, [outcome["message"], *told]), "")
    return {"folder": str(outcome["folder"]), "url": outcome["url"], "message": message}


def _record_one(
    contest: Contest, folder: Path, tracker: Callable[[], Tracker], page: str, identity: Identity
) -> dict[str, str]:
    a, b = contest.baseline, contest.challenger
    with recorded(folder, f"compare {b.name} with {a.name}", tracker(), identity) as (journal, outcome):
        _describe(journal, contest, _config(contest), _tags("challenger", b))
        journal.metrics(_metrics(contest))
        _keep(journal, [contest], page)
        journal.table("differences", _columns(score_rows(contest)))
        if slices := slice_rows(contest):
            journal.table("slices", _columns(slices))
        journal.note("\n\n".join(filter(None, [identity.note, _note(contest)])))
    return {key: str(outcome[key]) for key in ("folder", "url", "message")}


def _config(contest: Contest) -> dict[str, object]:
    config = {"baseline": contest.baseline.name, "challenger": contest.challenger.name, "score": contest.score}
    return config | {"split": contest.baseline.split, "skip_labels": list(contest.skip_labels)}


def _describe(journal: Journal, contest: Contest, config: Mapping[str, object], tags: Mapping[str, str]) -> None:
    """Parameters, tags, and the statements as a data set."""
    a, whole = contest.baseline, {"compare": config}
    journal.params(flatten(whole))
    journal.tags({"stage": "compare", "data": a.data, **_tags("baseline", a), **tags} | origin(whole))
    statements, labels = a.predictions.statements, a.predictions.labels
    counts = {name: int((statements.gold == number).sum()) for number, name in enumerate(labels)}
    journal.dataset(
        name=a.data or Path(a.source).name,
        digest=statements.digest[:SHORT],
        split=a.split or "compared",
        source=a.source,
        n_rows=len(statements),
        label_counts=counts,
        protocol="",
    )


def _tags(role: str, one: Contender) -> dict[str, str]:
    """Which model this is: its address, and the digest of what it said."""
    return {f"{role}.run": one.run_id or one.source, f"{role}.digest": one.digest[:SHORT]}


def _metrics(contest: Contest) -> dict[str, float]:
    """The scores of the whole with their ends, and what is counted."""
    values: dict[str, float] = {}
    for name in contest.names():
        if "." not in name or name == contest.score:
            one = contest.found.differences[name]
            ends = {"": one.interval.value, "_low": one.interval.low, "_high": one.interval.high, "_p": one.p_value}
            kind, dot, label = name.partition(".")
            values |= {f"compare/{kind}_difference{end}{dot}{label}": value for end, value in ends.items()}
    one = contest.headline
    values |= {f"compare/{one.name}_baseline": one.first, f"compare/{one.name}_challenger": one.second}
    values[f"compare/{one.name}_difference_p_holm"] = contest.adjusted_p
    values["compare/mcnemar_p"] = contest.found.mcnemar_p
    only = {"baseline": contest.found.only_first, "challenger": contest.found.only_second}
    values |= {f"compare/only_{role}_right": len(rows) for role, rows in only.items()}
    values["compare/slices_better"] = len(contest.better_slices(b=True))
    values["compare/slices_worse"] = len(contest.better_slices(b=False))
    return values


def _keep(journal: Journal, contests: Sequence[Contest], page: str) -> None:
    """The page and the flips as files."""
    path = journal.folder / "flips.csv"
    write_flips(path, contests)
    journal.artifact(path)
    if page:
        path = journal.folder / "comparison.html"
        path.write_text(page, encoding="utf-8")
        journal.artifact(path)


def score_rows(contest: Contest) -> list[Row]:
    """A row per score, the one that decides first."""
    return [{"score": name} | _row(contest.found.differences[name]) for name in contest.names()]


def slice_rows(contest: Contest) -> list[Row]:
    """A row per slice: its support, and the difference or the reason why there is none."""
    return [
        {"slice": one.kind, "value": one.value, "statements": one.n_statements, "clusters": one.n_clusters}
        | {"score": one.difference.name if one.difference else ""}
        | (_row(one.difference) if one.difference else dict.fromkeys(_COLUMNS))
        | {"p after Holm": one.adjusted_p if one.difference else None, "remark": one.reason}
        for one in contest.slices
    ]


_COLUMNS = ("A", "B", "B - A", "low", "high", "p", "detectable")


def _row(one: Difference) -> Row:
    around = one.interval
    values = (one.first, one.second, around.value, around.low, around.high, one.p_value, one.detectable)
    return dict(zip(_COLUMNS, values, strict=True))


def _columns(rows: Sequence[Row]) -> dict[str, list[object]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _note(contest: Contest) -> str:
    """The verdict, who was compared, the scores of the whole, and the slices that differ."""
    a, b = contest.baseline, contest.challenger
    who = table(
        ["", "run", "MLflow run", "predictions"],
        [[role, one.name, one.run_id, one.digest[:SHORT]] for role, one in (("A, baseline", a), ("B, challenger", b))],
    )
    whole = [contest.found.differences[name] for name in contest.names() if "." not in name or name == contest.score]
    scores = [[spell(one.name), f"{one.first:.4f}", f"{one.second:.4f}", *_cells(one)] for one in whole]
    lines = [f"**{contest.decision}** {contest.grounds} {contest.about_slices()}", "", *who, ""]
    lines += table(["score", "A", "B", "B − A", "95 % interval", "p"], scores)
    differing = contest.better_slices(b=True) + contest.better_slices(b=False)
    if differing:
        rows = [
            [f"{one.kind}: {one.value}", str(one.n_statements), *_cells(one.difference), spelled_p(one.adjusted_p)]
            for one in differing
            if one.difference
        ]
        lines += ["", *table(["slice", "statements", "B − A", "95 % interval", "p", "p after Holm"], rows)]
    n_a, n_b = len(contest.found.only_first), len(contest.found.only_second)
    lines += ["", f"Only A right: {n_a}, only B right: {n_b}; McNemar p = {spelled_p(contest.found.mcnemar_p)}."]
    return "\n".join(lines)


_VERDICTS = {A_BETTER: "worse", B_BETTER: "better"}


def _overview(contests: Sequence[Contest]) -> str:
    """A line per challenger."""
    rows = [
        [one.challenger.name, *_cells(one.headline), spelled_p(one.adjusted_p), _VERDICTS.get(one.decision, ALIKE)]
        for one in contests
    ]
    score = spell(contests[0].score)
    lines = table(["challenger", f"{score}, minus baseline", "95 % interval", "p", "p after Holm", "verdict"], rows)
    return "\n".join([f"Baseline: {cell(contests[0].baseline.name)}", "", *lines])


def _cells(one: Difference) -> list[str]:
    return [f"{one.interval.value:+.4f}", _ends(one.interval), spelled_p(one.p_value)]


def _ends(around: Interval) -> str:
    return f"{around.low:+.4f} to {around.high:+.4f}"
