import pytest

from stancelib.data.mixture import mixture, without_held_out
from stancelib.data.splitting import random
from stancelib.errors import ConfigError, DataError
from stancelib.experiment import run_experiment
from stancelib.labels import LabelSet
from stancelib.models.base import learn_auxiliary
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.prior import Prior
from stancelib.schema import Corpus, Statements
from stancelib.sizing import run_learning_curve

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


def mixed_with(main, *texts):
    """The main corpus, and beside it these texts about the target of its first validation statement."""
    target = main.split("validation").targets[0]
    other = Statements(list(texts), [target] * len(texts), ANSWERS, ANSWERS.encode(["Yes"] * len(texts)))
    return mixture(main=main, others={"other": Corpus("other", ANSWERS, {"train": other})})


def test_a_statement_held_out_in_the_main_corpus_is_not_learned_beside_it():
    main = make_corpus()
    text = main.split("validation").texts[0]
    cleared = without_held_out(mixed_with(main, text, f"{text.upper()}!", "quite another one"))
    assert cleared.auxiliary[0].statements.texts == ["quite another one"]
    assert "2 of 3 statements of 'other' repeat" in cleared.findings[-1].message


def test_a_near_duplicate_of_a_held_out_statement_is_not_learned_either():
    words = " ".join(f"word{i}" for i in range(20))
    main = make_corpus()
    validation = main.split("validation")
    validation.texts[0] = words
    cleared = without_held_out(mixed_with(main, words.replace("word7", "other"), "quite another one"))
    assert cleared.auxiliary[0].statements.texts == ["quite another one"]


def test_a_task_all_of_whose_statements_are_held_out_is_left_out_whole():
    main = make_corpus()
    assert without_held_out(mixed_with(main, main.split("validation").texts[0])).auxiliary == ()


@pytest.mark.parametrize("run", [run_experiment, run_learning_curve])
def test_what_is_held_out_is_settled_after_the_split(run, tmp_path):
    class Learner(Prior):
        def learn_beside(self, auxiliary):
            learned.extend(text for task in auxiliary for text in task.statements.texts)

    learned, main = [], make_corpus()
    train = main.split("train")
    other = Statements(train.texts, train.targets, ANSWERS, ANSWERS.encode(["Yes", "No"] * len(train))[: len(train)])
    corpus = mixture(main=main, others={"other": Corpus("other", ANSWERS, {"train": other})})
    rearranged = []

    def split(corpus):
        rearranged.append(random(corpus, seed=1, validation_fraction=0.2))
        return rearranged[0]

    run(corpus=corpus, model=Learner(), folder=tmp_path / "r", split=split)
    held_out = {text for name in ("validation", "test") for text in rearranged[0].split(name).texts}
    assert learned
    assert held_out & set(train.texts)
    assert not held_out & set(learned)


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


def test_others_may_have_more_labels_than_the_main_corpus():
    many = LabelSet(tuple("abcde"))
    train = Statements(list("vwxyz"), ["t"] * 5, many, many.encode(list("abcde")))
    mixed = mixture(main=make_corpus(), others={"many": Corpus("many", many, {"train": train})})
    assert len(without_held_out(mixed).auxiliary[0].statements) == 5


def test_labels_that_another_corpus_has_in_no_training_row_are_left_out_of_its_head():
    labels = LabelSet(("x", "y", "z"))
    train = Statements(list("vw"), ["t"] * 2, labels, labels.encode(["z", "x"]))
    other = Corpus("other", labels, {"train": train, "test": Statements(["q"], ["t"], labels, labels.encode(["y"]))})
    (task,) = mixture(main=make_corpus(), others={"other": other}).auxiliary
    assert (task.statements.labels.names, task.statements.column("label")) == (("x", "z"), ["z", "x"])
    single = mixture(main=make_corpus(), others={"single": Corpus("single", labels, {"train": train.take([0])})})
    with pytest.raises(DataError, match="of corpus 'single' of the mixture, fewer than 2 labels are left"):
        learn_auxiliary(CrossEncoder(), single)
