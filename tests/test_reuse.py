import numpy as np
import pytest

from stancelib.bundle import save_bundle
from stancelib.errors import BundleError, DataError
from stancelib.experiment import run_experiment
from stancelib.inference import load
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.reuse import distil, ensemble, member

from .conftest import make_corpus, write_jsonl


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    models = {"tfidf": Tfidf(), "prior": Prior()}
    return {
        name: run_experiment(corpus=make_corpus(), model=m, folder=folder / name).bundle for name, m in models.items()
    }


def test_an_ensemble_of_bundles_becomes_a_bundle(bundles, tmp_path):
    model = ensemble(members=[str(path) for path in bundles.values()])
    result = run_experiment(corpus=make_corpus(), model=model, folder=tmp_path / "run")
    again = load(result.bundle)
    assert again.manifest["family"] == "ensemble"
    np.testing.assert_allclose(again.predict_proba("no, never", "the plan"), model_answer(result), atol=1e-12)


def model_answer(result):
    return load(result.folder).predict_proba("no, never", "the plan")


def test_a_student_of_a_bundle_learns_from_a_file_without_labels(bundles, tmp_path):
    path = write_jsonl(tmp_path / "more.jsonl", [{"text": f"we refuse number{i}", "target": "x"} for i in range(10)])
    model = distil(teacher=str(bundles["tfidf"]), student=Tfidf(), unlabelled=str(path))
    result = run_experiment(corpus=make_corpus(), model=model, folder=tmp_path / "run")
    assert len(model.unlabelled) == 10
    assert load(result.bundle).predict("we refuse", "x")[0].label == "reject"


def test_a_member_keeps_its_calibration(tmp_path):
    model = Tfidf().fit(make_corpus().split("train"))
    save_bundle(tmp_path / "b", model=model, labels=model.labels_, facts={"temperature": 2.5})
    assert member(str(tmp_path / "b")).temperature == 2.5


def test_a_row_without_text_is_named(bundles, tmp_path):
    path = write_jsonl(tmp_path / "more.jsonl", [{"text": "fine"}, {"text": " "}])
    with pytest.raises(DataError, match=r"more.jsonl row 2 has no text"):
        distil(teacher=str(bundles["tfidf"]), student=Tfidf(), unlabelled=str(path))


def test_a_missing_member_is_named(tmp_path):
    with pytest.raises(BundleError, match="there is no folder"):
        ensemble(members=[str(tmp_path / "nothing")])
