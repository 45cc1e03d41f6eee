import pytest

from stancelib.data.mixture import mixture
from stancelib.errors import ConfigError, DataError
from stancelib.experiment import run_experiment
from stancelib.labels import LabelSet
from stancelib.models.prior import Prior
from stancelib.schema import Corpus, Statements

from ..conftest import make_corpus

ANSWERS = LabelSet(("Yes", "No"))


def answers(texts=("sure", "not now", "maybe")):
    train = Statements(
        list(texts), ["a walk?"] * len(texts), ANSWERS, ANSWERS.encode(["Yes", "No", "Yes"][: len(texts)])
    )
    return Corpus("answers", ANSWERS, {"train": train, "test": train})


def test_other_corpora_keep_their_labels_and_bring_their_training_rows_alone():
    main = make_corpus()
    mixed = mixture(main=main, others={"answers": answers()}, weights={"answers": 0.5})
    assert mixed.splits == main.splits
    assert mixed.name == "small+answers"
    (task,) = mixed.auxiliary
    assert (task.name, task.weight, list(task.statements.labels)) == ("answers", 0.5, ["Yes", "No"])
    assert task.statements.texts == ["sure", "not now", "maybe"]


def test_a_statement_held_out_in_the_main_corpus_is_not_learned_beside_it():
    main = make_corpus()
    held_out = main.split("validation")
    other = Statements([held_out.texts[0], "new"], [held_out.targets[0], "x"], ANSWERS, ANSWERS.encode(["Yes", "No"]))
    mixed = mixture(main=main, others={"other": Corpus("other", ANSWERS, {"train": other})})
    assert mixed.auxiliary[0].statements.texts == ["new"]


def test_the_digest_tells_mixtures_apart():
    main = make_corpus()
    digests = {main.digest, *(mixture(main=main, others={"a": answers(texts)}).digest for texts in (("x",), ("y",)))}
    assert len(digests) == 3


def test_a_family_that_learns_one_corpus_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"model 'prior' learns one corpus at a time.*small\+answers.*cross_encoder"):
        run_experiment(
            corpus=mixture(main=make_corpus(), others={"answers": answers()}), model=Prior(), folder=tmp_path / "r"
        )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"answer": 1.0}, "weights names 'answer'.*did you mean 'answers'"),
        ({"answers": 0.0}, "weights.answers must be above 0"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        mixture(main=make_corpus(), others={"answers": answers()}, weights=weights)


def test_a_corpus_without_training_rows_teaches_nothing():
    with pytest.raises(DataError, match="corpus 'answers' has no training split; it has test"):
        mixture(main=make_corpus(), others={"answers": Corpus("answers", ANSWERS, {"test": answers().split("test")})})
