"""Input that people really have: brackets in labels, endless fields, infinities, one file to evaluate on."""

import json

import pytest

from .conftest import make_rows, write_jsonl

QUICK = ("tracking=none", "evaluation.analyses.behaviour=false", "evaluation.analyses.probes=false")


def test_labels_that_look_like_markup_are_shown_as_they_are(cli, in_tmp):
    rows = [
        row | {"label": {"reject": "[/yes]", "propose": "[no]"}[row["label"]]}
        for row in make_rows(40, ("reject", "propose"))
    ]
    write_jsonl(in_tmp / "x.jsonl", rows)
    data = ("data=files", "data.path=x.jsonl")
    assert "[/yes]" in cli("check", *data).out
    done = cli("train", "model=prior", *data, *QUICK)
    assert done.code == 0, done.err
    assert "[/yes]" in done.out


def test_a_single_file_is_what_is_evaluated_on(cli, in_tmp, tfidf_bundle):
    write_jsonl(in_tmp / "x.jsonl", make_rows(24))
    done = cli("evaluate", tfidf_bundle, "data=files", "data.path=x.jsonl", *QUICK)
    assert done.code == 0, done.err
    assert "train" in done.out


def test_a_misspelt_split_is_refused(cli, in_tmp):
    write_jsonl(in_tmp / "x.jsonl", make_rows(24))
    done = cli("check", "data=files", "data.path={train: x.jsonl, tset: x.jsonl}")
    assert (done.code, "did you mean 'test'" in done.error) == (2, True)


def test_a_field_of_a_megabyte_is_read(cli, in_tmp, tfidf_bundle):
    (in_tmp / "x.csv").write_text("text\n" + "we refuse " * 50_000 + "\n")
    assert cli("predict", tfidf_bundle, "x.csv", "-o", "y.csv").code == 0


@pytest.mark.parametrize("name", ["notes.txt", "notes"])
def test_a_file_is_never_taken_for_a_statement(cli, in_tmp, tfidf_bundle, name):
    (in_tmp / name).write_text("text\nno\n")
    done = cli("predict", tfidf_bundle, name, "-o", "y.csv")
    assert done.code == 2
    assert "no known format" in done.error


def test_an_infinite_label_and_a_lone_surrogate_end_in_sentences(cli, in_tmp, tfidf_bundle):
    rows = [json.dumps(row) for row in make_rows(12)]
    (in_tmp / "x.jsonl").write_text("\n".join([*rows, '{"text": "a", "target": "b", "label": Infinity}']))
    assert cli("check", "data=files", "data.path=x.jsonl").code == 2
    (in_tmp / "y.jsonl").write_text('{"text": "no \\ud800 way", "target": "b"}\n')
    assert cli("predict", tfidf_bundle, "y.jsonl", "-o", "z.jsonl").code == 0
    assert json.loads((in_tmp / "z.jsonl").read_text())["label"]


def test_reaping_a_folder_that_is_not_there_is_a_mistake(cli):
    assert cli("reap", "nowhere").code == 2
