"""What every family keeps to, from the label prior to fine-tuned encoders."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("hydra")

from hydra.utils import instantiate
from omegaconf import OmegaConf

from stancelib.bundle import load_bundle, save_bundle
from stancelib.errors import DataError
from stancelib.labels import LabelSet
from stancelib.models.base import Model
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.schema import Statements

from ..conftest import make_corpus
from ..training.tiny_bert import make_tiny_encoder
from .discovery import COMPONENTS, MODELS

LABEL_SETS = {
    2: LabelSet.of(("reject", "propose")),
    3: LabelSet.of(("conditional-accept", "reject", "propose")),
    5: LabelSet.of(("conditional-accept", "reject", "propose", "accept", "none")),
}
QUICK = {  # settings that keep the expensive families short; any option may lack them
    "encoder": {"max_tokens": 32, "threads": 1},
    "loop": {"epochs": 1, "batch_size": 16},
    "pairs": {"per_statement": 2},
    "ngrams": {"min_df": 1},
}
ODD = (
    ("a", "the plan"),
    ("We will never agree to it. " * 400, "the plan"),
    ("Мы согласны при одном условии", "перемирие"),
    ("条件付きで賛成 👍🏽", "停戦"),
    ("\t\u200b\n", "the plan"),
    ("we agree if it rains", ""),
    ("we agree if it rains", None),
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("torch")
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Saves models trained for a label set, and returns their folders: what families made of other models ask for."""

    def make(labels, models):
        folder = tmp_path_factory.mktemp("trained")
        for name, model in models.items():
            train = make_corpus(labels).split("train")
            save_bundle(folder / name, model=model.fit(train), labels=labels, facts={"name": name})
        return [str(folder / name) for name in models]

    return make


@pytest.fixture(scope="module")
def build(request, trained):
    """Makes an unfitted model from its YAML with quick settings."""

    def make(name, labels=LABEL_SETS[3], seed=0):
        node = OmegaConf.create({"seed": seed, "model": COMPONENTS[f"model/{name}"]})
        for part, settings in QUICK.items():
            known = {key: value for key, value in settings.items() if key in (node.model.get(part) or {})}
            if known:
                node.model[part] = OmegaConf.merge(node.model[part], known)
        if "encoder" in node.model:
            node.model.encoder.name = str(request.getfixturevalue("encoder"))
        if "cached" in node.model:
            node.model.cached = False
        if name == "soup":
            networks = {f"s{seed}": make("cross_encoder", labels, seed) for seed in (0, 1)}
            node.model.members = trained(labels, networks)
        elif "members" in COMPONENTS[f"model/{name}"]:
            node.model.members = trained(labels, {"prior": Prior(), "tfidf": Tfidf()})
        if "teacher" in COMPONENTS[f"model/{name}"]:
            node.model.teacher = trained(labels, {"tfidf": Tfidf()})[0]
        return instantiate(OmegaConf.to_container(node, resolve=True)["model"], _convert_="all")

    return make


@pytest.fixture(scope="module", params=MODELS)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(family, build):
    corpus = make_corpus()
    return build(family).fit(corpus.split("train"), corpus.split("validation"))


@pytest.fixture(scope="module")
def unseen():
    return make_corpus().split("test")


def save(model, folder):
    folder.mkdir()
    model.save(folder)
    return folder


def test_a_family_keeps_the_contract_of_base(fitted):
    assert isinstance(fitted, Model)
    assert isinstance(fitted.uses_target, bool)


def test_module_and_class_share_their_name(fitted):
    module = type(fitted).__module__.rpartition(".")
    assert module[0] == "stancelib.models"
    assert type(fitted).__name__ == module[2].title().replace("_", "")


def test_constructor_arguments_are_keywords_and_at_most_eight(fitted):
    parameters = list(inspect.signature(type(fitted)).parameters.values())
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    assert len(parameters) <= 8


def test_probabilities_have_a_row_per_statement_and_sum_to_one(fitted, unseen):
    found = fitted.predict_proba(unseen)
    assert found.shape == (len(unseen), 3)
    assert found.dtype == np.float64
    assert np.allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()


def test_no_statement_gives_no_row(fitted, unseen):
    assert fitted.predict_proba(unseen.take([])).shape == (0, 3)


def test_a_statement_is_judged_alike_alone_and_in_company(fitted, unseen):
    together = fitted.predict_proba(unseen)
    alone = np.concatenate([fitted.predict_proba(unseen.take([row])) for row in range(len(unseen))])
    assert np.allclose(together, alone, atol=1e-5)


def test_labels_of_the_statements_to_judge_are_not_looked_at(fitted, unseen):
    unlabelled = Statements(unseen.texts, unseen.targets)
    assert np.array_equal(fitted.predict_proba(unlabelled), fitted.predict_proba(unseen))


def test_the_target_matters_only_to_a_family_that_says_so(fitted, unseen):
    if not fitted.uses_target:
        elsewhere = replace(unseen, targets=["something else"] * len(unseen))
        assert np.array_equal(fitted.predict_proba(elsewhere), fitted.predict_proba(unseen))


def test_odd_statements_get_probabilities_too(fitted):
    found = fitted.predict_proba(Statements([text for text, _ in ODD], [target for _, target in ODD]))
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(axis=1), 1)
    assert np.allclose(found[-1], found[-2], atol=1e-6)


def test_the_same_seed_gives_the_same_probabilities(family, fitted, build, unseen):
    corpus = make_corpus()
    again = build(family).fit(corpus.split("train"), corpus.split("validation"))
    assert np.array_equal(again.predict_proba(unseen), fitted.predict_proba(unseen))


def test_a_saved_model_gives_identical_probabilities(fitted, unseen, tmp_path):
    again = type(fitted).load(save(fitted, tmp_path / "m"))
    assert np.allclose(again.predict_proba(unseen), fitted.predict_proba(unseen), rtol=0, atol=1e-6)
    assert again.uses_target is fitted.uses_target


def test_a_loaded_model_can_be_saved_again(fitted, unseen, tmp_path):
    again = type(fitted).load(save(fitted, tmp_path / "m"))
    third = type(fitted).load(save(again, tmp_path / "n"))
    assert np.allclose(third.predict_proba(unseen), fitted.predict_proba(unseen), rtol=0, atol=1e-6)


def test_a_saved_model_is_json_safetensors_and_text_alone(fitted, tmp_path):
    files = [path for path in save(fitted, tmp_path / "m").rglob("*") if path.is_file()]
    assert files
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}


def test_a_bundle_of_it_loads_by_the_name_of_the_family(fitted, unseen, tmp_path):
    save_bundle(tmp_path / "b", model=fitted, labels=LABEL_SETS[3], facts={})
    loaded = load_bundle(tmp_path / "b").model
    assert type(loaded) is type(fitted)
    assert np.allclose(loaded.predict_proba(unseen), fitted.predict_proba(unseen), rtol=0, atol=1e-6)


def test_its_bundle_says_whether_torch_is_needed_to_load_it(fitted, tmp_path):
    save_bundle(tmp_path / "b", model=fitted, labels=LABEL_SETS[3], facts={})
    needs = "stancelib[torch]==" in (tmp_path / "b" / "requirements.txt").read_text()
    assert needs == hasattr(fitted, "encoder_digest_")


@pytest.mark.parametrize("n_labels", [2, 5])
def test_two_and_five_labels_work(n_labels, family, build):
    labels = LABEL_SETS[n_labels]
    corpus = make_corpus(labels)
    model = build(family, labels).fit(corpus.split("train"), corpus.split("validation"))
    found = model.predict_proba(corpus.split("test"))
    assert found.shape == (12, n_labels)
    assert np.allclose(found.sum(axis=1), 1)


def test_columns_follow_the_order_of_the_label_set(family, build):
    labels = LabelSet.of(tuple(reversed(LABEL_SETS[3].names)))
    corpus = make_corpus(labels)
    skewed = corpus.split("train").take([i for i in range(60) if i % 3 == 0 or i < 6])  # mostly the first label
    model = build(family, labels).fit(skewed, corpus.split("validation"))
    if type(model).__name__ in ("Ensemble", "Soup"):  # which the members have taught
        assert list(model.labels_) == list(labels)
    else:
        assert model.predict_proba(skewed).mean(axis=0).argmax() == 0


def test_a_label_without_a_row_is_refused(family, build):
    train = make_corpus().split("train")
    kept = train.take([row for row in range(len(train)) if train.gold[row] != 1])
    with pytest.raises(DataError, match="reject"):
        build(family).fit(kept, make_corpus().split("validation"))


def test_unlabelled_statements_cannot_be_learned_from(family, build, unseen):
    with pytest.raises(DataError, match="no labels"):
        build(family).fit(Statements(unseen.texts, unseen.targets))
