"""An encoder may be named by the MLflow address of a model that has one."""

import pytest

pytest.importorskip("hydra")
pytest.importorskip("torch")

from stancelib.app import compose
from stancelib.app.encoders import with_encoder_folders
from stancelib.errors import BundleError, ConfigError
from stancelib.evaluation.metrics import Analyses, Evaluation
from stancelib.experiment import run_experiment
from stancelib.models.embedding import Embedding
from stancelib.models.prior import Prior
from stancelib.tracking import MlflowTracker
from stancelib.training.encoders import EncoderSettings, encoder_digest, find_encoder

from ..conftest import make_corpus
from ..training.tiny_bert import make_tiny_encoder

SCORES_ALONE = Evaluation(n_resamples=0, analyses=Analyses(probes=False, behaviour=False, slices=(), report=False))


@pytest.fixture
def store(uri, monkeypatch):
    """The tracking address of the environment, which an encoder's address is looked up at."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def trained(model, folder, uri):
    """The MLflow id of a run; its model is registered as ``stance@newest``."""
    tracker = MlflowTracker(uri=uri, registered_model="stance", alias="newest")
    run_experiment(corpus=make_corpus(n_train=12), model=model, folder=folder, evaluation=SCORES_ALONE, tracker=tracker)
    return tracker.run_id


def test_an_encoder_is_found_by_run_and_by_alias_wherever_a_model_has_one(store, tmp_path):
    encoder = make_tiny_encoder(tmp_path / "enc")
    settings = EncoderSettings(name=str(encoder), max_tokens=16, threads=1)
    run_id = trained(Embedding(encoder=settings, cached=False), tmp_path / "run", store)
    for address in (f"runs:/{run_id}", "models:/stance@newest"):
        for choice in ("cross_encoder", "contrastive", "embedding", "hybrid"):
            parts, plain = compose([f"model={choice}", f"model.encoder.name={address}"], ("model",))
            found = find_encoder(parts["model"].encoder.name)
            assert encoder_digest(found) == encoder_digest(encoder)
            assert plain["model"]["encoder"]["name"] == address, "the record keeps what was asked for"
    student = {"student": {"encoder": {"_target_": "stancelib.training.encoders.EncoderSettings", "name": address}}}
    assert with_encoder_folders(student)["student"]["encoder"]["name"] == parts["model"].encoder.name


def test_a_model_without_an_encoder_and_an_address_without_a_model_are_named(store, tmp_path):
    run_id = trained(Prior(), tmp_path / "run", store)
    with pytest.raises(ConfigError, match=f"'runs:/{run_id}' has no encoder to start from"):
        compose(["model=embedding", f"model.encoder.name=runs:/{run_id}"], ("model",))
    with pytest.raises(BundleError, match="no model models:/stance@never"):
        compose(["model=embedding", "model.encoder.name=models:/stance@never"], ("model",))


def test_an_address_that_nobody_resolved_is_not_looked_for_on_the_hub():
    with pytest.raises(ConfigError, match="encoder_folder"):
        find_encoder("models:/stance@newest")
