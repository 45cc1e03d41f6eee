import pytest

from stancelib.app.sources import Sources
from stancelib.journal import read_events

from .conftest import make_rows, write_jsonl


@pytest.fixture
def own(in_tmp):
    """A folder of options: a family, a corpus, and a primary config that takes both."""
    for group in ("model", "data"):
        (in_tmp / "own" / group).mkdir(parents=True)
    write_jsonl(in_tmp / "mine.jsonl", make_rows(60))
    (in_tmp / "own" / "model" / "pairs.yaml").write_text("# Pairs of words\ndefaults: [tfidf]\nngrams: {char: null}\n")
    (in_tmp / "own" / "data" / "survey.yaml").write_text("defaults: [files]\npath: mine.jsonl\n")
    (in_tmp / "own" / "study.yaml").write_text(
        "defaults:\n  - train\n  - override model: pairs\n  - override data: survey\n  - override split: random\n"
        "  - override tracking: none\n  - _self_\n"
    )
    return in_tmp / "own"


def notes(folder):
    return [event["text"] for event, _ in read_events(folder) if event["event"] == "note"]


def test_every_command_that_reads_a_corpus_takes_options_of_ones_own(cli, own, in_tmp):
    assert (
        cli("check", "-cd", "own", "data=survey", "split=random").out == cli("check", "-cd", "own", "-cn", "study").out
    )
    assert cli("train", "-cd", "own", "-cn", "study", "hydra.run.dir=run").code == 0
    for command in (
        ("evaluate", "run", "-o", "evaluated"),
        ("curve", "-o", "curve", "--draws", "1", "--fractions", "0.5,1"),
        ("review", "run", "-n", "2", "--no-noise", "-o", "queue.csv"),
        ("take-back", "queue.csv", "--reviewer", "ada"),
    ):
        assert cli(*command, "-cd", "own", "-cn", "study").code == 0
    assert "stancelib train -cd own -cn study\n" in notes(in_tmp / "run")[0]
    assert "stancelib evaluate run -cd own -cn study\n" in notes(in_tmp / "evaluated")[0]
    assert "stancelib curve -cd own -cn study --fractions" in notes(in_tmp / "curve")[0]


@pytest.mark.parametrize("command", [["check"], ["train"], ["curve"]])
def test_mistakes_are_explained_with_the_options_of_ones_own(command, cli, own):
    done = cli(*command, "-cd", "own", "model=pair")
    assert done.error.endswith("tfidf, pairs; did you mean 'pairs'?")
    done = cli(*command, "-cd", "own", "-cn", "study", "model.ngram.word=null")
    assert done.error.startswith("there is no key 'model.ngram.word'; did you mean 'model.ngrams.word'?")
    done = cli(*command, "-cd", "own", "-cn", "studi")
    assert done.error == (
        "there is no configuration 'studi' to start from (-cn); there is train, study; did you mean 'study'?"
    )
    done = cli(*command, "-cd", "owm")
    assert done.error == "there is no folder 'owm' to take options from (-cd)."


def test_without_a_folder_the_message_says_how_one_is_named(cli, in_tmp):
    done = cli("check", "-cn", "study")
    assert done.error.endswith("there is train. A folder of your own is named with -cd <folder>.")


def test_help_lists_the_options_of_ones_own(cli, own):
    assert "Pairs of words" in cli("train", "--help", "-cd", "own").out
    assert "Pairs of words" not in cli("train", "--help").out


def test_sources_are_spelled_as_the_command_line_has_them(own, in_tmp, tmp_path):
    assert Sources().arguments == []
    assert Sources(own, "study").arguments == ["-cd", "own", "-cn", "study"]
    (tmp_path / "elsewhere").mkdir()
    assert Sources(tmp_path / "elsewhere").arguments == ["-cd", str(tmp_path / "elsewhere")]
    assert Sources.of(["model=x", "-cd", "own", "-m"]) == Sources(own.relative_to(in_tmp), "train")
