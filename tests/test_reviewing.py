import csv
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from stancelib.errors import ConfigError, DataError
from stancelib.evaluation.label_noise import LabelNoise
from stancelib.reviewing import COLUMNS, review_queue, take_back, write_queue
from stancelib.schema import TRAIN, VALIDATION, Corpus, Place, Predictions, Statements

from .conftest import LABELS, make_corpus, make_statements


def judged(statements, *, unsure=()):
    """Predictions of the gold labels, sure of all but some rows."""
    said = np.eye(3)[statements.gold] * 0.9 + 0.1 / 3
    said[list(unsure)] = [0.4, 0.35, 0.25]
    return Predictions(statements, LABELS, said)


def noise_of(said, first):
    """A ranking that begins with these rows."""
    n = len(said.statements)
    quality = np.ones(n)
    quality[list(first)] = np.arange(len(first)) / n
    gold = said.statements.gold
    return LabelNoise(said, np.full(3, 0.5), quality, (gold + 1) % 3, quality < 1)


@pytest.fixture
def exported(tmp_path, corpus):
    """A queue of the training split on disk, its rows, and a way to fill it in."""
    path = tmp_path / "queue.csv"
    write_queue(path, review_queue(judged(corpus.split(TRAIN)), n_each=4, split=TRAIN))

    def fill(*answers, **columns):
        """Set ``corrected_label`` of the first rows, and other columns of the first one."""
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for row, answer in zip(rows, answers, strict=False):
            row["corrected_label"] = answer
        rows[0].update(columns)
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return rows

    return path, fill


def label_of(corpus, name, split=TRAIN):
    statements = corpus.split(split)
    return statements.column("label")[list(statements.ids).index(name)]


def other(label):
    return LABELS.names[(LABELS.id_of(label) + 1) % 3]


def test_the_most_uncertain_statements_come_first():
    queue = review_queue(judged(make_statements(30), unsure=[4, 17]), n_each=2, reasons=["uncertain"])
    assert [row["id"] for row in queue] == ["r4", "r17"]
    assert {row["reason"] for row in queue} == {"uncertain"}


def test_the_most_likely_mislabelled_follow_the_noise_ranking():
    said = judged(make_statements(30))
    queue = review_queue(said, noise=noise_of(said, [9, 3]), n_each=2, reasons=["mislabelled"])
    assert [row["id"] for row in queue] == ["r9", "r3"]


def test_the_most_different_statements_cover_every_topic():
    """Four topics of very different sizes: taking the farthest each time meets all of them at once."""
    sizes = {"fish": 40, "rail": 12, "tax": 5, "moon": 3}
    texts = [f"{topic} {topic} {topic} number{i}" for topic, n in sizes.items() for i in range(n)]
    said = Predictions(Statements(texts, [None] * 60), LABELS, np.full((60, 3), 1 / 3))
    queue = review_queue(said, n_each=4, reasons=["different"])
    assert {row["text"].split()[0] for row in queue} == set(sizes)
    assert queue[0]["text"].startswith("fish")


def test_statements_that_are_all_alike_are_each_queued_once():
    said = Predictions(Statements(["the very same words"] * 5, [None] * 5), LABELS, np.full((5, 3), 1 / 3))
    assert {row["id"] for row in review_queue(said, n_each=9, reasons=["different"])} == {"1", "2", "3", "4", "5"}


def test_reasons_take_turns_and_a_statement_with_two_takes_one_row():
    said = judged(make_statements(30), unsure=[4, 17])
    queue = review_queue(said, noise=noise_of(said, [4, 9]), n_each=2)
    assert queue[0]["id"] == "r4"
    assert queue[0]["reason"].startswith("uncertain; mislabelled")
    assert len({row["id"] for row in queue}) == len(queue)
    counts = Counter(reason for row in queue for reason in row["reason"].split("; "))
    assert counts == {"uncertain": 2, "mislabelled": 2, "different": 2}
    assert queue[-1]["reason"] != queue[-2]["reason"]


def test_a_row_tells_what_was_predicted_and_where_the_statement_was_read():
    statements = make_statements(6)
    statements = replace(statements, places=[Place("talks.csv", i + 3) for i in range(6)])
    (row,) = review_queue(judged(statements, unsure=[2]), n_each=1, reasons=["uncertain"], split=VALIDATION)
    assert tuple(row) == COLUMNS
    assert (row["file"], row["row"], row["split"]) == ("talks.csv", 5, VALIDATION)
    assert (row["label"], row["predicted"], row["confidence"]) == ("propose", "conditional-accept", "0.4000")
    assert row["corrected_label"] == row["comment"] == ""


def test_unlabelled_statements_can_be_queued():
    statements = replace(make_statements(9), labels=None, label_ids=None)
    queue = review_queue(Predictions(statements, LABELS, np.full((9, 3), 1 / 3)), n_each=3)
    assert {row["label"] for row in queue} == {""}
    assert {reason for row in queue for reason in row["reason"].split("; ")} == {"uncertain", "different"}


def test_asking_for_mislabelled_without_a_ranking_is_refused():
    with pytest.raises(ConfigError, match="'mislabelled' needs the ranking"):
        review_queue(judged(make_statements(9)), reasons=["mislabelled"])


def test_an_unknown_reason_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"got 'uncertian'; did you mean 'uncertain'\?"):
        review_queue(judged(make_statements(9)), reasons=["uncertian"])


def test_a_ranking_of_other_statements_is_refused():
    ranking = noise_of(judged(make_statements(9, start=50)), [1])
    with pytest.raises(DataError, match="about different statements"):
        review_queue(judged(make_statements(9)), noise=ranking)


def test_an_empty_queue_is_not_written(tmp_path):
    with pytest.raises(DataError, match="queue is empty"):
        write_queue(tmp_path / "queue.csv", [])
    assert not list(tmp_path.iterdir())


def test_corrections_come_back_with_a_record_of_each(corpus, exported):
    path, fill = exported
    before = fill()[0]
    new = other(before["label"])
    fill(f" {new} ", comment="clearly so")
    review = take_back(corpus, path, reviewer="ada", time="2026-01-02T03:04:05+00:00")
    assert label_of(review.corpus, before["id"]) == new != label_of(corpus, before["id"])
    assert review.n_corrected == 1
    (change,) = review.changes
    assert (change.id, change.split, change.old, change.new) == (before["id"], TRAIN, before["label"], new)
    assert (change.reviewer, change.time, change.comment) == ("ada", "2026-01-02T03:04:05+00:00", "clearly so")
    assert (change.file, change.row, len(change.file_digest)) == ("queue.csv", 1, 64)
    assert change.reason == before["reason"]
    assert review.columns()["new"] == [new]
    assert review.corpus.digest != corpus.digest
    assert review.corpus.source.startswith("+ review queue.csv (")


def test_rows_without_an_answer_leave_the_corpus_as_it_is(corpus, exported):
    path, _ = exported
    review = take_back(corpus, path, reviewer="ada")
    assert review.changes == ()
    assert review.corpus is corpus


def test_the_same_label_confirms_and_changes_nothing(corpus, exported):
    path, fill = exported
    fill(fill()[0]["label"])
    review = take_back(corpus, path, reviewer="ada")
    assert [change.old == change.new for change in review.changes] == [True]
    assert review.n_corrected == 0
    assert review.corpus is corpus


def test_taking_a_file_back_twice_changes_nothing_more(corpus, exported):
    path, fill = exported
    fill(other(fill()[0]["label"]))
    first = take_back(corpus, path, reviewer="ada")
    second = take_back(first.corpus, path, reviewer="ada")
    assert second.corpus is first.corpus
    assert second.changes == ()


def test_the_time_is_now_where_none_is_given(corpus, exported):
    path, fill = exported
    fill(fill()[0]["label"])
    assert take_back(corpus, path, reviewer="ada").changes[0].time.endswith("+00:00")


def test_an_unknown_label_is_refused_with_file_row_and_the_nearest_name(corpus, exported):
    path, fill = exported
    fill("", "rejct")
    with pytest.raises(DataError, match=r"queue.csv row 2: the corrected_label is 'rejct'.*did you mean 'reject'\?"):
        take_back(corpus, path, reviewer="ada")


def test_an_unknown_id_is_refused(corpus, exported):
    path, fill = exported
    fill("reject", id="r9999")
    with pytest.raises(DataError, match=r"queue.csv row 1: corpus 'small' has no statement 'r9999'"):
        take_back(corpus, path, reviewer="ada")


def test_an_edited_text_is_refused(corpus, exported):
    path, fill = exported
    fill("reject", text="something else")
    with pytest.raises(DataError, match=r"row 1: the text or target of '.*' was edited"):
        take_back(corpus, path, reviewer="ada")


def test_white_space_that_a_spreadsheet_changed_is_no_edit(corpus, exported):
    path, fill = exported
    row = fill()[0]
    fill(row["label"], text=row["text"].replace(" ", " \r\n ", 1) + " ")
    assert len(take_back(corpus, path, reviewer="ada").changes) == 1


def test_a_statement_that_changed_since_the_export_is_refused(corpus, exported):
    path, fill = exported
    row = fill("reject")[0]
    train = corpus.split(TRAIN)
    texts = [text + "!" if name == row["id"] else text for name, text in zip(train.ids, train.texts, strict=True)]
    changed = replace(corpus, splits={**corpus.splits, TRAIN: replace(train, texts=texts)})
    with pytest.raises(DataError, match="another text or target in the corpus than when it was exported"):
        take_back(changed, path, reviewer="ada")


def test_a_label_that_changed_since_the_export_is_refused(corpus, exported):
    path, fill = exported
    row = fill()[0]
    fill(other(row["label"]))
    train = corpus.split(TRAIN)
    ids = train.gold.copy()
    ids[list(train.ids).index(row["id"])] = LABELS.id_of(other(other(row["label"])))
    changed = replace(corpus, splits={**corpus.splits, TRAIN: replace(train, label_ids=ids)})
    with pytest.raises(DataError, match=r"was exported with the label '.*', and is '.*' now; export it anew"):
        take_back(changed, path, reviewer="ada")


def test_two_answers_about_one_statement_are_refused_unless_they_agree(corpus, exported):
    path, fill = exported
    rows = fill()
    label = rows[1]["label"]
    same = {name: rows[1][name] for name in ("id", "text", "target", "label", "text_hash")}
    fill(label, label, **same)
    assert len(take_back(corpus, path, reviewer="ada").changes) == 1
    fill(other(label), label)
    with pytest.raises(DataError, match=f"row 2: statement '.*' becomes '{label}', but '{other(label)}' in row 1"):
        take_back(corpus, path, reviewer="ada")


def test_further_problems_are_counted_and_nothing_is_changed(corpus, exported):
    path, fill = exported
    fill("rejct", "no", "reject", "yes")
    before = corpus.digest
    with pytest.raises(DataError, match=r"row 1: .* 2 more rows have such problems"):
        take_back(corpus, path, reviewer="ada")
    assert corpus.digest == before


def test_an_id_in_two_splits_is_found_by_its_split(exported):
    path, fill = exported
    corpus = make_corpus()
    twice = Corpus("twice", LABELS, {VALIDATION: corpus.split(TRAIN), TRAIN: corpus.split(TRAIN)})
    row = fill()[0]
    new = other(row["label"])
    fill(new)
    review = take_back(twice, path, reviewer="ada")
    assert label_of(review.corpus, row["id"]) == new
    assert label_of(review.corpus, row["id"], VALIDATION) == row["label"]
    fill(new, split="")
    with pytest.raises(DataError, match="belongs to 2 statements of corpus 'twice'; fill in the column 'split'"):
        take_back(twice, path, reviewer="ada")


def test_a_missing_column_is_named(corpus, tmp_path):
    path = tmp_path / "queue.csv"
    path.write_text("id,text\nr1,hello\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no column 'target'; it has id, text"):
        take_back(corpus, path, reviewer="ada")


def test_a_queue_that_a_spreadsheet_saved_with_semicolons_comes_back(corpus, exported):
    path, _ = exported
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(rows)
    assert take_back(corpus, path, reviewer="ada").corpus.digest == corpus.digest


def test_someone_must_answer_for_the_labels(corpus, exported):
    with pytest.raises(ConfigError, match="reviewer is empty"):
        take_back(corpus, exported[0], reviewer=" ")


@pytest.mark.parametrize(
    "text", ["=1+1 is no answer", "- no, never", "@mayor, yes", "+1", "'=quoted", "'plain", "''-x"]
)
def test_no_text_becomes_a_formula_and_all_come_back_as_they_were(tmp_path, text):
    statements = replace(make_statements(3), texts=[text, "b", "c"], targets=[text, "x", "y"])
    corpus, path = Corpus("odd", LABELS, {TRAIN: statements}), tmp_path / "queue.csv"
    queue = review_queue(judged(statements), n_each=3)
    for row in queue:
        row["corrected_label"] = row["label"]
    write_queue(path, queue)
    with path.open(encoding="utf-8", newline="") as stream:
        assert not [row for row in csv.DictReader(stream) if row["text"][0] in "=+-@" or row["target"][0] in "=+-@"]
    assert len(take_back(corpus, path, reviewer="ada").changes) == 3
