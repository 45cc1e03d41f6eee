from pathlib import Path

import numpy as np
import pytest
import torch

from stancelib.models.base import Model, Resumable
from stancelib.models.contrastive import Contrastive
from stancelib.training.encoders import EncoderSettings
from stancelib.training.pairs import PairSettings
from stancelib.training.settings import LoopSettings, OptimizerSettings
from stancelib.training.vectors import Vectorizer

from ..training.tiny_bert import LABELS, make_statements, make_tiny_encoder, odd_statements

FAST = OptimizerSettings(learning_rate=1e-2)


@pytest.fixture
def settings(tmp_path):
    return EncoderSettings(name=str(make_tiny_encoder(tmp_path / "enc", dropout=0.1)), max_tokens=32, threads=1)


def make_model(settings, **options):
    return Contrastive(encoder=settings, **{"optimizer": FAST, "pairs": PairSettings(at_most=160)} | options)


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def gap(vectors, label_ids):
    """How much closer statements of one label are than those of two."""
    cosines = vectors @ vectors.T
    agree = label_ids[:, None] == label_ids[None]
    return cosines[agree].mean() - cosines[~agree].mean()


def test_eight_examples_a_label_draw_unseen_statements_of_a_label_together(settings):
    train, test = make_statements(24), make_statements(90, seed=1)
    model = make_model(settings, pairs=PairSettings(per_statement=60)).fit(train)
    assert isinstance(model, Model)
    assert isinstance(model, Resumable)
    assert (model.predict_proba(test).argmax(1) == test.gold).mean() > 0.75
    frozen, tuned = (
        Vectorizer(folder, settings, cached=False).vectors(test.texts)
        for folder in (Path(settings.name), saved_encoder(model, Path(settings.name).parent))
    )
    assert gap(tuned, test.gold) > 3 * gap(frozen, test.gold) > 0


def saved_encoder(model, folder):
    (folder / "saved").mkdir()
    model.save(folder / "saved")
    return folder / "saved" / "encoder"


def test_loaded_model_gives_identical_probabilities_without_the_original_encoder(settings, tmp_path):
    model = make_model(settings).fit(make_statements(30))
    (tmp_path / "bundle").mkdir()
    model.save(tmp_path / "bundle")
    (tmp_path / "enc").rename(tmp_path / "gone")
    again, test = Contrastive.load(tmp_path / "bundle"), make_statements(40, seed=2)
    assert list(again.labels_) == list(LABELS)
    assert np.array_equal(model.predict_proba(test), again.predict_proba(test))


def test_same_seed_same_probabilities_and_another_seed_others(settings):
    train = make_statements(30)
    first, second, other = (make_model(settings, seed=seed).fit(train).predict_proba(train) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_keeps_the_weights_that_are_best_on_validation(settings):
    seen = []
    model = make_model(settings, loop=LoopSettings(epochs=2, evaluations_per_epoch=3))
    train, validation = make_statements(30), make_statements(30, seed=1)
    model.fit(train, validation, report=seen.append)
    from sklearn.metrics import f1_score

    score = f1_score(validation.gold, model.predict_proba(validation).argmax(1), average="macro")
    assert len(seen) == 6
    assert score == pytest.approx(max(progress.metrics["validation/macro_f1"] for progress in seen))


def test_the_best_evaluation_may_be_that_of_the_lowest_loss(settings):
    seen = []
    model = make_model(settings, loop=LoopSettings(epochs=2, evaluations_per_epoch=3, score="loss"))
    train, validation = make_statements(30), make_statements(30, seed=1)
    model.fit(train, validation, report=seen.append)
    probabilities = model.predict_proba(validation)
    loss = -np.log(probabilities[np.arange(30), validation.gold]).mean()
    assert loss == pytest.approx(min(progress.metrics["validation/loss"] for progress in seen))


def test_odd_statements_get_probabilities(settings):
    probabilities = make_model(settings).fit(make_statements(30)).predict_proba(odd_statements())
    assert np.isfinite(probabilities).all()
    assert np.allclose(probabilities.sum(1), 1)
    assert np.allclose(probabilities[4], probabilities[5])


def test_no_statement_gives_no_row(settings):
    train = make_statements(30)
    assert make_model(settings).fit(train).predict_proba(train.take([])).shape == (0, 3)


def test_target_matters_only_where_it_is_used(settings):
    train = make_statements(30)
    one, other = (make_statements(12, targets=(target,)) for target in ("the truce", "the river vote"))
    blind, seeing = (make_model(settings, use_target=use).fit(train) for use in (False, True))
    assert np.array_equal(blind.predict_proba(one), blind.predict_proba(other))
    assert not np.array_equal(seeing.predict_proba(one), seeing.predict_proba(other))


def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(settings, tmp_path):
    loop, train = LoopSettings(epochs=1, evaluations_per_epoch=5), make_statements(30)
    whole = make_model(settings, loop=loop).fit(train)
    model, seen = make_model(settings, loop=loop), []
    model.checkpoint_to(tmp_path / "checkpoints", resume=True)

    def report(progress):
        seen.append(progress.step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(train, report=report)
    model.fit(train, report=report)
    assert seen == [2, 4, 6, 6, 8, 10]
    assert same(state_of(model), state_of(whole))
