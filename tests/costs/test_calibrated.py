"""Calibrated prices: as sums of kernels by hand, above the ideal, monotone, with intervals that nest."""

import dataclasses

import numpy as np
import pytest

from kinetics_jax.chips import chips
from kinetics_jax.costs import CalibratedCost, kernel_seconds, price
from kinetics_jax.costs.efficiency import gemm
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, Quest
from kinetics_jax.shapes import presets

KERNELS = ("a100", "h100", "h200", "b200", "gb200", "b300")


def requests(count, seed):
    rng = np.random.default_rng(seed)
    models = ["qwen3-0.6b", "qwen3-8b", "qwen3-32b", "qwen3-30b-a3b", "qwen3-235b-a22b", "qwen2.5-7b"]
    for _ in range(count):
        chip = str(rng.choice(KERNELS))
        dtype = (
            "bfloat16"
            if chip == "a100"
            else str(rng.choice(["bfloat16", *sorted({"fp8", "int8"} & set(chips[chip].flops))]))
        )
        serving = {
            "tensor_parallel": int(rng.choice([1, 2, 4, 8])),
            "batch": float(2 ** rng.uniform(0, 12)),
            "weight_dtype": dtype,
            "compute_dtype": dtype,
            "kv_dtype": "bfloat16" if chip == "a100" else str(rng.choice(["bfloat16", "fp8"])),
            "share_prefix": bool(rng.integers(2)),
        }
        policy = [Dense(), BlockTopK(16, 64), BlockTopK(64, 16), Quest(16, 32)][rng.integers(4)]
        lengths = [int(2 ** rng.uniform(0, 15)), int(2 ** rng.uniform(0, 15)), int(2 ** rng.uniform(0, 6))]
        yield str(rng.choice(models)), policy, lengths, {"chip": chip, **serving}


def test_one_token_on_one_chip_is_the_sum_of_its_kernels():
    model, chip = presets["qwen3-8b"], chips["h100"]
    cost = price(
        model, Dense(), 100, 1, chip=chip, mode="calibrated", batch=1, tensor_parallel=1, prefill=False
    )
    calls = [(36, 6144, 4096), (36, 4096, 4096), (36, 24576, 4096), (36, 4096, 12288), (1, 151936, 4096)]
    linear = sum(n * float(gemm(chip, 1, out, k, warm=False)) for n, out, k in calls)
    assert cost.seconds_of("linear") == pytest.approx(linear, rel=1e-12)
    cold = dataclasses.replace(chip, l2_bytes=0.0)
    call = kernel_seconds(
        "decode_attention", cold, q_heads=32, kv_heads=8, batch=1, context=100, kv_dtype="bf16"
    )
    assert cost.seconds_of("attention") == pytest.approx(36 * float(call), rel=1e-12)
    assert cost.terms["attention"].calls == 36
    assert cost.terms["linear"].calls == 4 * 36 + 1
    assert cost.seconds_of("host") == pytest.approx(chip.reached("host", "any").floor)
    assert cost.seconds == pytest.approx(sum(float(cost.seconds_of(term)) for term in cost.times))


def test_a_step_is_shared_by_its_batch_and_held_by_all_chips_of_the_copy():
    kw = {"chip": "h100", "mode": "calibrated", "prefill": False}
    few = price("qwen3-8b", Dense(), 100, 10, batch=4, tensor_parallel=1, **kw)
    assert few.seconds_of("host") * 4 == pytest.approx(10 * 2e-4)
    two = price("qwen3-8b", Dense(), 100, 10, batch=4, tensor_parallel=2, **kw)
    assert two.seconds_of("host") == pytest.approx(2 * few.seconds_of("host"))
    reduced = kernel_seconds("all_reduce", "h100", gpus=2, bytes=4 * 4096 * 2)
    assert two.seconds_of("collectives") == pytest.approx(10 * 72 * float(reduced) * 2 / 4)


def test_never_below_the_ideal_mode_and_the_same_eflops():
    for model, policy, lengths, serving in requests(300, seed=1):
        ideal = price(model, policy, *lengths, **serving)
        real = price(model, policy, *lengths, mode="calibrated", **serving)
        assert isinstance(real, CalibratedCost)
        assert real.seconds >= ideal.seconds, (model, policy, lengths, serving)
        assert real.eflops == ideal.eflops
        assert real.memory_bytes == ideal.memory_bytes


def test_monotone_in_tokens_trials_and_batch():
    for model, policy, (prompt, generated, trials), serving in requests(60, seed=2):
        kw = {**serving, "mode": "calibrated"}
        steps = [price(model, policy, prompt, generated * n, trials, **kw).seconds for n in (1, 2, 3, 5)]
        assert np.all(np.diff(steps) > 0)
        samples = [price(model, policy, prompt, generated, trials * n, **kw).seconds for n in (1, 2, 3)]
        assert np.all(np.diff(samples) > 0)
        # A larger batch shares steps: a request costs no more, and its steps take no less.
        batches = np.array([1.0, 2.0, 8.0, 64.0, 512.0])
        each = [
            float(price(model, policy, prompt, generated, trials, **{**kw, "batch": b}).seconds)
            for b in batches
        ]
        assert np.all(np.diff(each) <= 1e-12 * each[0]), (model, each)
        alone = [
            price(model, policy, prompt, 1, 1, **{**kw, "batch": b, "prefill": False}).seconds * b
            for b in batches
        ]
        assert np.all(np.diff(alone) > 0)


def test_intervals_nest_and_hold_the_price():
    for model, policy, lengths, serving in requests(40, seed=3):
        cost = price(model, policy, *lengths, mode="calibrated", **serving)
        ends = [cost.interval(level) for level in (0.5, 0.8, 0.9, 0.95)]
        lows, highs = zip(*ends, strict=True)
        assert list(lows) == sorted(lows, reverse=True)
        assert list(highs) == sorted(highs)
        assert lows[-1] < cost.seconds < highs[-1]


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5, 1, "0.9", float("nan")])
def test_levels_outside_zero_and_one_are_refused(level):
    cost = price("qwen3-8b", Dense(), 100, 10, chip="h100", mode="calibrated")
    with pytest.raises(InputError, match="the level must lie between 0 and 1"):
        cost.interval(level)


def test_arrays_are_as_their_elements_whatever_the_batch():
    rng = np.random.default_rng(4)
    generated = rng.integers(1, 30_000, (5, 40))
    prompts = rng.integers(1, 900, (5, 1))
    for batch in (None, 48, 2.5):
        kw = {"chip": "h100", "mode": "calibrated", "batch": batch, "tensor_parallel": 2}
        together = price("qwen3-30b-a3b", BlockTopK(16, 64), prompts, generated, 3, **kw)
        for at in ((0, 0), (2, 17), (4, 39)):
            alone = price(
                "qwen3-30b-a3b", BlockTopK(16, 64), int(prompts[at[0], 0]), int(generated[at]), 3, **kw
            )
            assert together.seconds[at] == pytest.approx(float(alone.seconds), rel=1e-12)
            assert together.interval(0.9)[1][at] == pytest.approx(float(alone.interval(0.9)[1]), rel=1e-12)


def test_sparse_attention_saves_less_at_small_batches_than_the_ideal_says():
    def gain(mode, batch):
        kw = {"chip": "h100", "mode": mode, "batch": batch, "tensor_parallel": 1, "prefill": False}
        dense, sparse = (
            price("qwen3-8b", policy, 32_000, 64, 1, **kw).seconds for policy in (Dense(), BlockTopK(16, 64))
        )
        return float(dense / sparse)

    assert 1 < gain("calibrated", 1) < gain("exact", 1)
    assert gain("calibrated", 32) > 1.5
    short = {"chip": "h100", "mode": "calibrated", "batch": 1, "tensor_parallel": 1, "prefill": False}
    dense = price("qwen3-8b", Dense(), 2000, 64, 1, **short).seconds
    assert price("qwen3-8b", BlockTopK(16, 64), 2000, 64, 1, **short).seconds > dense


def test_launches_that_choose_are_priced_and_labelled_assumed():
    cost = price("qwen3-8b", BlockTopK(16, 64), 20_000, 100, chip="b200", mode="calibrated", batch=1)
    dense = price("qwen3-8b", Dense(), 20_000, 100, chip="b200", mode="calibrated", batch=1)
    assert cost.terms["search"].calls == pytest.approx(2 * 35 * 100)
    assert "search" in cost.calibration.assumed
    assert "search" not in dense.calibration.assumed
    assert dense.terms["search"].calls == 0


@pytest.mark.parametrize(
    ("chip", "options", "said"),
    [
        ("h100", {"overlap": "max"}, "overlap must be 'sum'"),
        ("h100", {"intensity": 100.0}, "intensity left out"),
        ("tpu_v6e", {}, "no gemm kernel"),
        ("tpu_v4", {}, 'price with mode="exact"'),
        ("h100", {"terms": "paper"}, "terms="),
    ],
)
def test_what_calibrated_prices_do_not_read_is_refused(chip, options, said):
    with pytest.raises(InputError, match=said):
        price("qwen3-8b", Dense(), 100, 10, chip=chip, mode="calibrated", **options)


def test_ideal_prices_say_how_far_they_were_off():
    ideal, real = (price("qwen3-8b", Dense(), 100, 10, chip="h100", mode=m) for m in ("exact", "calibrated"))
    assert ideal.error > 2 * real.error > 0
    assert ideal.calibration.bias < -0.3, "the data sheet is always too fast"
    _low, high = ideal.interval(0.9)
    assert high > 2 * ideal.seconds
    assert "public deployments this model's time per token was off by" in real.calibration.sentence
    paper = price("qwen3-8b", Dense(), 100, 10, chip="h100", mode="paper")
    assert np.isnan(paper.error)
    assert "no measurement" in paper.calibration.sentence
    with pytest.raises(InputError, match="held against no deployment"):
        paper.interval(0.9)


def test_a_tpu_with_whole_deployments_only_is_priced_by_their_factor():
    kw = {
        "weight_dtype": "int8",
        "kv_dtype": "int8",
        "compute_dtype": "int8",
        "tensor_parallel": 16,
        "batch": 8,
    }
    ideal, real = (
        price("qwen3-32b", Dense(), 2048, 1, chip="tpu_v5e", mode=mode, **kw)
        for mode in ("exact", "calibrated")
    )
    assert real.seconds == pytest.approx(float(ideal.seconds), rel=1e-12), (
        "static decode: the data sheet, factor 1"
    )
    assert real.calibration.rows == 24
    low, high = real.interval(0.9)
    assert low < real.seconds < high
    few = price("qwen3-8b", Dense(), 100, 10, chip="tpu7x", mode="calibrated")
    assert few.calibration.rows == 4, "its own deployments, not those of GPUs"
    assert few.error > 0.2
