from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stancelib.errors import ConfigError
from stancelib.labels import LabelSet
from stancelib.training import loop as loops
from stancelib.training.batching import tokenize
from stancelib.training.classification import Classification, LabelledRows, run
from stancelib.training.encoders import load_network, load_tokenizer
from stancelib.training.loop import evaluation_steps, set_learning_rate, start, train
from stancelib.training.loss import LossTerms, label_weights, loss_terms, score_offsets
from stancelib.training.network import make_classifier
from stancelib.training.settings import AugmentSettings, LoopSettings, LossSettings, OptimizerSettings

from .tiny_bert import make_statements, make_tiny_encoder

PLACE = SimpleNamespace(
    num_processes=1,
    process_index=0,
    is_main_process=True,
    device=torch.device("cpu"),
    reduce=lambda tensor, how: tensor,
)
FAST = OptimizerSettings(learning_rate=1e-2, head_learning_rate=1e-2)

HEADS = ((0, 3),)


@pytest.fixture
def folder(tmp_path):
    return make_tiny_encoder(tmp_path / "enc")


def make_task(folder, *, n=48, batch_size=16, terms=None, validation=True):
    tokenizer = load_tokenizer(folder, 32)

    def rows(statements):
        return LabelledRows(tokenize(tokenizer, statements.texts, statements.targets), statements.gold)

    return Classification(
        train=rows(make_statements(n)),
        validation=rows(make_statements(30, seed=1)) if validation else None,
        terms=terms or LossTerms(np.ones(3, np.float32), np.zeros(3, np.float32), 0.0, HEADS),
        n_labels=3,
        batch_size=batch_size,
        seed=0,
    )


def make_state(folder, task, loop, optimizer=FAST):
    network = make_classifier(load_network(folder), 3, pooling="mean", dropout=None, seed=0)
    return start(network, task.n_batches, loop, optimizer, 0)


def weights_after(folder, loop, *, terms=None, optimizer=FAST):
    task = make_task(folder, batch_size=loop.batch_size, terms=terms)
    state = make_state(folder, task, loop, optimizer)
    list(train(state, task, loop, optimizer, PLACE))
    return torch.cat([weight.detach().flatten() for weight in state.weights.values()])


def test_yields_one_progress_per_evaluation_and_ends_at_the_last_step(folder):
    loop = LoopSettings(epochs=2, evaluations_per_epoch=3)
    task = make_task(folder)
    steps = [progress.step for progress in train(make_state(folder, task, loop), task, loop, FAST, PLACE)]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_evaluations_are_evenly_spread():
    assert evaluation_steps(10, 5, 2) == {3, 5, 8, 10}
    assert evaluation_steps(3, 3, 1) == {3}


def test_learning_rate_rises_then_falls_to_nearly_nothing(folder):
    loop = LoopSettings(epochs=10)
    state = make_state(folder, make_task(folder), loop)
    rates = []
    for step in range(state.n_steps):
        state.step = step
        rates.append(set_learning_rate(state, FAST))
    peak = int(np.argmax(rates))
    assert 1 <= peak <= 3
    assert rates[peak] == pytest.approx(1e-2, rel=0.05)
    assert np.all(np.diff(rates[peak + 1 :]) < 0)
    assert rates[-1] < 0.05 * 1e-2


def test_a_batch_cut_into_parts_gives_the_same_weights(folder):
    terms = LossTerms(np.array([1, 2, 5], np.float32), np.zeros(3, np.float32), 0.1, HEADS)
    loop = LoopSettings(epochs=1, precision="fp32")
    whole = weights_after(folder, loop, terms=terms)
    parts = weights_after(folder, replace(loop, parts=5), terms=terms)
    assert torch.allclose(whole, parts, atol=1e-4)
    assert not torch.allclose(whole, weights_after(folder, loop), atol=1e-3)


def test_clipping_bounds_the_gradient(folder, monkeypatch):
    norms = []
    task = make_task(folder)
    loop, optimizer = LoopSettings(epochs=1), OptimizerSettings(clip_norm=1e-3)
    state = make_state(folder, task, loop, optimizer)
    step = state.optimizer.step

    def spy():
        norms.append(float(torch.cat([weight.grad.flatten() for weight in state.weights.values()]).norm()))
        step()

    monkeypatch.setattr(state.optimizer, "step", spy)
    list(train(state, task, loop, optimizer, PLACE))
    assert max(norms) <= 1.01e-3


def test_same_seed_same_weights_whatever_the_global_random_state(folder):
    first = weights_after(folder, LoopSettings(epochs=1))
    torch.rand(7)
    assert torch.equal(first, weights_after(folder, LoopSettings(epochs=1)))


def test_overflow_in_bf16_goes_on_in_fp32_from_the_same_weights(folder):
    task = make_task(folder)
    loop = LoopSettings(epochs=1, precision="bf16")
    state = make_state(folder, task, loop)
    loss = task.loss
    task.loss = lambda network, rows: loss(network, rows) * (float("nan") if torch.is_autocast_enabled("cpu") else 1.0)
    with pytest.warns(UserWarning, match="going on in fp32"):
        list(train(state, task, loop, FAST, PLACE))
    assert state.precision == "fp32"
    expected = weights_after(folder, LoopSettings(epochs=1, precision="fp32"))
    assert torch.equal(torch.cat([weight.detach().flatten() for weight in state.weights.values()]), expected)


def test_loss_that_is_no_number_in_fp32_stops_with_advice(folder):
    task = make_task(folder)
    loop = LoopSettings(epochs=1, precision="fp32")
    loss = task.loss
    task.loss = lambda network, rows: loss(network, rows) * float("nan")
    with pytest.raises(ConfigError, match=r"step 1 of 3 is not a finite number. Lower optimizer\.learning_rate"):
        list(train(make_state(folder, task, loop), task, loop, FAST, PLACE))


def test_precision_auto_is_bf16_only_where_the_hardware_computes_in_it(folder, monkeypatch):
    task = make_task(folder)
    for fast, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(loops, "computes_in_bf16", lambda fast=fast: fast)
        assert make_state(folder, task, LoopSettings()).precision == precision


def test_a_cpu_without_amx_is_not_taken_to_be_faster_in_bf16_whatever_else_it_has(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    for amx in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx, raising=False)
        assert loops.computes_in_bf16() is amx


def test_stops_after_patience_and_restores_the_best_weights(folder):
    task = make_task(folder)
    loop = LoopSettings(epochs=20, patience=2)
    state = make_state(folder, task, loop)
    scores = iter([0.1, 0.9, 0.5, 0.6, 0.95])
    snapshots, seen = [], []

    def evaluate(network):
        snapshots.append({name: weight.detach().clone() for name, weight in network.named_parameters()})
        return {"validation/macro_f1": next(scores)}

    task.evaluate = evaluate
    run(state, task, loop=loop, optimizer=FAST, place=PLACE, report=seen.append)
    assert len(seen) == 4
    assert all(torch.equal(weight, snapshots[1][name]) for name, weight in state.weights.items())


@pytest.mark.parametrize(("score", "best"), [("macro_f1", 0), ("accuracy", 1), ("loss", 2)])
def test_the_best_evaluation_is_that_of_the_score_in_the_settings(folder, score, best):
    task = make_task(folder)
    loop = LoopSettings(epochs=3, score=score)
    state = make_state(folder, task, loop)
    numbers = {"macro_f1": [0.9, 0.1, 0.5], "accuracy": [0.1, 0.9, 0.5], "loss": [3.0, 2.0, 1.0]}
    snapshots = []

    def evaluate(network):
        snapshots.append({name: weight.detach().clone() for name, weight in network.named_parameters()})
        return {f"validation/{name}": values[len(snapshots) - 1] for name, values in numbers.items()}

    task.evaluate = evaluate
    run(state, task, loop=loop, optimizer=FAST, place=PLACE, report=lambda _: None)
    assert abs(state.best_score) == numbers[score][best]
    assert all(torch.equal(weight, snapshots[best][name]) for name, weight in state.weights.items())


@pytest.mark.parametrize("score", ["macro_f1", "accuracy", "loss"])
def test_every_score_of_the_settings_is_measured(folder, score):
    task = make_task(folder)
    assert f"validation/{score}" in task.evaluate(make_state(folder, task, LoopSettings()).network)


def test_the_running_average_is_what_is_scored_and_kept(folder):
    task = make_task(folder)
    loop, optimizer = LoopSettings(epochs=3), replace(FAST, average_decay=0.5)
    state = make_state(folder, task, loop, optimizer)
    own, scored, evaluate = [], [], task.evaluate

    def spy(network):
        scored.append({name: weight.detach().clone() for name, weight in network.named_parameters()})
        return evaluate(network)

    task.evaluate = spy
    expected = None
    for _ in train(state, task, replace(loop, evaluations_per_epoch=3), optimizer, PLACE):
        own.append({name: weight.detach().clone() for name, weight in state.weights.items()})
        share = 1 - min(0.5, (1 + state.step) / (10 + state.step))
        expected = expected or own[0]
        expected = {name: torch.lerp(expected[name], own[-1][name], share if len(own) > 1 else 0.0) for name in own[0]}
    assert len(own) == state.n_steps
    assert all(torch.allclose(scored[-1][name], expected[name], atol=1e-6) for name in expected)
    assert not any(torch.equal(scored[-1][name], own[-1][name]) for name in own[0] if own[0][name].ndim > 1)
    state.restore_best()
    assert all(torch.equal(weight, scored[-1][name]) for name, weight in state.weights.items())


def test_without_validation_the_last_weights_stay(folder):
    task = make_task(folder, validation=False)
    loop = LoopSettings(epochs=2, patience=1)
    state = make_state(folder, task, loop)
    run(state, task, loop=loop, optimizer=FAST, place=PLACE, report=lambda _: None)
    assert state.step == state.n_steps
    assert state.best_score is None


def test_balanced_weights_make_every_label_count_the_same():
    labels = LabelSet(("a", "b"))
    gold = np.array([0, 0, 0, 1])
    weights = label_weights(LossSettings(class_weight="balanced"), gold, labels)
    assert np.bincount(gold) @ np.diag(weights) == pytest.approx([2, 2])
    assert label_weights(LossSettings(class_weight={"b": 3.0}), gold, labels).tolist() == [1, 3]
    with pytest.raises(ConfigError, match="unknown label 'c'"):
        label_weights(LossSettings(class_weight={"c": 3.0}), gold, labels)


def test_logit_adjustment_is_the_log_frequency():
    offsets = score_offsets(LossSettings(logit_adjustment=2.0), np.array([0, 0, 0, 1]), LabelSet(("a", "b")))
    assert offsets == pytest.approx([2 * np.log(0.75), 2 * np.log(0.25)])


def test_label_smoothing_and_offsets_reach_the_loss(folder):
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    losses = []
    for terms in (
        LossTerms(ones, zeros, 0.0, HEADS),
        LossTerms(ones, zeros, 0.3, HEADS),
        LossTerms(ones, ones * [5, 0, 0], 0.0, HEADS),
    ):
        task = make_task(
            folder, terms=LossTerms(terms.weights, terms.offsets.astype(np.float32), terms.smoothing, HEADS)
        )
        network = make_classifier(load_network(folder), 3, pooling="mean", dropout=None, seed=0).eval()
        losses.append(task.loss(network, np.array([0, 1])).item())
    assert len(set(losses)) == 3


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (LoopSettings, {"epochs": 0}),
        (LoopSettings, {"parts": 17}),
        (LoopSettings, {"precision": "fp61"}),
        (LoopSettings, {"score": "f_avg"}),
        (OptimizerSettings, {"learning_rate": 0}),
        (OptimizerSettings, {"warmup_fraction": 1.0}),
        (OptimizerSettings, {"layer_decay": 1.1}),
        (OptimizerSettings, {"average_decay": 1.0}),
        (AugmentSettings, {"joined": 1.5}),
        (AugmentSettings, {"contrasts": -1}),
        (LossSettings, {"label_smoothing": 1.0}),
        (LossSettings, {"logit_adjustment": 1.0, "class_weight": "balanced"}),
    ],
)
def test_settings_out_of_range_are_refused(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(**options)


def test_a_rows_loss_is_over_the_labels_of_its_own_task_alone(folder):
    terms = LossTerms(np.ones(5, np.float32), np.zeros(5, np.float32), 0.0, ((0, 3), (3, 5)))

    task = make_task(folder, terms=terms)
    task.train = LabelledRows(task.train.tokens, np.where(np.arange(len(task.train.label_ids)) % 2, 4, 1))

    class Fixed(torch.nn.Module):
        scores = torch.tensor([1.0, 2.0, 0.5, -1.0, 3.0])

        def forward(self, inputs):
            return self.scores.repeat(len(inputs["input_ids"]), 1)

    task._inputs = lambda network, tokens, rows: tokens.batch(rows)
    rows = np.array([0, 1])
    expected = -(Fixed.scores[:3].log_softmax(0)[1] + Fixed.scores[3:].log_softmax(0)[1])
    assert task.loss(Fixed(), rows).item() == pytest.approx(expected.item(), abs=1e-6)
    assert task.predict(Fixed(), task.train.tokens).shape[1] == 3


def test_tasks_stand_side_by_side_and_weigh_what_they_were_given():
    main, other = LabelSet(("a", "b")), LabelSet(("x", "y", "z"))
    loss = LossSettings(class_weight={"b": 3.0}, label_smoothing=0.1)
    terms = loss_terms(loss, [(np.array([0, 1]), main, 1.0), (np.array([0, 1, 2]), other, 0.5)])
    assert terms.heads == ((0, 2), (2, 5))
    assert terms.weights.tolist() == [1.0, 3.0, 0.5, 0.5, 0.5]
