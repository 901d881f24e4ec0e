"""Break-even: the last context at which sparse attention is slower is just below it, by brute force."""

import numpy as np
import pytest

from kinetics_jax.costs import Serving, break_even, chips
from kinetics_jax.costs.break_even import attention_seconds
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, SlidingWindow
from kinetics_jax.shapes import presets

MODEL, CHIP, SPARSE = presets["qwen3-8b"], chips["b200"], BlockTopK(16, 64, aligned=True)
SERVING = Serving(tensor_parallel=1)


def saved(contexts, batch, policy=SPARSE, chip=CHIP):
    dense, sparse = (
        attention_seconds(MODEL, one, chip, contexts, batch=batch, serving=SERVING)
        for one in (Dense(), policy)
    )
    return dense - sparse


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_it_is_the_token_after_the_last_that_is_slower(batch):
    every = np.arange(1, 30_001)
    (found,) = break_even(MODEL, SPARSE, CHIP, [batch], serving=SERVING, longest=30_000)
    assert found == every[np.flatnonzero(saved(every, batch) <= 0)[-1]] + 1
    assert saved(np.array([found]), batch) > 0


def test_larger_batches_break_even_earlier_and_never_below_the_budget():
    found = break_even(MODEL, SPARSE, CHIP, [1, 2, 8, 64, 1024])
    assert (np.diff(found) < 0).all()
    assert found[-1] > SPARSE.kv_budget


def test_it_is_never_where_the_longest_context_is_too_short():
    short = break_even(MODEL, SPARSE, CHIP, [1, 64], longest=4096)
    assert np.isinf(short[0])
    assert short[1] < 4096


def test_a_policy_that_launches_nothing_pays_as_soon_as_it_leaves_something_out():
    window = SlidingWindow(1024)
    (found,) = break_even(MODEL, window, CHIP, [1])
    assert found <= window.kv_budget + 16


def test_a_step_of_one_sequence_is_the_floors_and_the_reads():
    """Twice the context costs as much more as it reads more: the floor is paid once."""
    one, two, four = attention_seconds(
        MODEL, Dense(), CHIP, np.array([10_000, 20_000, 40_000]), batch=1, serving=SERVING
    )
    assert four - two == pytest.approx(2 * (two - one), rel=1e-6)
    assert 2 * one > two


def test_dense_and_unmeasured_chips_are_refused():
    with pytest.raises(InputError, match="sparse policy"):
        break_even(MODEL, Dense(), CHIP, [1])
    with pytest.raises(InputError, match="tpu_v6e"):
        break_even(MODEL, SPARSE, chips["tpu_v6e"], [1])
    with pytest.raises(InputError, match="only whole deployments"):
        break_even(MODEL, SPARSE, chips["tpu7x"], [1])
