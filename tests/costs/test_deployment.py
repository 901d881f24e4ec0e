"""The chosen deployment: the cheapest of all that fit, by brute force; never dearer with smaller weights."""

import dataclasses

import numpy as np
import pytest

from kinetics_jax.costs import Requests, Serving, cheapest_deployment, chips, deployed, feasible_batch, price
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense
from kinetics_jax.shapes import presets
from kinetics_jax.shapes.mesh import misfit

CHIPS = ("b200", "h100", "mi300x", "tpu_v5e", "gb200")


POLICIES = (Dense(), BlockTopK(16, 64, dense_layers=0))


def requests(model):
    """Short and long samples, as far as the model's context goes."""
    lengths = np.minimum([500, 4000, 30_000], model.max_context - 60)
    return [Requests(policy, 50, lengths) for policy in POLICIES]


def brute_force(model, asked, chip, **given):
    """Chips of a copy → chip-seconds, by ``price`` alone, of every power of two that holds the requests."""
    longest = max(float(np.max(one.context)) for one in asked)
    found, count = {}, 1
    while count <= min(chip.scale_up_world, 256):
        splits = [w for w in (2**i for i in range(9)) if w <= count]
        divides = any(not misfit(model, model=w, expert=count // w) for w in splits)
        serving = Serving(**given)
        if divides and feasible_batch(model, chip, longest, num_chips=count, serving=serving) >= 1:
            costs = [
                price(model, one.policy, 50, one.generated_tokens, chip=chip, tensor_parallel=count, **given)
                for one in asked
            ]
            found[count] = sum(float(cost.seconds.sum()) for cost in costs)
        count *= 2
    return found


@pytest.mark.parametrize("name", sorted(presets))
def test_nothing_that_fits_is_cheaper(name):
    model = presets[name]
    asked = requests(model)
    for chip in (chips[name] for name in CHIPS):
        every = brute_force(model, asked, chip)
        if not every:
            with pytest.raises(InputError, match="does not fit") as caught:
                cheapest_deployment(model, asked, chip)
            assert "\n" not in str(caught.value)
            continue
        found = cheapest_deployment(model, asked, chip)
        assert found.chip_seconds == min(every.values()) == every[found.num_chips], chip.name
        assert found.num_chips == min(c for c, s in every.items() if s == found.chip_seconds)
        assert found.least_batch <= found.batch <= found.most_batch


@pytest.mark.parametrize("name", ["qwen3-0.6b", "qwen3-32b", "qwen3-235b-a22b", "r1-distill-qwen-7b"])
@pytest.mark.parametrize("chip", ["b200", "tpu_v5e", "h100"])
def test_smaller_weights_and_cache_are_never_dearer(name, chip):
    model, asked = presets[name], requests(presets[name])
    try:
        whole = cheapest_deployment(model, asked, chips[chip])
    except InputError:
        pytest.skip("does not fit in BF16")
    for fields in (
        {"weight_dtype": "int8"},
        {"kv_dtype": "int8"},
        {"weight_dtype": "fp8", "kv_dtype": "fp8"},
    ):
        small = cheapest_deployment(model, asked, chips[chip], serving=Serving(**fields))
        assert small.chip_seconds < whole.chip_seconds, fields


def test_the_rule_of_price_picks_fewer_chips_for_int8_and_pays_more():
    """What laws were priced by before: kept for ``price``, and not for a choice."""
    model, chip = presets["qwen3-32b"], chips["h100"]
    asked = [Requests(Dense(), 200, np.array([2000, 30_000]))]
    whole, small = (
        deployed(model, asked, chip, Serving(weight_dtype=dtype), rule="fewest_chips")
        for dtype in ("bfloat16", "int8")
    )
    assert small.num_chips < whole.num_chips
    assert small.chip_seconds > whole.chip_seconds
    assert cheapest_deployment(model, asked, chip).chip_seconds < whole.chip_seconds / 2


def test_the_batch_reads_the_weights_as_often_as_the_batches_of_all_samples():
    model, chip = presets["qwen3-8b"], chips["b200"]
    lengths = np.array([300, 2000, 9000, 30_000])
    found = cheapest_deployment(model, [Requests(Dense(), 100, lengths)], chip)
    fields = {"chip": chip, "tensor_parallel": found.num_chips}
    each = price(model, Dense(), 100, lengths, **fields).terms["linear"].bytes.sum()
    one = price(model, Dense(), 100, lengths, **fields, batch=found.batch).terms["linear"].bytes.sum()
    assert one == pytest.approx(each, rel=1e-12)
    assert 0 < found.peak_share < 1


def test_a_given_batch_must_fit_and_takes_more_chips():
    model, chip, asked = presets["qwen3-32b"], chips["h100"], [Requests(Dense(), 100, np.array([8000]))]
    few = cheapest_deployment(model, asked, chip, serving=Serving(batch=1))
    many = cheapest_deployment(model, asked, chip, serving=Serving(batch=200))
    assert few.num_chips < many.num_chips
    assert (few.batch, many.batch) == (1, 200)
    with pytest.raises(InputError, match=r"does not fit.*100,000 sequences of the mean context"):
        cheapest_deployment(model, asked, chip, serving=Serving(batch=100_000))
    with pytest.raises(InputError, match="links at most 8 chips"):
        cheapest_deployment(model, asked, chip, serving=Serving(tensor_parallel=16))
    with pytest.raises(InputError, match="model=3 does not divide its 64 query heads"):
        cheapest_deployment(model, asked, chip, serving=Serving(tensor_parallel=3))
    with pytest.raises(InputError, match=r"on 1 × h100"):
        cheapest_deployment(model, asked, chip, serving=Serving(tensor_parallel=1, weight_dtype="float32"))


def test_nothing_asked_has_no_deployment():
    for asked in ([], [Requests(Dense(), 10, np.array([], int))]):
        with pytest.raises(InputError, match="give at least one"):
            cheapest_deployment(presets["qwen3-8b"], asked, chips["b200"])


def test_occupancy_and_pages_change_the_batch():
    model, chip = presets["qwen3-8b"], chips["b200"]
    ask = {"chip": chip, "tensor_parallel": 1}
    whole = price(model, Dense(), 1, 1000, **ask)
    half = price(model, Dense(), 1, 1000, **ask, occupancy=0.5)
    assert half.batch == whole.batch // 2
    assert price(model, Dense(), 1, 1000, **ask, occupancy=1e-9).batch == 1
    paged = price(model, Dense(), 1, 1000, **ask, page_size=1024)
    assert paged.batch == price(model, Dense(), 1, 1023, **ask).batch < whole.batch
    for field, value in (("occupancy", 0), ("occupancy", 1.5), ("page_size", 0), ("page_size", 2.5)):
        with pytest.raises(InputError, match=field):
            Serving(**{field: value})


def test_a_tie_goes_to_fewer_chips():
    free = dataclasses.replace(chips["b200"], link_bandwidth=np.inf)
    model = presets["tiny-dense"]
    found = cheapest_deployment(
        model, [Requests(Dense(), 10, np.array([50]))], free, serving=Serving(batch=4)
    )
    assert found.num_chips == 1
