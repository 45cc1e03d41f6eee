from collections import Counter
from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stancelib.data import splitting
from stancelib.data.duplicates import near_duplicate_clusters
from stancelib.data.statements import FULL, statements
from stancelib.data.times import seconds
from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.schema import Corpus, Place, Statements

LABELS = LabelSet(("accept", "reject", "propose"))
WORDS = [
    "river",
    "wall",
    "council",
    "road",
    "minister",
    "border",
    "harvest",
    "vote",
    "strike",
    "loan",
    "school",
    "bridge",
]


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """Small corpora with groups, times, repeated targets, and texts of which some repeat others nearly or exactly."""
    n_rows = draw(st.integers(30, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n_groups = draw(st.integers(8, 40))
    texts = [" ".join(rng.choice(WORDS, 12)) for _ in range(n_rows)]
    for row in range(1, n_rows):
        if rng.random() < 0.15:
            texts[row] = texts[rng.integers(row)] + rng.choice(["", " soon"])
    every = Statements(
        texts=texts,
        targets=[f"t{rng.integers(10)}" for _ in range(n_rows)],
        labels=LABELS,
        label_ids=rng.integers(3, size=n_rows),
        ids=[f"r{row}" for row in range(n_rows)],
        columns={
            "group": [f"g{rng.integers(n_groups)}" for _ in range(n_rows)],
            "time": [int(rng.integers(50)) for _ in range(n_rows)],
        },
        places=[Place("d.csv", row + 1) for row in range(n_rows)],
    )
    at = draw(st.integers(1, n_rows - 1))
    return Corpus("mine", LABELS, {"train": every.take(range(at)), "test": every.take(range(at, n_rows))})


PROTOCOLS: dict[str, Callable[..., Corpus]] = {
    "random": splitting.random,
    "by_group": lambda corpus, seed: splitting.by_group(corpus, column="target", seed=seed),
    "leave_out": lambda corpus, seed: splitting.leave_out(corpus, fold=1, n_folds=2, seed=seed),
    "by_time": splitting.by_time,
}
relaxed = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def split(protocol: str, corpus: Corpus, seed: int = 0) -> Corpus:
    try:
        return PROTOCOLS[protocol](corpus, seed=seed)
    except DataError:  # everything is tied together
        assume(False)
        raise


def members(corpus: Corpus) -> dict[str, list[str]]:
    return {name: list(part.ids) for name, part in corpus.splits.items()}


def homes(corpus: Corpus, values: Callable[[Statements], list]) -> dict:
    """The splits in which each value occurs."""
    found: dict = {}
    for name, part in corpus.splits.items():
        for value in values(part):
            found.setdefault(value, set()).add(name)
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
@relaxed
@given(corpus=corpora())
def test_every_statement_is_in_exactly_one_split(protocol: str, corpus: Corpus):
    after = [name for ids in members(split(protocol, corpus)).values() for name in ids]
    before = [name for ids in members(corpus).values() for name in ids]
    assert sorted(after) == sorted(before)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@relaxed
@given(corpus=corpora())
def test_no_group_and_no_near_duplicate_crosses(protocol: str, corpus: Corpus):
    pooled = Statements.concatenate(list(corpus.splits.values()))
    cluster = dict(zip(pooled.ids, near_duplicate_clusters(pooled), strict=True))
    result = split(protocol, corpus)
    assert all(len(at) == 1 for at in homes(result, lambda part: list(part.columns["group"])).values())
    assert all(len(at) == 1 for at in homes(result, lambda part: [cluster[name] for name in part.ids]).values())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@relaxed
@given(corpus=corpora(), seed=st.integers(0, 1000))
def test_one_seed_gives_one_split(protocol: str, corpus: Corpus, seed: int):
    assert members(split(protocol, corpus, seed)) == members(split(protocol, corpus, seed))


@relaxed
@given(corpus=corpora())
def test_a_grouping_column_never_crosses(corpus: Corpus):
    assert all(len(at) == 1 for at in homes(split("by_group", corpus), lambda part: list(part.targets)).values())


@relaxed
@given(corpus=corpora(), target=st.integers(0, 9))
def test_unseen_target_never_appears_in_training(corpus: Corpus, target: int):
    assume(any(f"t{target}" in part.targets for part in corpus.splits.values()))
    try:
        result = splitting.leave_out(corpus, values=f"t{target}", seed=0)
    except DataError:
        assume(False)
        raise
    assert homes(result, lambda part: list(part.targets))[f"t{target}"] == {"test"}


@relaxed
@given(corpus=corpora())
def test_nothing_in_training_is_newer_than_the_oldest_validation_or_test_moment(corpus: Corpus):
    result = split("by_time", corpus)
    pooled = Statements.concatenate(list(corpus.splits.values()))
    cluster = dict(zip(pooled.ids, splitting._units(pooled), strict=True))
    newest: dict[int, int] = {}
    for name, time in zip(pooled.ids, pooled.columns["time"], strict=True):
        newest[cluster[name]] = max(time, newest.get(cluster[name], time))
    moments = {name: [newest[cluster[i]] for i in part.ids] for name, part in result.splits.items()}
    assert max(result.split("train").columns["time"]) < min(moments["validation"])
    assert max(moments["validation"]) < min(moments["test"])


def plain(n_rows: int = 900, **columns: list) -> Corpus:
    texts = [f"statement number {i} about w{i} x{i} y{i}" for i in range(n_rows)]
    gold = np.array([0] * (n_rows // 2) + [1] * (n_rows // 3) + [2] * (n_rows - n_rows // 2 - n_rows // 3))
    every = Statements(texts, ["t"] * n_rows, LABELS, gold, columns=columns)
    return Corpus("plain", LABELS, {"train": every})


def test_labels_keep_their_shares_when_rows_are_single():
    result = splitting.random(plain(), seed=3)
    assert {name: len(part) for name, part in result.splits.items()} == {"train": 630, "validation": 90, "test": 180}
    for part, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        counts = np.bincount(result.split(part).gold, minlength=3)
        assert np.abs(counts - share * np.array([450, 300, 150])).max() <= 1


def test_labels_keep_their_shares_as_far_as_groups_allow():
    result = splitting.random(statements(labels=FULL), seed=5)
    pooled = Counter(label for part in result.splits.values() for label in part.gold.tolist())
    for part, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert abs(len(result.split(part)) / 7416 - share) < 0.01
        for label, n_rows in pooled.items():
            assert abs(np.mean(result.split(part).gold == label) - n_rows / 7416) < 0.02


@pytest.mark.parametrize("protocol", ["random", "by_group", "leave_out"])
def test_another_seed_gives_another_split(protocol: str):
    corpus = statements(tranche="natural")
    drawn = {tuple(members(PROTOCOLS[protocol](corpus, seed=seed))["test"]) for seed in range(3)}
    assert len(drawn) == 3


def test_folds_cover_all_values_and_share_none():
    corpus = statements()
    folds = [
        splitting.leave_out(corpus, column="domain", fold=i, n_folds=4, seed=7).split("test") for i in (1, 2, 3, 4)
    ]
    domains = [set(fold.columns["domain"]) for fold in folds]
    assert sum(map(len, domains)) == len(set.union(*domains)) == 22
    assert sorted(name for fold in folds for name in fold.ids) == sorted(
        name for part in corpus.splits.values() for name in part.ids
    )


def test_the_column_that_holds_groups_is_what_intervals_go_by():
    corpus = plain(60, author=[f"a{i // 3}" for i in range(60)])
    result = splitting.random(corpus, group="author", seed=0)
    for part in result.splits.values():
        assert part.columns["group"] == part.columns["author"]
    assert splitting.given(corpus, group="author", seed=0).split("train").groups[0] == "a0"
    assert "group" not in splitting.random(corpus, seed=0).split("train").columns


def test_spellings_of_a_value_are_one_value():
    targets = ["A Meeting", "a  meeting ", "a MEETING", "a truce", "a tax", "a tax"]
    texts = [f"{word} one two three" for word in WORDS[:6]]
    corpus = Corpus("c", LABELS, {"train": Statements(texts, targets, LABELS, np.arange(6) % 3)})
    left_out = splitting.leave_out(corpus, values="a meeting", validation_fraction=0, seed=0)
    assert left_out.protocol == "leave_out(target=A Meeting)"
    assert left_out.split("test").targets == targets[:3]
    grouped = splitting.by_group(corpus, column="target", validation_fraction=0, test_fraction=0.4, seed=0)
    assert len(homes(grouped, lambda part: [target.casefold()[:6] for target in part.targets])["a meet"]) == 1


def test_protocols_are_named_in_the_corpus():
    corpus = statements()
    assert splitting.leave_out(corpus, column="domain", values="sports", seed=0).protocol == "leave_out(domain=sports)"
    assert splitting.leave_out(corpus, seed=0).protocol == "leave_out(target, fold 1 of 5)"
    assert splitting.by_group(corpus, column="author", seed=0).protocol == "by_group(author)"
    assert splitting.given(corpus, seed=0).protocol == "given"


def test_given_splits_are_left_alone():
    corpus = statements()
    assert splitting.given(corpus, seed=4).digest == corpus.digest


def test_given_carves_a_missing_validation_split_from_train_and_says_so():
    corpus = plain(100, group=[f"g{i // 4}" for i in range(100)])
    result = splitting.given(corpus, validation_fraction=0.2, seed=0)
    assert {name: len(part) for name, part in result.splits.items()} == {"train": 80, "validation": 20}
    assert result.protocol == "given, validation carved from train (0.2)"
    assert all(len(at) == 1 for at in homes(result, lambda part: list(part.columns["group"])).values())
    assert list(splitting.given(corpus, validation_fraction=0, seed=0).splits) == ["train"]


def test_given_needs_a_train_split():
    with pytest.raises(DataError, match=r"needs a split 'train'.*has test"):
        splitting.given(Corpus("c", LABELS, {"test": plain().split("train")}), seed=0)


def test_rows_tied_to_left_out_ones_follow_them_and_are_counted():
    corpus = plain(
        60, group=[f"g{i // 2}" for i in range(60)], domain=["sea" if i in (0, 2) else "land" for i in range(60)]
    )
    result = splitting.leave_out(corpus, column="domain", values=["sea"], seed=0)
    assert len(result.split("test")) == 4
    assert [(f.check, f.n_rows) for f in result.findings] == [("tied-to-left-out", 2)]


def test_a_fraction_of_nothing_makes_no_split():
    assert list(splitting.random(plain(), validation_fraction=0, seed=0).splits) == ["train", "test"]


def test_dates_of_any_iso_form_are_ordered():
    times = ["2024-01-01", "2023-06-01T12:00:00Z", date(2025, 1, 1), "2024-01-01T00:00:01+00:00"]
    part = Statements(["a", "b", "c", "d"], [None] * 4, columns={"time": times})
    assert np.argsort(seconds(part, "time")).tolist() == [1, 0, 3, 2]


def test_too_large_groups_are_reported_as_a_short_split():
    corpus = plain(100, group=["one" if i < 95 else f"g{i}" for i in range(100)])
    result = splitting.random(corpus, seed=0)
    assert {finding.check for finding in result.findings} == {"short-split"}


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (
            lambda c: splitting.random(c, test_fraction=1.2, seed=0),
            ConfigError,
            "test_fraction must be at least 0 and below 1",
        ),
        (lambda c: splitting.random(c, test_fraction=0.95, seed=0), ConfigError, "nothing for train"),
        (lambda c: splitting.random(c, group="gruop", seed=0), ConfigError, "did you mean 'group'"),
        (lambda c: splitting.leave_out(c, column="tagret", seed=0), ConfigError, "did you mean 'target'"),
        (lambda c: splitting.leave_out(c, values="x", seed=0), ConfigError, "no statement has target 'x'; there are t"),
        (lambda c: splitting.leave_out(c, values=[], seed=0), ConfigError, "values is empty"),
        (lambda c: splitting.leave_out(c, fold=6, seed=0), ConfigError, "got 6 of 5"),
        (lambda c: splitting.leave_out(c, seed=0), DataError, "can't make 5 folds: only 1 sets"),
        (lambda c: splitting.leave_out(c, values="t", seed=0), DataError, "leaves no statement for train"),
        (
            lambda c: splitting.by_group(c, column="some", seed=0),
            DataError,
            "needs a some on every statement; 3 of 900 in 'train'",
        ),
        (lambda c: splitting.by_time(c, column="word", seed=0), DataError, "needs numbers or dates"),
        (lambda c: splitting.by_time(c, column="same", seed=0), DataError, "too few moments"),
        (lambda c: splitting.by_time(c, column="both", seed=0), DataError, "has a number, .* a date"),
    ],
)
def test_a_split_that_cannot_be_made_says_why(run, error: type[Exception], message: str):
    corpus = plain(
        group=[str(i) for i in range(900)],
        some=[None] * 3 + ["x"] * 897,
        word=["today"] * 900,
        same=[1] * 900,
        both=[*range(899), "2024-01-01"],
    )
    with pytest.raises(error, match=message):
        run(corpus)


def test_a_missing_target_is_counted_and_placed():
    part = Statements(
        ["a", "b"], ["t", None], LABELS, np.array([0, 1]), places=[Place("d.csv", 30), Place("d.csv", 31)]
    )
    with pytest.raises(DataError, match=r"1 of 2 in 'train' have none \(first: d.csv row 31\)"):
        splitting.leave_out(Corpus("c", LABELS, {"train": part}), seed=0)
