from dataclasses import replace

import numpy as np
import pytest

from stancelib.bundle import Bundle
from stancelib.errors import ConfigError, DataError
from stancelib.experiment import run_experiment
from stancelib.explaining import explain
from stancelib.inference import StanceModel, load
from stancelib.labels import LabelSet
from stancelib.models.base import Member
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.soup import Soup
from stancelib.models.tfidf import Tfidf
from stancelib.reuse import soup as soup_of
from stancelib.schema import Statements
from stancelib.training.encoders import EncoderSettings
from stancelib.training.settings import LoopSettings, OptimizerSettings

from ..conftest import make_corpus
from ..training.tiny_bert import LABELS, make_statements, make_tiny_encoder

TRAIN, VALIDATION = make_statements(48), make_statements(24)
FAST = OptimizerSettings(learning_rate=1e-2, head_learning_rate=1e-2)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", dropout=0.1)
    return EncoderSettings(name=str(folder), max_tokens=32, threads=1)


@pytest.fixture(scope="module")
def members(settings):
    return [member(settings, seed=seed) for seed in (0, 1)]


def member(settings, train=TRAIN, *, epochs=2, **options):
    model = CrossEncoder(encoder=settings, loop=LoopSettings(epochs=epochs), optimizer=FAST, **options)
    return Member(model.fit(train), train.labels, name=f"m{options.get('seed', 0)}")


def weights_of(model):
    return {name: weight.numpy() for name, weight in model.network_.state_dict().items()}


def untaught(taught):
    """The same network with a head that answers the contrary."""
    model = CrossEncoder(encoder=taught.model.encoder, loop=LoopSettings(epochs=1), optimizer=FAST).fit(TRAIN)
    model.network_.load_state_dict(taught.model.network_.state_dict())
    model.network_.head.weight.data *= -20
    model.network_.head.bias.data *= -20
    return Member(model, LABELS, name="contrary")


def test_equal_weights_take_the_mean_of_every_weight(members):
    soup = weights_of(Soup(members=members).fit(TRAIN).model_)
    parts = [weights_of(member.model) for member in members]
    for name, weight in soup.items():
        np.testing.assert_allclose(weight, (parts[0][name] + parts[1][name]) / 2, atol=1e-6)


def test_the_members_stay_as_they_are(members):
    before = {name: weight.copy() for name, weight in weights_of(members[0].model).items()}
    Soup(members=members).fit(TRAIN, VALIDATION)
    for name, weight in weights_of(members[0].model).items():
        np.testing.assert_array_equal(weight, before[name])


def test_a_member_that_spoils_the_mean_is_left_out_and_the_report_says_so(members):
    told = []
    bad = untaught(members[0])
    soup = Soup(members=[bad, members[0]], weights="greedy").fit(TRAIN, VALIDATION, report=told.append)
    np.testing.assert_allclose(soup.predict_proba(VALIDATION), members[0].model.predict_proba(VALIDATION), atol=1e-6)
    weights = {name: value for progress in told for name, value in progress.metrics.items() if "weight" in name}
    assert weights == {"train/weight_0": 0.0, "train/weight_1": 1.0}


def test_a_soup_of_equals_is_any_of_them(members):
    soup = Soup(members=[members[0], members[0]]).fit(TRAIN, VALIDATION)
    np.testing.assert_allclose(soup.predict_proba(VALIDATION), members[0].model.predict_proba(VALIDATION), atol=1e-6)


def test_members_may_order_their_labels_differently(settings, members):
    turned = LabelSet(tuple(reversed(LABELS.names)))
    train = Statements(TRAIN.texts, TRAIN.targets, turned, turned.encode(TRAIN.column("label")))
    other = member(settings, train, epochs=1)
    soup = Soup(members=[other]).fit(TRAIN)
    found = other.predict_proba(VALIDATION, LABELS)
    np.testing.assert_allclose(soup.predict_proba(VALIDATION), found, atol=1e-6)


def test_a_saved_soup_answers_alike(members, tmp_path):
    soup = Soup(members=members).fit(TRAIN, VALIDATION)
    soup.save(tmp_path)
    np.testing.assert_array_equal(Soup.load(tmp_path).predict_proba(VALIDATION), soup.predict_proba(VALIDATION))


def test_members_of_other_families_are_refused(members):
    tfidf = Member(Tfidf().fit(TRAIN), LABELS, name="words")
    with pytest.raises(ConfigError, match="words is a 'tfidf'; a soup is made of 'cross_encoder' models alone"):
        Soup(members=[members[0], tfidf])


def test_members_that_read_differently_are_refused(settings, members):
    blind = member(settings, epochs=1, use_target=False)
    with pytest.raises(ConfigError, match="so their weights have no mean"):
        Soup(members=[members[0], blind])


def test_leaving_members_out_needs_validation(members):
    with pytest.raises(DataError, match="needs a validation split"):
        Soup(members=members, weights="greedy").fit(TRAIN)


@pytest.mark.parametrize(("n", "weights", "message"), [(0, "greedy", "at least one"), (2, "best", "'best'")])
def test_bad_options_are_refused(members, n, weights, message):
    with pytest.raises(ValueError, match=message):
        Soup(members=members[:n], weights=weights)


@pytest.fixture(scope="module")
def runs(settings, tmp_path_factory):
    folder, results = tmp_path_factory.mktemp("runs"), []
    for seed in (0, 1):
        model = CrossEncoder(encoder=settings, loop=LoopSettings(epochs=1), optimizer=FAST, seed=seed)
        results.append(run_experiment(corpus=make_corpus(), model=model, folder=folder / f"s{seed}"))
    return [str(result.folder) for result in results]


def test_runs_become_one_run_that_needs_them_no_more(runs, tmp_path):
    result = run_experiment(corpus=make_corpus(), model=soup_of(members=runs), folder=tmp_path / "soup")
    model = load(result.bundle)
    assert model.manifest["family"] == "soup"
    assert model.predict("no, never", "the plan")[0].label in make_corpus().labels.names


def test_members_that_have_read_what_is_held_out_are_refused(runs, tmp_path):
    corpus = make_corpus()
    swapped = replace(corpus, splits={"train": corpus.splits["test"], "validation": corpus.splits["train"]})
    with pytest.raises(DataError, match=r"member .*s0.* has learned from \d+ of the \d+ statements of 'validation'"):
        run_experiment(corpus=swapped, model=soup_of(members=runs), folder=tmp_path / "soup")


def test_a_soup_explains_itself_by_gradients_like_its_network(members):
    def explained(model):
        return explain(StanceModel(Bundle("nowhere", model, LABELS, {"uses_target": True})), "no, never", "the plan")

    soup = Soup(members=members[:1]).fit(TRAIN)
    assert explained(soup).method == "gradients"
    assert explained(soup).weights == pytest.approx(explained(members[0].model).weights, abs=1e-5)
