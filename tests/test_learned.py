import json
import shutil
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.bundle import LEARNED, read_learned
from stancelib.data.fingerprints import fingerprints
from stancelib.data.mixture import mixture
from stancelib.data.splitting import random
from stancelib.errors import BundleError, DataError
from stancelib.evaluation.metrics import Evaluation
from stancelib.experiment import evaluate_model, run_experiment
from stancelib.inference import load
from stancelib.learned import learned_before
from stancelib.models.tfidf import Tfidf
from stancelib.reuse import distil, ensemble
from stancelib.schema import Corpus, Statements
from stancelib.sizing import run_learning_curve
from stancelib.training.encoders import EncoderSettings

from .conftest import make_corpus, make_statements, write_jsonl

TEST_ONLY = Evaluation(splits=("test",))


def dealt(seed):
    return partial(random, seed=seed, validation_fraction=0.2, test_fraction=0.3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model of statements that were dealt at random, as seed 1 does it."""
    folder = tmp_path_factory.mktemp("runs") / "tfidf"
    return run_experiment(corpus=make_corpus(), model=Tfidf(), folder=folder, split=dealt(1))


def warnings_of(result):
    """The findings of that kind in a run's table of data checks."""
    path = result.folder / "tables" / "data_checks.json"
    return [row for row in json.loads(path.read_text())["data"] if "learned-before" in row] if path.exists() else []


@given(st.lists(st.tuples(st.text(), st.none() | st.text()), min_size=1, max_size=8))
def test_a_fingerprint_is_the_same_in_any_company(pairs):
    texts, targets = zip(*pairs, strict=True)
    whole = fingerprints(Statements(list(texts), list(targets)))
    each = [fingerprints(Statements([text], [target]))[0] for text, target in pairs]
    np.testing.assert_array_equal(whole, each)


def test_a_fingerprint_goes_by_the_words_of_text_and_target():
    texts = ["No, never!", "no never", "No, never!", "a b", "a"]
    one, same, other, first, second = fingerprints(Statements(texts, ["A plan", "the plan", "x", "c", "b c"]))
    assert one == same
    assert len({one, other, first, second}) == 4


def test_a_bundle_knows_what_it_was_trained_on_and_what_it_was_chosen_by(run):
    learned, corpus = load(run.bundle).learned, dealt(1)(make_corpus())
    assert set(learned.trained) == set(fingerprints(corpus.split("train")))
    assert set(learned.chosen) == set(fingerprints(corpus.split("validation")))
    assert not set(fingerprints(corpus.split("test"))) & {*learned.trained, *learned.chosen}


def test_a_bundle_knows_what_it_learned_beside_its_corpus(tmp_path):
    class Learner(Tfidf):
        def learn_beside(self, auxiliary):
            pass

    other = Statements(["sure", "no"], ["a walk?"] * 2, make_corpus().labels, np.array([0, 1]))
    corpus = mixture(main=make_corpus(), others={"other": Corpus("other", make_corpus().labels, {"train": other})})
    result = run_experiment(corpus=corpus, model=Learner(), folder=tmp_path / "r")
    assert fingerprints(other)[0] in read_learned(result.bundle).trained


def test_an_evaluation_warns_of_statements_that_the_model_was_trained_on(run, tmp_path, caplog):
    result = evaluate_model(model=load(run.bundle), corpus=make_corpus(), folder=tmp_path / "e", evaluation=TEST_ONLY)
    assert "the model has learned from" in caplog.text
    assert "of the 12 statements of 'test'" in caplog.text
    assert warnings_of(result)
    assert "Are the statements new to the model?" in (result.folder / "report_test.md").read_text()


def test_an_evaluation_of_what_the_run_held_out_warns_of_nothing(run, tmp_path):
    corpus = dealt(1)(make_corpus())
    everything = Evaluation(splits=("validation", "test"))
    result = evaluate_model(model=load(run.bundle), corpus=corpus, folder=tmp_path / "e", evaluation=everything)
    assert not warnings_of(result)


def test_a_bundle_that_does_not_tell_is_evaluated_without_a_warning(run, tmp_path):
    shutil.copytree(run.bundle, tmp_path / "old")
    sums = (tmp_path / "old" / "SHA256SUMS").read_text().splitlines(keepends=True)
    (tmp_path / "old" / LEARNED).unlink()
    with pytest.raises(BundleError, match=f"'{LEARNED}' is missing"):
        load(tmp_path / "old")
    (tmp_path / "old" / "SHA256SUMS").write_text("".join(line for line in sums if LEARNED not in line))
    model = load(tmp_path / "old")
    result = evaluate_model(model=model, corpus=make_corpus(), folder=tmp_path / "e", evaluation=TEST_ONLY)
    assert not warnings_of(result)


@pytest.mark.parametrize("train", [run_experiment, run_learning_curve])
def test_members_of_another_split_are_refused(train, run, tmp_path):
    with pytest.raises(DataError, match=r"member .*tfidf.* has learned from \d+ of the \d+ statements of 'validation'"):
        train(corpus=make_corpus(), model=ensemble(members=[str(run.bundle)]), folder=tmp_path / "r", split=dealt(2))


def test_members_of_the_same_split_are_taken_and_what_they_rest_on_is_kept(run, tmp_path):
    model = ensemble(members=[str(run.bundle)])
    result = run_experiment(
        corpus=make_corpus(), model=model, folder=tmp_path / "r", split=dealt(1), evaluation=TEST_ONLY
    )
    before, after = read_learned(run.bundle), read_learned(result.bundle)
    np.testing.assert_array_equal(before.trained, after.trained)
    np.testing.assert_array_equal(before.chosen, after.chosen)


def test_a_teacher_of_another_split_is_refused(run, tmp_path):
    model = distil(teacher=str(run.bundle), student=Tfidf())
    with pytest.raises(DataError, match=r"teacher .*tfidf.* has learned from \d+ .*of 'test'"):
        run_experiment(corpus=make_corpus(), model=model, folder=tmp_path / "r", split=dealt(2), evaluation=TEST_ONLY)


def test_held_out_statements_are_no_unlabelled_ones(run, tmp_path):
    held_out = dealt(1)(make_corpus()).split("test")
    rows = [{"text": text, "target": target} for text, target in zip(held_out.texts, held_out.targets, strict=True)]
    path = write_jsonl(tmp_path / "more.jsonl", rows)
    model = distil(teacher=str(run.bundle), student=Tfidf(), unlabelled=str(path))
    with pytest.raises(DataError, match=r"the student has learned from .* Take them out of the file of unlabelled"):
        run_experiment(corpus=make_corpus(), model=model, folder=tmp_path / "r", split=dealt(1), evaluation=TEST_ONLY)


def test_few_common_statements_are_a_warning(run, tmp_path, caplog):
    train, new = dealt(1)(make_corpus()).split("train"), make_statements(60, start=1000)
    new.texts[0], new.targets[0] = train.texts[0], train.targets[0]
    model = ensemble(members=[str(run.bundle)], weights="equal")
    corpus = Corpus("small", new.labels, {"train": train, "test": new})
    run_experiment(corpus=corpus, model=model, folder=tmp_path / "r", evaluation=TEST_ONLY)
    assert "has learned from 1 of the 60 statements of 'test'" in caplog.text


def test_an_encoder_out_of_a_bundle_brings_what_it_was_trained_on(run, tmp_path):
    class Reader(Tfidf):
        encoder = EncoderSettings(name=str(tmp_path / "taught"))

    shutil.copytree(run.folder, tmp_path / "taught")
    (tmp_path / "taught" / "model" / "model" / "encoder").mkdir()
    (found,) = learned_before(Reader()).values()
    np.testing.assert_array_equal(found.trained, read_learned(run.bundle).trained)


def test_a_damaged_bundle_gives_no_encoder(run, tmp_path):
    class Reader(Tfidf):
        encoder = EncoderSettings(name=str(tmp_path / "taught"))

    shutil.copytree(run.folder, tmp_path / "taught")
    (tmp_path / "taught" / "model" / "model" / "encoder").mkdir()
    (tmp_path / "taught" / "model" / "learned.safetensors").unlink()
    with pytest.raises(BundleError, match=r"'learned\.safetensors' is missing"):
        learned_before(Reader())


def test_what_a_model_rests_on_that_cannot_be_read_is_one_sentence(run, tmp_path):
    shutil.copytree(run.bundle, tmp_path / "b")
    (tmp_path / "b" / "learned.safetensors").write_bytes(b"12")
    with pytest.raises(BundleError, match=r"learned\.safetensors' can't be read"):
        read_learned(tmp_path / "b")
