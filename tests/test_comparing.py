"""Contests between models, the command that shows them, and the runs that keep them."""

import csv
import html
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from stancelib.comparing import Contender, compare_models, read_contender, read_contenders, write_flips
from stancelib.comparison_run import record_comparison
from stancelib.errors import ConfigError
from stancelib.journal import read_events
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

from .conftest import LABELS

N = 240


def contender(name, share_right, seed, *, right_on=()):
    """A model that is right on a share of the statements, and on all of some domains."""
    random, gold = np.random.default_rng(seed), np.arange(N) % 3
    domains = [("trade", "sports", "law")[row // 3 % 3] for row in range(N)]
    right = (random.random(N) < share_right) | np.isin(domains, list(right_on))
    said = np.where(right, gold, (gold + 1) % 3)
    columns = {"domain": domains, "group": list(range(N))}
    statements = Statements([f"a b {row}" for row in range(N)], [None] * N, LABELS, gold, columns=columns)
    predictions = Predictions(statements, LABELS, np.eye(3)[said] * 0.94 + 0.02)
    return Contender(source=f"runs/{name}", name=name, predictions=predictions, split="validation")


@pytest.fixture(scope="module")
def contests():
    return compare_models([contender("old", 0.6, 0), contender("new", 0.6, 1, right_on=["law"])])


@pytest.fixture
def files(tmp_path):
    """Two prediction files, the second better on one domain."""
    paths = []
    for one in (contender("old", 0.6, 0), contender("new", 0.6, 1, right_on=["law"])):
        said, paths = one.predictions, [*paths, tmp_path / f"{one.name}.jsonl"]
        with paths[-1].open("w") as file:
            for row in range(N):
                values = {"text": said.statements.texts[row], "gold": LABELS.names[said.statements.gold[row]]}
                values |= {f"p_{label}": said.probabilities[row, at] for at, label in enumerate(LABELS)}
                values |= {name: column[row] for name, column in said.statements.columns.items()}
                file.write(json.dumps(values) + "\n")
    return SimpleNamespace(old=str(paths[0]), new=str(paths[1]))


def events(folder, kind):
    return [event for event, _ in read_events(folder) if event["event"] == kind]


def logged(folder, kind):
    return {name: value for event in events(folder, kind) for name, value in event["values"].items()}


def test_a_slice_that_one_model_wins_is_in_the_verdict(contests):
    (contest,) = contests
    assert (contest.decision, contest.score) == ("B is better", "macro_f1")
    assert [(one.kind, one.value) for one in contest.better_slices(b=True)] == [("domain", "law")]
    assert contest.about_slices() == "Of 3 slices, B is better on 1 and A on 0 after Holm's correction over them."


def test_the_score_that_decides_comes_first_and_is_what_holm_takes():
    first = contender("old", 0.6, 0)
    found = compare_models([first, contender("x", 0.9, 1), contender("y", 0.6, 2)], score="mcc")
    assert [one.names()[0] for one in found] == ["mcc", "mcc"]
    assert [one.slices[0].difference.name for one in found] == ["mcc", "mcc"]
    assert found[0].adjusted_p == pytest.approx(2 * found[0].headline.p_value)
    assert "in MCC at the 5 % level (p = " in found[0].grounds


def test_labels_to_skip_make_f_avg_decide():
    pair = [contender("old", 0.6, 0), contender("new", 0.9, 1)]
    assert compare_models(pair, skip_labels=["reject"])[0].score == "f_avg"
    assert compare_models(pair, skip_labels=["reject"], score="accuracy")[0].score == "accuracy"


def test_of_losses_the_lower_one_wins():
    pair = [contender("old", 0.6, 0), contender("new", 0.9, 1)]
    assert compare_models(pair, score="log_loss")[0].decision == "B is better"
    assert compare_models(pair[::-1], score="log_loss")[0].decision == "A is better"


def test_an_unknown_score_is_refused_with_the_nearest(files, cli):
    done = cli("compare", files.old, files.new, "--score", "acuracy")
    assert done.code == 2
    assert done.error.startswith("there is no score 'acuracy'; there are macro_f1, accuracy, mcc, ")
    assert done.error.endswith("did you mean 'accuracy'?")
    done = cli("compare", files.old, files.new, "--score", "f_avg")
    assert "f_avg needs the labels that its mean leaves out: name them with --skip-label." in done.error


def test_the_command_shows_slices_and_the_score_that_decides(files, cli, tmp_path):
    done = cli("compare", files.old, files.new, "--score", "accuracy", "--html", str(tmp_path / "page.html"))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    table = next(at for at, line in enumerate(lines) if line.startswith("score"))
    assert lines[table + 1].startswith("accuracy ")
    assert "B is better in accuracy at the 5 % level; a difference of" in done.out
    assert next(line for line in lines if line.startswith("  law")).split()[1] == "78"
    for shown in (done.out, (tmp_path / "page.html").read_text()):
        assert "Of 3 slices, B is better on 1 and A on 0" in " ".join(shown.split()).replace("&#x27;", "'")


def test_slices_that_are_too_small_say_so(files, cli, monkeypatch):
    monkeypatch.setattr("stancelib.evaluation.slices.SliceRule.too_few", lambda *_: "too small")
    done = cli("compare", files.old, files.new)
    assert "too small to judge, with their statements: domain: trade (81), sports (81), law (78)" in done.out
    assert "None of 3 slices is large enough to judge." in done.out


@pytest.mark.parametrize("option", ["--flips", "--html"])
def test_a_file_is_written_over_only_when_asked(option, files, cli, tmp_path):
    kept = tmp_path / "kept.csv"
    kept.write_text("mine")
    done = cli("compare", "no such run", files.new, option, str(kept))  # refused before anything is read
    assert (done.code, kept.read_text()) == (2, "mine")
    assert done.error == f"'{kept}' exists already. Name another file, or add --overwrite to replace it."
    assert cli("compare", files.old, files.new, option, str(kept), "--overwrite").code == 0
    assert kept.read_text() != "mine"


def test_a_missing_folder_is_told_before_anything_is_compared(files, cli, tmp_path):
    done = cli("compare", "no such run", files.new, "--html", str(tmp_path / "no" / "page.html"))
    assert (done.code, "there is no folder" in done.error) == (2, True)


def test_a_comparison_is_kept_as_metrics_tables_page_flips_and_note(contests, tmp_path):
    told = record_comparison(contests, folder=tmp_path / "run", page="<p>all", note="made so")
    folder, (contest,) = tmp_path / "run", contests
    assert told == {"folder": str(folder), "url": "", "message": ""}
    metrics, one = logged(folder, "metrics"), contest.headline
    assert metrics["compare/macro_f1_difference"] == one.interval.value
    assert metrics["compare/macro_f1_difference_low"] == one.interval.low
    assert metrics["compare/macro_f1_difference_p"] == one.p_value
    assert (metrics["compare/slices_better"], metrics["compare/slices_worse"]) == (1, 0)
    tags, params = logged(folder, "tags"), logged(folder, "params")
    assert (tags["stage"], tags["baseline.run"], tags["challenger.run"]) == ("compare", "runs/old", "runs/new")
    assert tags["challenger.digest"] == contest.challenger.digest[:12] != tags["baseline.digest"]
    assert (params["compare.baseline"], params["compare.challenger"]) == ("old", "new")
    assert {event["path"] for event in events(folder, "artifact")} == {"comparison.html", "flips.csv"}
    assert len(list(csv.DictReader((folder / "flips.csv").open()))) == len(
        contest.found.only_first + contest.found.only_second
    )
    rows = json.loads((folder / "tables" / "slices.json").read_text())
    assert [row[rows["columns"].index("value")] for row in rows["data"]] == ["trade", "sports", "law"]
    (note,) = events(folder, "note")
    assert note["text"].startswith("made so\n\n**B is better** in macro-F1 at the 5 % level")
    assert "| domain: law | 78 |" in note["text"]


def test_several_challengers_are_runs_below_one_parent(tmp_path):
    models = [contender("old", 0.6, 0), contender("x", 0.9, 1), contender("y", 0.6, 2)]
    record_comparison(compare_models(models), folder=tmp_path / "run", page="<p>all")
    (parent,) = events(tmp_path / "run", "start")
    children = [events(tmp_path / "run" / f"challenger-{number}", "start")[0] for number in (1, 2)]
    assert [one["parent"] for one in children] == [parent["uid"]] * 2
    assert [one["name"] for one in children] == ["compare x with old", "compare y with old"]
    assert parent["name"] == "compare 2 with old"
    assert not [name for name in logged(tmp_path / "run", "metrics") if name.startswith("compare/")]
    (note,) = events(tmp_path / "run", "note")
    assert [line.split(" | ")[-1] for line in note["text"].splitlines()[-2:]] == [
        "better |",
        "no difference beyond chance |",
    ]


def test_a_run_is_known_by_the_name_it_gave_itself(contests, tmp_path):
    from stancelib.journal import Journal
    from stancelib.prediction_tables import prediction_columns

    with Journal(tmp_path / "run", name="tfidf s0") as journal:
        journal.tags({"data": "mine"})
        journal.table("predictions_validation", prediction_columns(contests[0].baseline.predictions))
    known = read_contender(str(tmp_path / "run"))
    assert (known.name, known.data, known.split, known.run_id) == ("tfidf s0", "mine", "validation", "")
    assert known.digest == contests[0].baseline.digest


def test_runs_are_compared_on_the_split_that_all_of_them_scored(tmp_path):
    columns, row = ["text", "gold", "p_a", "p_b"], ["why", "a", 0.7, 0.3]
    for run, splits in {
        "both": ("validation", "test"),
        "one": ("validation",),
        "other": ("validation", "test"),
    }.items():
        (tmp_path / run / "tables").mkdir(parents=True)
        for split in splits:
            table = json.dumps({"columns": columns, "data": [row]})
            (tmp_path / run / "tables" / f"predictions_{split}.json").write_text(table)

    def splits(*runs):
        return [one.split for one in read_contenders([str(tmp_path / run) for run in runs])]

    assert splits("both", "other") == ["test", "test"]
    assert splits("both", "one") == ["validation", "validation"]


def test_one_run_is_nothing_to_compare(cli):
    with pytest.raises(ConfigError):
        compare_models([contender("old", 0.6, 0)])
    done = cli("compare", "old")
    assert (done.code, done.error) == (2, "compare needs at least two runs: the baseline first.")


def test_the_command_records_a_run_below_runs_and_in_the_store_that_it_is_told(files, cli, in_tmp, monkeypatch):
    pytest.importorskip("mlflow")
    from stancelib.tracking import recent_runs

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    uri = f"sqlite:///{in_tmp / 'mine.db'}"
    done = cli("compare", files.old, files.new, "--track", "--uri", uri, "--experiment", "duels")
    assert done.code == 0, done.err
    (folder,) = {path.parent for path in (in_tmp / "runs").rglob("events.jsonl")}
    assert f"run     {folder}" in done.out
    (row,) = recent_runs(uri, "duels")
    assert (row.name, row.status) == (f"compare {files.new} with {files.old}", "FINISHED")
    assert row.metrics["compare/slices_better"] == 1
    assert not (in_tmp / "elsewhere.db").exists()
    (note,) = events(folder, "note")
    assert note["text"].startswith(f"```\nstancelib compare {files.old} {files.new} --score macro_f1\n```")
    assert "sqlite" not in note["text"]


def test_what_could_be_found_is_not_claimed_of_models_that_never_differ_or_of_too_few_statements():
    first = contender("old", 0.6, 0)
    (same,) = compare_models([first, replace(first, name="again")])
    assert same.grounds == "in macro-F1 at the 5 % level; no resample of the statements shows any."
    few = [
        replace(
            one,
            predictions=Predictions(one.predictions.statements.take(rows), LABELS, one.predictions.probabilities[rows]),
        )
        for one, rows in ((contender("a", 0.5, 0), [0, 1, 2]), (contender("b", 0.5, 3), [0, 1, 2]))
    ]
    (found,) = compare_models(few)
    assert found.grounds == "in macro-F1 at the 5 % level; these statements are too few to find any."


def test_the_flips_of_models_with_labels_in_another_order_bear_the_right_names(tmp_path):
    first, second = contender("old", 0.6, 0), contender("new", 0.9, 1)
    turned = LabelSet(tuple(reversed(LABELS.names)))
    said = second.predictions
    statements = replace(said.statements, labels=turned, label_ids=2 - said.statements.gold)
    other = replace(second, predictions=Predictions(statements, turned, said.probabilities[:, ::-1]))
    for name, contests in (("a", compare_models([first, second])), ("b", compare_models([first, other]))):
        write_flips(tmp_path / f"{name}.csv", contests)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_the_page_has_no_line_wider_than_itself_and_follows_the_readers_theme(files, cli, tmp_path):
    assert cli("compare", files.old, files.new, "--html", str(tmp_path / "page.html")).code == 0
    page = (tmp_path / "page.html").read_text()
    assert "color-scheme: light dark" in page
    lines = re.sub(r"<[^>]+>", "", page.partition("<code>")[2]).splitlines()
    assert max(len(html.unescape(line)) for line in lines) <= 110


def test_a_bundle_apart_from_its_run_is_answered_with_the_way_to_predictions(cli, tfidf_bundle, files):
    done = cli("compare", tfidf_bundle, files.new)
    assert (done.code, "is outside its run folder" in done.error) == (2, True)
