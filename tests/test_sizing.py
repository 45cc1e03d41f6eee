"""The learning curve as a run, and the command that makes one."""

import csv

import pytest

from stancelib.errors import ConfigError, DataError
from stancelib.evaluation.metrics import Evaluation
from stancelib.journal import read_events
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.recording import Identity
from stancelib.schema import Corpus
from stancelib.sizing import run_learning_curve

from .conftest import make_corpus, make_rows, write_jsonl

QUICK = Evaluation(n_resamples=20)
MINE = ("data=files", "data.path=mine.jsonl", "split=random", "model=prior", "tracking=none")


def events(folder, kind):
    return [event for event, _ in read_events(folder) if event["event"] == kind]


class Watched(Prior):
    """Remembers what every copy of it was fitted on and asked."""

    fitted, asked = [], []

    def fit(self, train, validation=None, **options):
        assert not hasattr(self, "labels_"), "fitted before"
        self.fitted.append(len(train))
        return super().fit(train, validation, **options)

    def predict_proba(self, statements):
        self.asked.append(statements.ids)
        return super().predict_proba(statements)


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(Watched, "fitted", [])
    monkeypatch.setattr(Watched, "asked", [])
    return Watched(smoothing=0.0)


def test_each_size_is_a_step_of_the_headline_with_its_interval(tmp_path):
    result = run_learning_curve(
        corpus=make_corpus(), model=Tfidf(), folder=tmp_path / "run", fractions=[0.5, 1.0], evaluation=QUICK
    )
    points = [event for event in events(result.folder, "metrics") if "curve/macro_f1" in event["values"]]
    assert [event["step"] for event in points] == [30, 60]
    for event, point in zip(points, result.curve.points, strict=True):
        around = point.interval
        expected = {"": around.value, "_low": around.low, "_high": around.high, "_sd": point.sd}
        assert event["values"] == {f"curve/macro_f1{end}": value for end, value in expected.items()}
    (tags, *_) = [event["values"] for event in events(result.folder, "tags") if "stage" in event["values"]]
    assert (tags["stage"], tags["model"]) == ("curve", "tfidf")


def test_the_curve_is_kept_as_csv_picture_table_and_note(tmp_path):
    identity = Identity(note="made so")
    result = run_learning_curve(
        corpus=make_corpus(), model=Prior(), folder=tmp_path / "run", fractions=[0.5, 1.0], identity=identity
    )
    rows = list(csv.DictReader((result.folder / "learning_curve.csv").open()))
    assert [(row["fraction"], row["draws"]) for row in rows] == [("0.5", "3"), ("1.0", "1")]
    assert {event["path"] for event in events(result.folder, "artifact")} >= {
        "learning_curve.csv",
        "figures/learning_curve.png",
    }
    assert (result.folder / "figures" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (result.folder / "tables" / "learning_curve.json").is_file()
    (note,) = events(result.folder, "note")
    assert note["text"].startswith("made so\n| fraction | statements |")


def test_every_fit_gets_a_fresh_model_and_only_validation_is_scored(watched, tmp_path):
    corpus = make_corpus()
    run_learning_curve(
        corpus=corpus, model=watched, folder=tmp_path / "run", fractions=[0.5, 1.0], n_draws=2, evaluation=QUICK
    )
    assert watched.fitted == [30, 30, 60]
    assert not hasattr(watched, "labels_")
    assert {tuple(ids) for ids in watched.asked} == {tuple(corpus.split("validation").ids)}


def test_progress_runs_over_all_fits(tmp_path):
    seen = []
    run_learning_curve(
        corpus=make_corpus(),
        model=Prior(),
        folder=tmp_path / "run",
        fractions=[0.5, 1.0],
        evaluation=QUICK,
        report=seen.append,
    )
    assert [(one.step, one.n_steps) for one in seen] == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_points_before_a_failure_stay_on_record(tmp_path):
    class Tired(Prior):
        def fit(self, train, validation=None, **options):
            if len(train) == 60:
                raise RuntimeError("too much")
            return super().fit(train, validation, **options)

    with pytest.raises(RuntimeError):
        run_learning_curve(
            corpus=make_corpus(), model=Tired(), folder=tmp_path / "run", fractions=[0.5, 1.0], evaluation=QUICK
        )
    assert [event["step"] for event in events(tmp_path / "run", "metrics") if "curve/macro_f1" in event["values"]] == [
        30
    ]
    assert [event["status"] for event in events(tmp_path / "run", "end")] == ["FAILED"]


def test_a_corpus_without_a_validation_split_has_no_curve(tmp_path):
    whole = make_corpus()
    corpus = Corpus("x", whole.labels, {"train": whole.split("train")})
    with pytest.raises(DataError, match="has no split 'validation'"):
        run_learning_curve(corpus=corpus, model=Prior(), folder=tmp_path / "run", evaluation=QUICK)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"fractions": []}, "fractions is empty"),
        ({"fractions": [1.5]}, "fractions must be above 0 and at most 1, got 1.5"),
        ({"n_draws": 0}, "seeds must be one or more"),
        ({"evaluation": Evaluation(n_resamples=0)}, "n_resamples must be at least 2 .* got 0"),
    ],
)
def test_what_makes_no_curve_is_refused_before_a_run_begins(option, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run_learning_curve(corpus=make_corpus(), model=Prior(), folder=tmp_path / "run", **option)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def mine(in_tmp):
    pytest.importorskip("hydra")
    return write_jsonl(in_tmp / "mine.jsonl", make_rows(90))


def test_the_command_shows_every_size_and_where_the_run_is(cli, mine, in_tmp):
    answer = cli("curve", *MINE, "--fractions", "0.5,1", "--draws", "2", "-o", "out")
    assert answer.code == 0, answer.err
    shown = [line.split() for line in answer.out.splitlines() if "%" in line]
    assert [line[:3] for line in shown] == [["50%", "31", "2"], ["100%", "63", "1"]]
    assert f"run     {in_tmp / 'out'}" in answer.out
    (note,) = events(in_tmp / "out", "note")
    assert f"stancelib curve {' '.join(MINE)} --fractions 0.5,1 --draws 2" in note["text"]
    (start,) = events(in_tmp / "out", "start")
    assert start["name"] == "curve prior files mine.jsonl random s0"


def test_a_curve_is_never_taken_for_a_training_to_go_on_with(cli, mine, in_tmp):
    assert cli("curve", *MINE, "--fractions", "1").code == 0
    answer = cli("train", *MINE, "resume=true", "hydra.run.dir=trained")
    assert answer.code == 0, answer.err
    assert (in_tmp / "trained" / "model").is_dir()


def test_an_override_without_effect_is_told_of(cli, mine, caplog):
    with caplog.at_level("WARNING", logger="stancelib"):
        answer = cli("curve", *MINE, "seeds=3", "hydra.run.dir=x", "--fractions", "1")
    told = " ".join((answer.err + caplog.text).split())
    assert "seeds has no effect on a learning curve: set --draws" in told
    assert "hydra.run.dir has no effect on a learning curve" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fractions", "0.5,x"], "--fractions must be numbers with commas between them, such as 0.1,0.5,1, got 'x'."),
        (["--fractions", "0.5,2"], "fractions must be above 0 and at most 1, got 2.0."),
        (["--fractions", "nan"], "fractions must be above 0 and at most 1, got nan."),
        (["evaluation.n_resamples=0"], "n_resamples must be at least 2 for the intervals of a learning curve, got 0."),
        (["modle=x"], "there is no key 'modle'; did you mean 'model'? `stancelib train --cfg job` prints them all."),
        (["data.path=nowhere.jsonl"], "there is no file 'nowhere.jsonl'; did you mean 'mine.jsonl'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(arguments, message, cli, mine, in_tmp):
    answer = cli("curve", *MINE, *arguments)
    assert (answer.code, answer.error, answer.out) == (2, message, "")
    assert [path.name for path in in_tmp.iterdir()] == ["mine.jsonl"]


def test_help_has_an_example(cli):
    assert "Example: stancelib curve model=tfidf" in " ".join(cli("curve", "--help").out.split())
