"""How long a question waits: the step's own time, the batch, and waves of samples."""

import numpy as np
import pytest

from kinetics_jax.costs import chips, latency, price
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense
from kinetics_jax.shapes import presets

MODEL, CHIP = presets["qwen3-0.6b"], chips["b200"]


def cost(mode="exact", tokens=1000, **options):
    return price(MODEL, Dense(), 0, tokens, chip=CHIP, mode=mode, prefill=False, **options)


def test_it_is_the_time_of_the_steps_whatever_part_of_them_a_sample_is():
    """One chip, b sequences: weights once a step, each sequence's cache, each one's FLOPs."""
    batch, tokens = 32, 1000
    waited = latency(cost(batch=batch, tensor_parallel=1))
    terms = cost(batch=batch, tensor_parallel=1).terms
    alone = sum(
        float(t.bytes) / CHIP.hbm_bandwidth + float(t.flops) / CHIP.peak("bfloat16") for t in terms.values()
    )
    assert waited == pytest.approx(batch * alone)
    weights = float(terms["linear"].bytes) * batch / tokens
    assert waited > tokens * weights / CHIP.hbm_bandwidth  # every step reads all weights


@pytest.mark.parametrize("mode", ["exact", "calibrated"])
def test_a_larger_batch_costs_less_and_waits_longer(mode):
    small, large = (cost(mode, batch=b, tensor_parallel=1) for b in (8, 64))
    assert large.seconds < small.seconds
    assert latency(large) > latency(small)


def test_more_chips_wait_less():
    one, four = (cost("calibrated", tokens=8000, batch=32, tensor_parallel=t) for t in (1, 4))
    assert latency(four) < latency(one)


def test_samples_side_by_side_wait_once_and_beyond_the_batch_in_waves():
    priced = cost(batch=8, tensor_parallel=1)
    waits = latency(priced, np.array([1, 8, 9, 16, 17]))
    np.testing.assert_allclose(waits / latency(priced), [1, 1, 2, 2, 3])


def test_prices_without_a_batch_are_refused():
    with pytest.raises(InputError, match="latency needs a batch"):
        latency(price(MODEL, Dense(), 0, 10, chip=CHIP, mode="paper"))
