import tracemalloc

import numpy as np
import pytest

from stancelib.training.pairs import PairSampler, PairSettings


def sampler(label_ids, targets=None, **settings):
    targets = targets or [None] * len(label_ids)
    return PairSampler(label_ids=np.array(label_ids), targets=targets, settings=PairSettings(**settings), seed=0)


def test_half_of_the_pairs_agree_and_every_label_comes_as_often():
    gold = np.array([0] * 90 + [1] * 9 + [2])
    pairs = sampler(gold).pairs(0, 3000)
    assert (gold[pairs[:, 0]] == gold[pairs[:, 1]]).mean() == 0.5
    assert np.bincount(gold[pairs[:, 0]]) / 3000 == pytest.approx([1 / 3] * 3, abs=0.05)


def test_agreeing_pairs_are_two_different_rows_where_there_are_two():
    pairs = sampler([0, 0, 1, 1]).pairs(0, 400)[::2]
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert np.array_equal(*sampler([0, 1]).pairs(0, 10)[::2].T)


def test_differing_pairs_share_their_target_as_often_as_asked():
    gold, targets = [0, 1] * 50, [target for i in range(50) for target in [f"target {i}"] * 2]

    def shared(fraction):
        pairs = sampler(gold, targets, same_target_fraction=fraction).pairs(0, 800)[1::2]
        return np.mean([targets[first] == targets[second] for first, second in pairs])

    assert shared(1.0) == 1.0
    assert shared(0.0) < 0.1
    assert shared(0.5) == pytest.approx(0.5, abs=0.1)


def test_target_with_one_label_still_gets_its_pairs():
    pairs = sampler([0, 0, 1, 1], ["a", "a", "b", "b"], same_target_fraction=1.0).pairs(0, 40)[1::2]
    assert ((pairs[:, 0] < 2) != (pairs[:, 1] < 2)).all()


def test_pairs_are_a_function_of_the_step():
    one = sampler([0, 1, 2] * 9)
    assert np.array_equal(one.pairs(3, 16), one.pairs(3, 16))
    assert not np.array_equal(one.pairs(3, 16), one.pairs(4, 16))


def test_memory_does_not_grow_with_the_square_of_the_rows():
    def peak_bytes(n):
        gold = np.arange(n) % 3
        tracemalloc.start()
        made = sampler(gold, [f"target {i % 50}" for i in range(n)])
        for step in range(20):
            made.pairs(step, 16)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(20_000) < 20 * peak_bytes(2_000)
    assert peak_bytes(20_000) < 10_000_000


@pytest.mark.parametrize("options", [{"per_statement": 0}, {"at_most": 0}, {"same_target_fraction": 1.1}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        PairSettings(**options)
