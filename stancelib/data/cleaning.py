"""What is wrong with a corpus before anything is learned from it.

Faults of single rows are found while records become a corpus (``Corpus.findings``); the checks here look across rows.
Nothing is repaired silently: a finding names the first place, counts the rows and says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stancelib.data.duplicates import Key, keys_of, near_duplicate_clusters
from stancelib.data.parts import Tally
from stancelib.errors import DataError
from stancelib.schema import SPLITS, TRAIN, Corpus, Finding, Statements

MIN_TRAINING_ROWS = 2


def check_corpus(corpus: Corpus, *, needs_target: bool = False) -> list[Finding]:
    """All findings about a corpus: those from reading it, then those across rows and splits.

    Args:
        corpus: The corpus in the splits that will be used.
        needs_target: Whether the model needs a target on every statement, which makes a missing one an error.

    Returns:
        Errors first, then warnings.
    """
    findings = [
        *corpus.findings,
        *_empty_splits(corpus),
        *_missing_targets(corpus, needs_target),
        *_rare_labels(corpus),
        *_conflicts(corpus),
        *_repeats(corpus),
        *_divided_groups(corpus),
    ]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def raise_errors(findings: Sequence[Finding]) -> None:
    """Stop if any finding is an error.

    Raises:
        DataError: With the sentences of all errors, one a line.
    """
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise DataError("\n".join(errors))


def _empty_splits(corpus: Corpus) -> list[Finding]:
    return [
        Finding("error", "empty-split", f"split '{name}' of corpus '{corpus.name}' has no statements.", 0)
        for name, statements in corpus.splits.items()
        if not len(statements)
    ]


def _missing_targets(corpus: Corpus, needs_target: bool) -> list[Finding]:
    tally = Tally()
    for statements in corpus.splits.values():
        for row, target in enumerate(statements.targets):
            if target is None:
                tally.add(statements.place(row))
    if needs_target:
        return tally.error(
            "missing-target",
            "with no target {first}, and the model judges statements towards one: add it, or set "
            "model.use_target=false.",
        )
    if tally.n_rows == sum(map(len, corpus.splits.values())):
        return []
    return tally.warning("missing-target", "with no target {first}, while others have one.")


def _rare_labels(corpus: Corpus) -> list[Finding]:
    """Labels that can't be learned; a corpus without train is only scored on."""
    train = corpus.splits.get(TRAIN)
    if train is None or not len(train):
        return []
    findings = []
    for label, n_rows in label_counts(train).items():
        if n_rows < MIN_TRAINING_ROWS:
            rows = "1 row" if n_rows == 1 else f"{n_rows} rows"
            message = (
                f"label {label!r} has {rows} in 'train', and at least {MIN_TRAINING_ROWS} are needed: "
                "add some, leave it out of labels, or map it with label_map."
            )
            findings.append(Finding("error", "rare-label", message, n_rows))
    return findings


def _divided_groups(corpus: Corpus) -> list[Finding]:
    tally = Tally()
    first_split: dict[str, str] = {}
    for name, statements in corpus.splits.items():
        for row, group in enumerate(statements.groups):
            if group is not None and first_split.setdefault(group, name) != name:
                tally.add(statements.place(row))
    return tally.warning(
        "divided-group",
        "of a group that an earlier split has too {first}: scores there may tell what the model remembers. Other "
        "protocols, such as split=random, keep groups together.",
    )


def label_counts(statements: Statements) -> dict[str, int]:
    """Rows by label, in the order of the label set, with labels that have none."""
    import numpy as np

    assert statements.labels is not None
    counts = np.bincount(statements.gold, minlength=len(statements.labels))
    return dict(zip(statements.labels, counts.tolist(), strict=True))


def conflicts(corpus: Corpus) -> dict[Key, list[tuple[str, int]]]:
    """Duplicates that bear different labels: split and row of each, by what they have in common."""
    rows: dict[Key, list[tuple[str, int]]] = {}
    labels: dict[Key, set[int]] = {}
    for name, statements in corpus.splits.items():
        for row, (key, label) in enumerate(zip(keys_of(statements), statements.gold.tolist(), strict=True)):
            rows.setdefault(key, []).append((name, row))
            labels.setdefault(key, set()).add(label)
    return {key: rows[key] for key, found in labels.items() if len(found) > 1}


def _conflicts(corpus: Corpus) -> list[Finding]:
    tally = Tally()
    example = ""
    for rows in conflicts(corpus).values():
        for name, row in rows:
            tally.add(corpus.splits[name].place(row))
        if not example:
            example = " and ".join(
                f"{corpus.labels.names[corpus.splits[name].gold[row]]!r} in {corpus.splits[name].place(row)}"
                for name, row in _two_labels(corpus, rows)
            )
    return tally.warning(
        "conflicting-duplicates",
        f"have the same text and target under different labels, such as {example}: decide on one.",
    )


def _two_labels(corpus: Corpus, rows: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    first = rows[0]
    label = corpus.splits[first[0]].gold[first[1]]
    return [first, next((name, row) for name, row in rows if corpus.splits[name].gold[row] != label)]


def _repeats(corpus: Corpus) -> list[Finding]:
    findings = []
    crossing = cross_split_duplicates(corpus)
    for check, verb in (("exact", "repeat"), ("near", "nearly repeat")):
        tally = Tally()
        for name, row, _, _ in crossing[check]:
            tally.add(corpus.splits[name].place(row))
        if crossing[check]:
            name, row, other, other_row = crossing[check][0]
            one, two = corpus.splits[name].place(row), corpus.splits[other].place(other_row)
            findings += tally.warning(
                f"{check}-duplicates-across-splits",
                f"{verb} a text and target of an earlier split, such as {one} in '{name}' and {two} in '{other}', "
                "which flatters the scores: remove them, or choose split=random.",
            )
    return findings


Crossing = tuple[str, int, str, int]


def cross_split_duplicates(corpus: Corpus) -> Mapping[str, list[Crossing]]:
    """Statements that repeat one of an earlier split.

    Returns:
        Under ``exact`` and ``near``: split and row of the statement, then split and row of the one it repeats.
    """
    names = sorted(corpus.splits, key=lambda name: SPLITS.index(name) if name in SPLITS else len(SPLITS))
    pooled = Statements.concatenate([corpus.splits[name] for name in names])
    places = [(name, row) for name in names for row in range(len(corpus.splits[name]))]
    keys, clusters = keys_of(pooled), near_duplicate_clusters(pooled)
    first_key: dict[Key, int] = {}
    first_cluster: dict[int, int] = {}
    found: dict[str, list[Crossing]] = {"exact": [], "near": []}
    for i, (place, key, cluster) in enumerate(zip(places, keys, clusters, strict=True)):
        same = places[first_key.setdefault(key, i)]
        like = places[first_cluster.setdefault(cluster, i)]
        if same[0] != place[0]:
            found["exact"].append((*place, *same))
        elif like[0] != place[0]:
            found["near"].append((*place, *like))
    return found
