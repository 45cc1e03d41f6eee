import time

import numpy as np
import pytest

from stancelib.errors import DataError
from stancelib.evaluation.metrics import scores
from stancelib.evaluation.slices import SliceRule, mention_share, slice_scores, take
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet(("a", "b", "c"))
FEW = {"n_resamples": 200}


def judged(n, *, right=None, seed=0, texts=None, targets=None, gold=None, **columns):
    """Predictions that are right where ``right`` says so, each statement a cluster of its own."""
    random = np.random.default_rng(seed)
    gold = random.integers(3, size=n) if gold is None else np.asarray(gold)
    right = np.ones(n, bool) if right is None else np.asarray(right)
    said = np.where(right, gold, (gold + 1 + random.integers(2, size=n)) % 3)
    columns = {"group": list(range(n))} | columns
    statements = Statements(
        texts or [f"statement {i}" for i in range(n)], targets or [None] * n, LABELS, gold, columns=columns
    )
    return Predictions(statements, LABELS, np.eye(3)[said] * 0.97 + 0.01)


def found(predictions, kind, **options):
    """Slices of a kind by value."""
    return {part.value: part for part in slice_scores(predictions, **FEW | options).slices if part.kind == kind}


def test_a_slice_on_which_the_model_fails_is_found():
    domains = ["trade"] * 100 + ["sports"] * 200
    slices = found(judged(300, right=[False] * 100 + [True] * 200, domain=domains), "domain")
    assert slices["trade"].interval.high == 0.0
    assert slices["sports"].interval.low == pytest.approx(0.025 ** (1 / 200))
    assert [slices[name].n_statements for name in ("trade", "sports")] == [100, 200]


def test_values_equal_the_score_of_the_slice_alone():
    random = np.random.default_rng(0)
    said = judged(300, right=random.random(300) < 0.7, domain=["x", "y", "z"] * 100)
    part = found(said, "domain")["y"]
    assert part.score == "macro_f1"
    assert part.interval.value == pytest.approx(scores(take(said, range(1, 300, 3)))["macro_f1"])


def test_slice_intervals_hold_the_true_score_at_their_level():
    held = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        right = np.repeat(random.random(40) < 0.7, 4)  # a cluster of four stands or falls together
        groups, gold = np.repeat(np.arange(40), 4).tolist(), random.integers(2, size=160)
        said = judged(160, right=right, gold=gold, seed=seed, group=groups, domain=["x"] * 160)
        part = found(said, "domain", columns=["domain"], rule=SliceRule(max_width=1.0), seed=seed)["x"]
        assert part.score == "accuracy"
        held.append(part.interval.low <= 0.7 <= part.interval.high)
    assert 0.89 <= np.mean(held) <= 0.99


def test_a_list_valued_column_puts_a_statement_into_every_slice_it_names():
    phenomena = [["negation", "idiom"], ["negation"], [], None, ["idiom", "idiom"]] * 20
    slices = found(judged(100, phenomena=phenomena), "phenomena")
    assert {name: part.n_statements for name, part in slices.items()} == {"negation": 40, "idiom": 40}


def test_a_small_slice_says_so_instead_of_a_number():
    slices = found(judged(112, domain=["big"] * 100 + ["small"] * 12), "domain")
    assert slices["small"].interval is None
    assert slices["small"].reason == "too small: 12 of the 30 statements needed"
    assert slices["big"].reason == ""


def test_many_statements_of_few_clusters_are_too_few():
    said = judged(200, group=[0, 1, 2, 3] * 25 + list(range(4, 104)), domain=["few"] * 100 + ["many"] * 100)
    slices = found(said, "domain")
    assert slices["few"].interval is None
    assert slices["few"].reason == "too small: 4 of the 10 independent clusters needed"
    assert slices["many"].interval is not None


def test_a_wide_interval_is_no_verdict():
    right = np.random.default_rng(1).random(132) < 0.5
    slices = found(judged(132, right=right, domain=["big"] * 100 + ["small"] * 32), "domain")
    assert slices["small"].interval is None
    assert slices["small"].reason.startswith("too uncertain: an interval 0.3")
    assert slices["small"].reason.endswith("over 0.3")
    relaxed = found(
        judged(132, right=right, domain=["big"] * 100 + ["small"] * 32), "domain", rule=SliceRule(max_width=1)
    )
    assert relaxed["small"].interval is not None


def test_a_kind_with_a_label_missing_is_scored_by_accuracy_throughout():
    gold = [0, 1, 2] * 20 + [0, 1] * 30
    said = judged(
        120, gold=gold, right=[True] * 90 + [False] * 30, domain=["x"] * 60 + ["y"] * 60, register=["r"] * 120
    )
    assert {part.score for part in found(said, "domain").values()} == {"accuracy"}
    assert found(said, "domain")["y"].interval.value == 0.5
    assert found(said, "register")["r"].score == "macro_f1"


def test_a_tiny_slice_without_a_label_leaves_the_others_their_macro_f1():
    said = judged(93, gold=[0, 1, 2] * 30 + [0, 0, 0], domain=["x"] * 90 + ["tiny"] * 3)
    assert found(said, "domain")["x"].score == "macro_f1"


def test_lengths_fall_into_quartiles_of_words():
    texts = [" ".join(["word"] * (1 + i % 40)) for i in range(400)]
    slices = found(judged(400, texts=texts), "length")
    assert list(slices) == ["1–10 words", "11–20 words", "21–30 words", "31–40 words"]
    assert {part.n_statements for part in slices.values()} == {100}


def test_equal_lengths_make_a_single_bin():
    assert list(found(judged(50), "length")) == ["2 words"]


def test_targets_are_told_by_whether_the_text_mentions_them():
    texts = ["the meetings of mayors can wait"] * 40 + ["no mayor comes"] * 40 + ["never"] * 40
    slices = found(judged(120, texts=texts, targets=["a meeting of the mayors"] * 120), "target in text")
    counts = {name: part.n_statements for name, part in slices.items()}
    assert counts == {"not mentioned": 40, "mentioned in part": 40, "mentioned in full": 40}


def test_mention_is_the_share_of_content_words():
    assert mention_share("We reject the wage offer.", "a wage offer of 4 percent") == pytest.approx(2 / 3)
    assert mention_share("of the and", "the offer") == 0
    assert mention_share("anything", "of the") is None


def test_seen_and_unseen_targets_are_told_apart_whatever_their_case():
    targets = ["The  Fence", "the ferry", None] * 40
    said = judged(120, targets=targets, right=[True, False, True] * 40)
    slices = found(said, "target in training", training_targets={"the fence", None})
    assert {name: part.n_statements for name, part in slices.items()} == {"seen": 40, "unseen": 40}
    assert slices["seen"].interval.value > slices["unseen"].interval.value
    assert not found(said, "target in training")


def test_any_column_can_be_named():
    said = judged(100, speaker=["mayor", "union"] * 50, domain=["x"] * 100)
    assert set(found(said, "speaker", columns=["speaker"])) == {"mayor", "union"}
    assert not found(said, "domain", columns=["speaker"])


def test_a_column_of_numbers_falls_into_quartiles_and_years_stay_themselves():
    said = judged(100, age=list(range(100)), year=[2001, 2002] * 50)
    assert list(found(said, "age", columns=["age"])) == ["0–24", "25–49", "50–74", "75–99"]
    assert set(found(said, "year", columns=["year"])) == {"2001", "2002"}


def test_numbers_that_are_missing_are_in_no_slice():
    ages = [float("nan"), None, "", *range(97)]
    slices = found(judged(100, age=ages), "age", columns=["age"])
    assert list(slices) == ["0–24", "25–48", "49–72", "73–96"]
    assert sum(one.n_statements for one in slices.values()) == 97


def test_rare_values_of_a_column_with_many_are_put_together():
    said = judged(160, speaker=[f"s{i}" for i in range(80)] + ["s0"] * 80)
    slices = found(said, "speaker", columns=["speaker"])
    assert len(slices) == 51
    assert slices["30 rarer values"].n_statements == 30


def test_an_unknown_column_is_refused_with_the_nearest_name():
    with pytest.raises(DataError, match=r"no column 'domian'; .* did you mean 'domain'"):
        slice_scores(judged(40, domain=["x"] * 40), columns=["domian"])


def test_the_table_has_a_row_per_slice_and_the_gap_to_all_statements():
    slices = slice_scores(judged(120, right=[True] * 100 + [False] * 20, domain=["x"] * 100 + ["y"] * 20), **FEW)
    table = slices.columns()
    assert {len(column) for column in table.values()} == {len(slices.slices)}
    row = table["value"].index("x")
    assert table["gap"][row] == pytest.approx(table["result"][row] - slices.whole["macro_f1"].value)
    small = table["value"].index("y")
    assert table["result"][small] is table["low"][small] is table["gap"][small] is None
    assert "too small" in table["remark"][small]


@pytest.mark.parametrize("option", [{"min_statements": 0}, {"min_clusters": 0}, {"max_width": 0}, {"max_width": 1.5}])
def test_a_rule_out_of_range_is_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        SliceRule(**option)


@pytest.mark.slow
def test_ten_thousand_predictions_take_a_few_seconds():
    random = np.random.default_rng(0)
    tags = np.array(["negation", "idiom", "hedge", "polite", "long", "question", "reported", "sarcasm"])
    said = judged(
        10_000,
        right=random.random(10_000) < 0.8,
        group=random.integers(2000, size=10_000).tolist(),
        domain=[f"d{i}" for i in random.integers(22, size=10_000)],
        register=[f"r{i}" for i in random.integers(4, size=10_000)],
        phenomena=[tags[random.random(8) < 0.2].tolist() for _ in range(10_000)],
    )
    started = time.process_time()
    assert len(slice_scores(said).slices) >= 35
    assert time.process_time() - started < 15
