"""Batches over time: continuous batching against a simulation step by step, and its price by hand."""

import numpy as np
import pytest

from kinetics_jax.costs import Trajectory, continuous_batching, price, price_along
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense


def simulated(lengths, slots):
    """Step by step: each step, free slots are filled in order, then every slot decodes one token."""
    waiting, left, busy = list(lengths), [], []
    while waiting or left:
        while waiting and len(left) < slots:
            left.append(waiting.pop(0))
        busy.append(len(left))
        left = [one - 1 for one in left if one > 1]
    return busy


def test_continuous_batching_is_the_simulation_of_it():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lengths = rng.integers(1, 60, rng.integers(1, 40)).tolist()
        slots = int(rng.integers(1, 12))
        found = continuous_batching(lengths, slots)
        assert found == Trajectory.of_counts(simulated(lengths, slots))
        assert found.tokens == sum(lengths)
        assert max(found.steps) <= slots


def test_preempted_tokens_are_decoded_again():
    again = continuous_batching([10, 10], 2, recomputed=[0, 5])
    assert again.steps == {2: 10, 1: 5}


def test_the_price_is_the_mean_over_batches_by_their_tokens():
    trajectory = Trajectory({8: 100, 2: 50})
    shares = {8: 800 / 900, 2: 100 / 900}
    for mode in ("exact", "calibrated"):
        for policy in (Dense(), BlockTopK(16, 64)):
            kw = {"chip": "h100", "mode": mode, "tensor_parallel": 2}
            asked = ("qwen3-30b-a3b", policy, np.array([100, 5000]), np.array([400, 9000]), 4)
            along = price_along(trajectory, *asked, **kw)
            parts = {size: price(*asked, batch=size, **kw) for size in shares}
            expected = sum(share * parts[size].seconds for size, share in shares.items())
            np.testing.assert_allclose(along.seconds, expected, rtol=1e-12)
            np.testing.assert_allclose(
                along.eflops, sum(share * parts[size].eflops for size, share in shares.items()), rtol=1e-12
            )
            assert along.batch == pytest.approx(900 / 150)
    low, high = along.interval(0.9)
    assert np.all(low < along.seconds)
    assert np.all(along.seconds < high)


def test_one_batch_is_that_batch():
    kw = {"chip": "b200", "mode": "calibrated"}
    along = price_along(Trajectory({16: 7}), "qwen3-8b", Dense(), 100, 900, 2, **kw)
    assert along.seconds == pytest.approx(
        float(price("qwen3-8b", Dense(), 100, 900, 2, batch=16, **kw).seconds)
    )


def test_a_drain_is_dearer_than_its_full_batch():
    lengths = np.random.default_rng(1).integers(500, 8000, 64)
    kw = {"chip": "h100", "mode": "calibrated", "tensor_parallel": 1}
    asked = ("qwen3-8b", Dense(), 200, 4000)
    full = price(*asked, batch=64, **kw).seconds
    drained = price_along(continuous_batching(lengths, 64), *asked, **kw).seconds
    assert drained > 1.2 * full


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Trajectory({}), "at least one step"),
        (lambda: Trajectory({0: 3}), "sequences of a step"),
        (lambda: Trajectory({2: 0}), "steps of 2 sequences"),
        (lambda: Trajectory.of_counts([0, 0]), "at least one step"),
        (lambda: continuous_batching([], 3), "at least one"),
        (lambda: continuous_batching([1.5], 3), "whole numbers"),
        (lambda: continuous_batching([5], 0), "slots"),
        (
            lambda: price_along(Trajectory({2: 1}), "qwen3-8b", Dense(), 1, 1, chip="h100", batch=2),
            "the trajectory says it",
        ),
    ],
)
def test_what_is_no_trajectory_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
