import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stancelib.bundle import save_bundle
from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.models import cross_encoder
from stancelib.models.base import Model
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.prior import Prior
from stancelib.schema import Auxiliary, Statements
from stancelib.training import classification
from stancelib.training.batching import TokenRows, tokenize
from stancelib.training.classification import Classification, LabelledRows
from stancelib.training.encoders import EncoderSettings, load_network
from stancelib.training.loss import loss_terms
from stancelib.training.network import encoder_inputs
from stancelib.training.settings import (
    AugmentSettings,
    FreezeSettings,
    LoopSettings,
    LoraSettings,
    LossSettings,
    OptimizerSettings,
)

from ..training.tiny_bert import FILLER, LABELS, make_statements, make_tiny_encoder, odd_statements

ROOT = Path(__file__).parents[2]
FAST = OptimizerSettings(learning_rate=1e-2, head_learning_rate=1e-2)


@pytest.fixture
def settings(tmp_path):
    folder = make_tiny_encoder(tmp_path / "enc", dropout=0.1)
    return EncoderSettings(name=str(folder), max_tokens=32, threads=1)


def make_model(settings, *, epochs=2, **options):
    plain = {
        "loop": LoopSettings(epochs=epochs),
        "optimizer": FAST,
        "loss": LossSettings(),
        "augment": AugmentSettings(),
    }
    return CrossEncoder(encoder=settings, **plain | options)


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_learns_and_reports_every_evaluation(settings):
    seen = []
    model = make_model(settings, epochs=6).fit(make_statements(240), make_statements(60, seed=1), report=seen.append)
    assert isinstance(model, Model)
    assert (model.predict_proba(make_statements(60, seed=2)).argmax(1) == make_statements(60, seed=2).gold).mean() > 0.9
    assert [progress.step for progress in seen] == [15 * i for i in range(1, 7)]
    assert {"train/loss", "validation/macro_f1", "perf/examples_per_second"} <= seen[0].metrics.keys()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"freeze": FreezeSettings(layers=1)},
        {"freeze": FreezeSettings(embeddings=True)},
        {"freeze": FreezeSettings(lora=LoraSettings(rank=4))},
        {"loss": LossSettings(class_weight="balanced", label_smoothing=0.1, dropout=0.2)},
    ],
    ids=["plain", "frozen layer", "frozen embeddings", "lora", "loss"],
)
def test_loaded_model_gives_identical_probabilities_without_the_original_encoder(settings, tmp_path, options):
    model = make_model(settings, **options).fit(make_statements(60), make_statements(20, seed=1))
    (tmp_path / "bundle").mkdir()
    model.save(tmp_path / "bundle")
    (tmp_path / "enc").rename(tmp_path / "gone")
    again = CrossEncoder.load(tmp_path / "bundle")
    test = make_statements(40, seed=2)
    assert list(again.labels_) == list(LABELS)
    assert np.array_equal(model.predict_proba(test), again.predict_proba(test))
    files = [path for path in (tmp_path / "bundle").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert all(path.stat().st_mode & 0o044 for path in files)


def test_same_seed_same_weights_and_another_seed_other_weights(settings):
    states = [state_of(make_model(settings, seed=seed).fit(make_statements(60))) for seed in (0, 0, 1)]
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_fit_leaves_the_global_random_state_and_threads_alone(settings):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    make_model(settings).fit(make_statements(30))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_frozen_layers_keep_their_weights_and_all_others_move(settings):
    model = make_model(settings, freeze=FreezeSettings(layers=1)).fit(make_statements(60))
    before = load_network(Path(settings.name)).state_dict()
    after = model.network_.encoder.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("layer.1." in name for name in moved)


def test_replayed_layers_train_to_the_same_weights(settings, monkeypatch):
    options = {"freeze": FreezeSettings(layers=1), "loss": LossSettings(dropout=0.0)}
    options |= {"loop": LoopSettings(epochs=2, precision="fp32")}
    replayed = state_of(make_model(settings, **options).fit(make_statements(60)))
    monkeypatch.setattr("stancelib.training.frozen.LIMIT_BYTES", 0)
    whole = state_of(make_model(settings, **options).fit(make_statements(60)))
    assert all(torch.allclose(replayed[name], whole[name], atol=1e-4) for name in whole)


def test_odd_statements_get_probabilities(settings):
    probabilities = make_model(settings).fit(make_statements(60)).predict_proba(odd_statements())
    assert probabilities.shape == (6, 3)
    assert np.isfinite(probabilities).all()
    assert np.allclose(probabilities.sum(1), 1)
    assert np.allclose(probabilities[4], probabilities[5])


def test_no_statement_gives_no_row(settings):
    train = make_statements(30)
    assert make_model(settings, epochs=1).fit(train).predict_proba(train.take([])).shape == (0, 3)


def test_a_prediction_does_not_depend_on_the_statements_beside_it(settings):
    model, test = make_model(settings).fit(make_statements(60)), make_statements(40, seed=2)
    assert np.allclose(model.predict_proba(test)[7], model.predict_proba(test.take([7]))[0], atol=1e-5)


def test_target_matters_only_where_it_is_used(settings):
    train = make_statements(60)
    one, other = (make_statements(12, targets=(target,)) for target in ("the truce", "the river vote"))
    blind, seeing = (make_model(settings, use_target=use).fit(train) for use in (False, True))
    assert (blind.uses_target, seeing.uses_target) == (False, True)
    assert np.array_equal(blind.predict_proba(one), blind.predict_proba(other))
    assert not np.array_equal(seeing.predict_proba(one), seeing.predict_proba(other))


def test_label_without_a_row_is_refused(settings):
    train = make_statements(30)
    with pytest.raises(DataError, match="label 'maybe' has no training row"):
        make_model(settings).fit(train.take([0, 1, 3, 4]))


def test_unlabelled_statements_are_refused(settings):
    with pytest.raises(DataError, match="carry no labels"):
        make_model(settings).fit(Statements(["we agreed"], ["the truce"]))


class InterruptError(Exception):
    pass


def interrupted_at(n):
    seen = []

    def report(progress):
        seen.append(progress)
        if len(seen) > n:
            raise InterruptError

    return report


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"freeze": FreezeSettings(layers=1)},
        {"freeze": FreezeSettings(lora=LoraSettings(rank=2))},
        {"optimizer": OptimizerSettings(average_decay=0.9)},
        {"augment": AugmentSettings(joined=0.5)},
    ],
)
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(settings, tmp_path, options):
    train, validation = make_statements(60), make_statements(20, seed=1)
    whole = make_model(settings, epochs=4, **options).fit(train, validation)
    model = make_model(settings, epochs=4, **options)
    model.checkpoint_to(tmp_path / "checkpoints", resume=True)
    with pytest.raises(InterruptError):
        model.fit(train, validation, report=interrupted_at(2))
    seen = []
    model.fit(train, validation, report=seen.append)
    assert [progress.step / progress.n_steps for progress in seen] == [0.75, 1.0]
    assert same(state_of(model), state_of(whole))


def test_resuming_a_finished_training_trains_nothing_and_gives_its_weights(settings, tmp_path):
    train, validation = make_statements(60), make_statements(20, seed=1)
    first, second = make_model(settings), make_model(settings)
    for model in (first, second):
        model.checkpoint_to(tmp_path / "checkpoints", resume=True)
    first.fit(train, validation)
    second.fit(train, validation, report=interrupted_at(0))
    assert same(state_of(first), state_of(second))


def test_joined_statements_are_learned_beside_the_others(settings):
    seen = []
    make_model(settings, epochs=1, augment=AugmentSettings(joined=0.5)).fit(make_statements(64), report=seen.append)
    make_model(settings, epochs=1).fit(make_statements(64), report=seen.append)
    blind = make_model(settings, epochs=1, augment=AugmentSettings(joined=0.5), use_target=False)
    blind.fit(make_statements(64), report=seen.append)
    assert seen[0].n_steps > seen[1].n_steps == seen[2].n_steps == 4


def test_resuming_on_other_data_is_refused(settings, tmp_path):
    model = make_model(settings)
    model.checkpoint_to(tmp_path / "checkpoints", resume=True)
    model.fit(make_statements(60))
    model.checkpoint_to(tmp_path / "checkpoints", resume=True)
    with pytest.raises(ConfigError, match="other data"):
        model.fit(make_statements(60, seed=5))


def test_resuming_with_the_labels_in_another_order_is_refused(settings, tmp_path):
    train = make_statements(60)
    turned = LabelSet(tuple(reversed(LABELS.names)))
    other = replace(train, labels=turned, label_ids=turned.encode(train.column("label")))
    assert other.digest == train.digest
    for statements in (train, other):
        model = make_model(settings)
        model.checkpoint_to(tmp_path / "checkpoints", resume=True)
        if statements is train:
            model.fit(train)
    with pytest.raises(ConfigError, match="other data"):
        model.fit(other)


def test_what_was_asked_of_a_fit_is_not_done_by_later_ones(settings, tmp_path):
    few, plain = make_statements(30), make_model(settings).fit(make_statements(30))
    model = make_model(settings)
    model.checkpoint_to(tmp_path / "checkpoints", resume=True)
    model.learn_beside([other_task(24)])
    model.fit(few)
    assert not same(state_of(model), state_of(plain))
    assert same(state_of(model.fit(few)), state_of(plain))


def test_weights_count_against_all_statements_and_not_within_their_batch(settings):
    """A batch of a single label, or of another task alone, would cancel its own weights."""
    train, weights = make_statements(24), {name: 5.0 if name == LABELS.names[0] else 0.5 for name in LABELS}
    loop = LoopSettings(epochs=2, batch_size=1)
    plain = make_model(settings, loop=loop).fit(train)
    weighted = make_model(settings, loop=loop, loss=LossSettings(class_weight=weights)).fit(train)
    gain = weighted.predict_proba(train)[:, 0].mean() - plain.predict_proba(train)[:, 0].mean()
    assert gain > 0.05


def test_batches_of_another_task_weigh_what_its_statements_do():
    terms = loss_terms(LossSettings(), [(np.zeros(2, int), LABELS, 1.0), (np.zeros(6, int), LABELS, 0.01)])
    label_ids = np.array([0, 1, 3, 3, 3, 3, 3, 3])
    tokens = TokenRows(np.zeros(8, np.int32), np.zeros(8, np.int8), np.arange(9), 0, np.ones(8, np.int8))
    task = Classification(
        train=LabelledRows(tokens, label_ids), validation=None, terms=terms, n_labels=3, batch_size=2, seed=0
    )
    assert task.weight(np.array([2, 3])) == task.weight(np.array([0, 1])) == pytest.approx(2 * 2.06 / 8)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_no_loss_can_have_are_refused(weight):
    with pytest.raises(ValueError, match="class_weight of 'a' must be above 0 and finite"):
        LossSettings(class_weight={"a": weight})
    with pytest.raises(ValueError, match="learning_rate must be above 0 and finite"):
        OptimizerSettings(learning_rate=weight)


def test_a_training_is_gone_on_with_wherever_its_encoder_lies_by_now(settings, tmp_path):
    train, moved = make_statements(60), tmp_path / "moved"
    first, second = make_model(settings), make_model(replace(settings, name=str(moved)))
    for model in (first, second):
        model.checkpoint_to(tmp_path / "checkpoints", resume=True)
    first.fit(train)
    (tmp_path / "enc").rename(moved)
    second.fit(train, report=interrupted_at(0))
    assert same(state_of(first), state_of(second))


def test_resuming_with_another_score_for_the_best_evaluation_is_refused(settings, tmp_path):
    for score in ("macro_f1", "loss"):
        model = make_model(settings, loop=LoopSettings(epochs=1, score=score))
        model.checkpoint_to(tmp_path / "checkpoints", resume=True)
        if score == "macro_f1":
            model.fit(make_statements(60))
    with pytest.raises(ConfigError, match="other options"):
        model.fit(make_statements(60))


SCRIPT = """
    import os, sys, time
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from safetensors.torch import save_file
    from tests.models.test_cross_encoder import further_task, make_model, state_of, with_conditions
    from tests.training.tiny_bert import make_statements
    from stancelib.training.encoders import EncoderSettings
    from stancelib.training.settings import LoopSettings, LossSettings

    folder = Path({folder!r})
    settings = EncoderSettings(name=str(folder / "enc"), max_tokens=32, threads=1)
"""


def script(tmp_path, body):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT.format(root=str(ROOT), folder=str(tmp_path))) + textwrap.dedent(body))
    return path


@pytest.mark.slow
def test_killed_in_mid_epoch_and_resumed_equals_uninterrupted_bit_for_bit(settings, tmp_path):
    from safetensors.torch import load_file

    path = script(
        tmp_path,
        """
        model = make_model(settings, epochs=4, loss=LossSettings(evidence="condition"))
        model.learn_beside([further_task()])
        model.checkpoint_to(folder / "checkpoints", resume=True)
        from stancelib.training import loop

        step = loop._step
        def slow_step(*arguments):
            time.sleep(0.02)
            return step(*arguments)
        if sys.argv[1] == "slow":
            loop._step = slow_step
        train = with_conditions(make_statements(270), lambda text: text.split()[0])
        model.fit(train, make_statements(60, seed=1), report=lambda p: print(p.step, flush=True))
        save_file(state_of(model), folder / "resumed.safetensors")
        """,
    )
    with subprocess.Popen([sys.executable, path, "slow"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "19\n"
        time.sleep(0.25)
        os.kill(process.pid, signal.SIGKILL)
        assert process.stdout.read() == ""
    resumed = subprocess.run([sys.executable, path, "fast"], capture_output=True, text=True, check=True)
    assert resumed.stdout.split() == ["38", "57", "76"]
    whole = make_model(settings, epochs=4, loss=LossSettings(evidence="condition"))
    whole.learn_beside([further_task()])
    whole.fit(with_conditions(make_statements(270), lambda text: text.split()[0]), make_statements(60, seed=1))
    assert same(load_file(tmp_path / "resumed.safetensors"), state_of(whole))


@pytest.mark.slow
def test_two_processes_learn_what_one_does_at_equal_global_batch(settings, tmp_path):
    path = script(
        tmp_path,
        """
        losses = []
        model = make_model(settings, epochs=2, loop=LoopSettings(epochs=2, batch_size=15, parts=2, precision="fp32"),
                           loss=LossSettings(dropout=0.0, class_weight={"no": 3.0}, evidence="condition"))
        train = with_conditions(make_statements(100), lambda text: text.split()[0] if len(text) % 2 else None)
        model.learn_beside([further_task()])
        model.fit(train, report=lambda p: losses.append(p.metrics["train/loss"]))
        if os.environ.get("RANK", "0") == "0":
            print("losses", *losses)
            save_file(state_of(model), folder / f"{os.environ.get('WORLD_SIZE', '1')}.safetensors")
        """,
    )
    from safetensors.torch import load_file

    run = {"capture_output": True, "text": True, "check": True}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    one = subprocess.run([sys.executable, path], **run).stdout.split("losses")[1].split()
    two = subprocess.run([sys.executable, *launcher, path], **run).stdout.split("losses")[1].split()
    assert np.allclose(np.array(one, float), np.array(two, float), atol=1e-5)
    first, second = (load_file(tmp_path / f"{n}.safetensors") for n in (1, 2))
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


def other_task(n):
    """Like statements under the labels of another set, of which the first four rows show one each."""
    labels, statements = LabelSet(("x", "y", "z", "w")), make_statements(n, seed=7)
    label_ids = np.concatenate([np.arange(4), statements.gold[4:]])
    return Auxiliary("other", Statements(statements.texts, statements.targets, labels, label_ids))


def test_other_tasks_teach_the_encoder_and_leave_no_labels_behind(settings, tmp_path):
    few, test = make_statements(12), make_statements(60, seed=2)
    alone = make_model(settings, epochs=8).fit(few)
    beside = make_model(settings, epochs=8)
    beside.learn_beside([other_task(240)])
    beside.fit(few)
    accuracy = [(model.predict_proba(test).argmax(1) == test.gold).mean() for model in (alone, beside)]
    assert beside.predict_proba(test).shape == (60, 3)
    assert accuracy[1] >= max(accuracy[0], 0.8)
    (tmp_path / "saved").mkdir()
    beside.save(tmp_path / "saved")
    np.testing.assert_array_equal(CrossEncoder.load(tmp_path / "saved").predict_proba(test), beside.predict_proba(test))


def test_a_bundles_encoder_starts_another_label_set(settings, tmp_path):
    first = make_model(settings, epochs=3).fit(make_statements(120))
    bundle = tmp_path / "run" / "model"
    save_bundle(bundle, model=first, labels=LABELS, facts={"name": "first"})
    other = other_task(24).statements
    for source in (bundle, bundle.parent, bundle / "model" / "encoder"):
        again = make_model(EncoderSettings(name=str(source), max_tokens=32, threads=1), epochs=1).fit(other)
        assert again.encoder_digest_ != first.encoder_digest_
        assert again.predict_proba(other).shape == (24, 4)


def test_a_model_without_an_encoder_is_no_encoder(tmp_path):
    bundle = tmp_path / "run" / "model"
    save_bundle(bundle, model=Prior().fit(make_statements(12)), labels=LABELS, facts={"name": "x"})
    for source in (bundle, bundle.parent):
        with pytest.raises(ConfigError, match=r"the model in '.*' has no encoder to start from"):
            make_model(EncoderSettings(name=str(source), max_tokens=32)).fit(make_statements(12))


def test_an_empty_statement_of_which_the_tokenizer_makes_nothing_is_answered(settings):
    path = Path(settings.name) / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))
    model = make_model(settings, use_target=False).fit(make_statements(30))
    for texts in (["", "we agreed"], [""]):
        said = model.predict_proba(Statements(texts, [None] * len(texts)))
        assert np.isfinite(said).all()


def with_conditions(statements, condition):
    return replace(statements, columns={"condition": [condition(text) for text in statements.texts]})


def evidence_model(settings, **options):
    return make_model(settings, loss=LossSettings(evidence="condition"), **options)


def test_evidence_is_learned_beside_the_label_and_not_needed_to_predict(settings, tmp_path):
    train = with_conditions(make_statements(60), lambda text: text.split()[0])
    plain, marked = (make_model(settings).fit(train), evidence_model(settings).fit(train))
    assert not same(state_of(plain), state_of(marked))
    assert state_of(plain).keys() == state_of(marked).keys()
    (tmp_path / "bundle").mkdir()
    marked.save(tmp_path / "bundle")
    test = make_statements(20, seed=2)
    assert np.array_equal(CrossEncoder.load(tmp_path / "bundle").predict_proba(test), marked.predict_proba(test))


def test_without_known_evidence_nothing_changes(settings):
    train = make_statements(60)
    plain = state_of(make_model(settings).fit(train))
    assert same(plain, state_of(evidence_model(settings).fit(train)))
    unknown = with_conditions(train, lambda text: None)
    assert same(plain, state_of(evidence_model(settings).fit(unknown)))


def test_the_encoder_learns_to_mark_evidence(settings, monkeypatch):
    kept = {}
    forget = cross_encoder.keep_outputs
    monkeypatch.setattr(
        cross_encoder, "keep_outputs", lambda network, n: (kept.update(head=network.evidence), forget(network, n))
    )
    train = with_conditions(make_statements(240), lambda text: next(w for w in text.split() if w not in FILLER))
    model = make_model(settings, epochs=6, loss=LossSettings(evidence="condition")).fit(train)
    rows = tokenize(model.tokenizer_, train.texts, train.targets, evidence=train.columns["condition"])
    batch = rows.batch(range(40))
    with torch.inference_mode():
        hidden = model.network_.encoder(**encoder_inputs(batch)).last_hidden_state
        marked = kept["head"](hidden)[:, :, 0] > 0
    own = batch["statement_mask"] == 1
    assert (marked[own] == (batch["evidence"][own] == 1)).float().mean() > 0.95


def further_task(n=30, **options):
    labels = LabelSet((*LABELS, "none"))
    statements = make_statements(n, seed=5)
    return Auxiliary(
        "further labels", replace(statements, labels=labels, label_ids=np.full(n, 3)), further=True, **options
    )


def test_further_labels_are_learned_and_never_answered(settings, tmp_path):
    train, test = make_statements(60), make_statements(20, seed=2)
    plain, taught = make_model(settings).fit(train), make_model(settings)
    taught.learn_beside([further_task()])
    taught.fit(train, make_statements(20, seed=1))
    said = taught.predict_proba(test)
    assert said.shape == (20, 3)
    assert said.sum(1) == pytest.approx(np.ones(20))
    assert list(taught.labels_) == list(LABELS)
    assert not np.allclose(said, plain.predict_proba(test), atol=1e-3)
    (tmp_path / "bundle").mkdir()
    taught.save(tmp_path / "bundle")
    assert np.array_equal(CrossEncoder.load(tmp_path / "bundle").predict_proba(test), said)


def test_further_labels_share_the_softmax_and_other_tasks_have_their_own(settings, monkeypatch):
    seen = []
    monkeypatch.setattr(
        cross_encoder, "loss_terms", lambda loss, tasks: seen.append(loss_terms(loss, tasks)) or seen[-1]
    )
    model = make_model(settings, epochs=1)
    model.learn_beside([Auxiliary("other", make_statements(12, seed=4), 0.5), further_task()])
    model.fit(make_statements(24))
    assert seen[0].heads == ((0, 4), (4, 7))


def test_further_labels_left_without_a_statement_are_no_mistake(settings):
    labels = LabelSet((*LABELS, "none", "other"))
    task = further_task(10)
    task = replace(task, statements=replace(task.statements, labels=labels))
    model = make_model(settings, epochs=1)
    model.learn_beside([task])
    assert model.fit(make_statements(24)).predict_proba(make_statements(4)).shape == (4, 3)


def test_hidden_tokens_are_those_of_the_statement_and_others_at_each_step(settings, monkeypatch):
    seen = []
    loss = classification.evidence_loss
    monkeypatch.setattr(
        classification, "evidence_loss", lambda marked, inputs: seen.append(inputs) or loss(marked, inputs)
    )
    monkeypatch.setattr(cross_encoder, "mask_token", lambda tokenizer: tokenizer.token_to_id("?"))
    train = with_conditions(make_statements(16), lambda text: "")
    options = {"loop": LoopSettings(epochs=2, batch_size=16), "augment": AugmentSettings(masked=0.3)}
    model = evidence_model(settings, **options).fit(train)
    first, second = seen
    hidden = [inputs["input_ids"] == int(inputs["input_ids"].max()) for inputs in (first, second)]
    own = [inputs["statement_mask"] == 1 for inputs in (first, second)]
    for is_hidden, is_own in zip(hidden, own, strict=True):
        assert not is_hidden[~is_own].any()
        assert 0.1 < is_hidden[is_own].float().mean() < 0.5
    assert model.predict_proba(train).shape == (16, 3)


def test_an_encoder_without_a_mask_token_can_hide_nothing(settings):
    with pytest.raises(ConfigError, match="tokenizer has no mask token"):
        make_model(settings, augment=AugmentSettings(masked=0.1)).fit(make_statements(12))


def test_tokens_behind_frozen_layers_can_not_be_hidden(settings):
    with pytest.raises(ValueError, match="frozen layers are computed once"):
        make_model(settings, augment=AugmentSettings(masked=0.1), freeze=FreezeSettings(layers=1))
