"""Seconds of one kernel: the forms, by hand; what they must obey; and what is refused."""

import dataclasses

import numpy as np
import pytest

from kinetics_jax.chips import Chip, chips, get_chip
from kinetics_jax.chips.efficiency import Efficiency, measured
from kinetics_jax.costs import kernel_efficiency, kernel_seconds
from kinetics_jax.errors import InputError

MEASURED = [name for name in measured() if name in chips and "gemm" in measured()[name]]
SHAPES = {
    "gemm": {"m": 64, "n": 4096, "k": 8192, "dtype": "bf16"},
    "moe": {"tokens": 64, "hidden": 2048, "inter": 768, "topk": 8, "experts": 128, "dtype": "bf16"},
    "decode_attention": {"q_heads": 32, "kv_heads": 8, "batch": 16, "context": 4096, "kv_dtype": "bf16"},
    "prefill_attention": {"q_heads": 32, "kv_heads": 8, "batch": 2, "tokens": 2048, "kv_dtype": "bf16"},
    "all_reduce": {"gpus": 8, "bytes": 1 << 20},
}
GROWS = {
    "gemm": ("m", "n", "k"),
    "moe": ("tokens", "hidden", "inter", "topk", "experts"),
    "decode_attention": ("q_heads", "kv_heads", "batch", "context"),
    "prefill_attention": ("q_heads", "kv_heads", "batch", "tokens"),
    "all_reduce": ("gpus", "bytes"),
}
MINE = Chip(
    name="mine",
    flops={"bf16": 1e15},
    hbm_bytes=1e11,
    hbm_bandwidth=1e12,
    link_bandwidth=1e11,
    l2_bytes=1e6,
    efficiency={
        "gemm": {"bf16": Efficiency(floor=1e-6, per_k=1e-9, compute=0.5, bandwidth=0.8)},
        "moe": {"bf16": Efficiency(floor=3e-6, per_row=2.0, compute=0.5, bandwidth=0.5, skew_flops=2.0)},
        "decode_attention": {"bf16": Efficiency(floor=2e-6, bandwidth=0.5, cached=2.0, cached_span=0.5)},
        "prefill_attention": {"bf16": Efficiency(floor=5e-6, per_token=1e-9, compute=0.25, bandwidth=0.5)},
        "all_reduce": {"any": Efficiency(floor=4e-6, per_peer=1e-6, bandwidth=0.5)},
    },
)


@pytest.mark.parametrize(
    ("op", "shape", "seconds"),
    [
        # √(flops² + bytes²): 2·16·1024·512 / .5e15 and (2·512·1024 + 2·16·512 + 2·16·1024) / .8e12
        (
            "gemm",
            {"m": 16, "n": 1024, "k": 512, "dtype": "bf16"},
            1e-6 + 512e-9 + np.hypot(2 * 16 * 1024 * 512 / 0.5e15, (1048576 + 16384 + 32768) / 0.8e12),
        ),
        # Every expert is touched by one token that takes all 4: 4·3·64·32 weights of 2 bytes
        (
            "moe",
            {"tokens": 1, "hidden": 64, "inter": 32, "topk": 4, "experts": 4, "dtype": "bf16"},
            3e-6
            + ((6 * 4 * 64 * 32 / 0.5e15) ** 1.5 + (4 * 3 * 64 * 32 * 2 / 0.5e12) ** 1.5) ** (1 / 1.5)
            + 2 * 4 * 64 * 2 / 1e12,
        ),
        # 8 MB do not stay in a cache of 1 MB (1/(1 + 16⁴) of them do)
        (
            "decode_attention",
            {"q_heads": 4, "kv_heads": 2, "batch": 8, "context": 1024, "kv_dtype": "bfloat16"},
            2e-6
            + 4 * 8 * 1024 * 4 * 128 / 1e15
            + 8 * 1024 * 2 * 256 * 2 / 1e12 * (2 - 1.5 / (1 + (8 * 1024 * 2 * 256 * 2 / 5e5) ** 4)),
        ),
        (
            "prefill_attention",
            {"q_heads": 4, "kv_heads": 2, "batch": 1, "tokens": 512, "kv_dtype": "bf16"},
            5e-6 + 512e-9 + 2 * 4 * 128 * 512**2 / 0.25e15 + 512 * 256 * 12 / 0.5e12,
        ),
        ("all_reduce", {"gpus": 4, "bytes": 1e6}, 4e-6 + 3e-6 + 2 * 3 / 4 * 1e6 / 0.5e11),
        ("all_reduce", {"gpus": 1, "bytes": 1e6}, 0.0),
    ],
)
def test_forms_by_hand(op, shape, seconds):
    assert kernel_seconds(op, MINE, **shape) == pytest.approx(seconds, rel=1e-12)


def test_a_skewed_router_costs_more_flops_and_never_beats_the_data_sheet():
    shape = SHAPES["moe"] | {"tokens": 4096}
    balanced = kernel_seconds("moe", MINE, **shape)
    assert kernel_seconds("moe", MINE, **shape, balanced=False) > balanced
    few = dataclasses.replace(MINE.efficiency["moe"]["bf16"], skew_bytes=0.1, bandwidth=1.0, skew_flops=1.0)
    chip = dataclasses.replace(MINE, efficiency={**MINE.efficiency, "moe": {"bf16": few}})
    assert kernel_seconds("moe", chip, **shape, balanced=False) == kernel_seconds("moe", chip, **shape)


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("op", SHAPES)
def test_more_of_anything_takes_no_less(op, name):
    if op not in measured()[name]:
        pytest.skip(f"no {op} was measured on {name}")
    rng = np.random.default_rng(hash_of(op, name))
    for _ in range(20):
        shape = SHAPES[op] | {
            key: int(SHAPES[op][key] * 2 ** rng.uniform(-2, 2)) or 1 for key in GROWS[op] if key != "topk"
        }
        for key in GROWS[op]:
            if key in ("topk", "experts"):
                continue
            steps = [shape | {key: int(shape[key] * factor)} for factor in (1, 1.5, 2, 4, 8)]
            seconds = [float(kernel_seconds(op, name, **one)) for one in steps]
            # What leaves the cache slows all that is read, so that the rule holds there too.
            assert sorted(seconds) == pytest.approx(seconds, rel=1e-12), (op, name, key, shape)


def hash_of(*words: str) -> int:
    return sum(ord(letter) for letter in "".join(words))


@pytest.mark.parametrize("name", MEASURED)
def test_no_kernel_beats_the_data_sheet_where_nothing_is_cached(name):
    chip = dataclasses.replace(chips[name], l2_bytes=0.0)
    m, n, k = 256, 8192, 8192
    least = max(2 * m * n * k / chip.peak("bfloat16"), 2 * (n * k + m * k + m * n) / chip.hbm_bandwidth)
    assert kernel_seconds("gemm", chip, m=m, n=n, k=k, dtype="bf16") >= least
    read = 64 * 8192 * 8 * 256 * 2
    shape = {"q_heads": 32, "kv_heads": 8, "batch": 64, "context": 8192, "kv_dtype": "bf16"}
    assert kernel_seconds("decode_attention", chip, **shape) >= read / chip.hbm_bandwidth


def test_arrays_are_as_their_elements():
    contexts = np.array([128, 4096, 131072])
    shape = SHAPES["decode_attention"]
    together = kernel_seconds("decode_attention", "h100", **{**shape, "context": contexts})
    alone = [kernel_seconds("decode_attention", "h100", **{**shape, "context": int(c)}) for c in contexts]
    assert together.tolist() == [float(one) for one in alone]


def test_a_chip_like_another_has_its_constants_and_the_error_of_an_unseen_one():
    own, like = (kernel_efficiency("decode_attention", name) for name in ("h100", "h200"))
    assert (like.floor, like.bandwidth) == (own.floor, own.bandwidth)
    assert like.basis == "like h100"
    assert own.basis == "measured"
    assert like.error > own.error
    assert like.low < own.low
    assert like.high > own.high


def test_a_format_that_the_pattern_lacks_is_the_shared_one_and_says_so():
    like = dataclasses.replace(chips["h100"], efficiency={}, efficiency_like="a100")
    assert like.reached("gemm", "bf16").basis == "like a100"
    assert like.reached("gemm", "fp8").basis == "shared"


def test_a_user_s_chip_says_what_it_is_like_or_brings_its_own(tmp_path):
    file = tmp_path / "mine.toml"
    sheet = "[mine]\ntflops = { bf16 = 500 }\nhbm_gb = 80\nhbm_gbps = 2000\n"
    file.write_text(sheet)
    with pytest.raises(InputError, match=r"chip mine: no gemm kernel \(bf16\) was measured.*like ="):
        kernel_seconds("gemm", file, **SHAPES["gemm"])
    file.write_text(sheet + '[mine.efficiency]\nlike = "shared"\n')
    assert kernel_efficiency("gemm", file).basis == "shared"
    file.write_text(sheet + "[mine.efficiency.gemm.bf16]\nfloor_us = 7\ncompute = 0.5\nrows = 3\n")
    eff = kernel_efficiency("gemm", file)
    assert (eff.floor, eff.compute, eff.bandwidth, eff.rows) == (pytest.approx(7e-6), 0.5, 1.0, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[mine.efficiency]\nlike = "h1000"', "efficiency.like"),
        ('[mine.efficiency]\nlike = "tpu_v5e"', "efficiency.like"),  # no kernel of it was timed
        ('[mine.efficiency]\nlike = "unseen"', "efficiency.like"),
        ("[mine.efficiency.gem.bf16]\nfloor_us = 1", "no kernel gem"),
        ("[mine.efficiency.gemm.bf16]\nflor_us = 1", "has no flor"),
        ("[mine.efficiency.gemm.bf16]\nbandwidth = 1.2", "must be a share"),
        ('[mine.efficiency.gemm.bf16]\nfloor_us = "x"', "not a number"),
        ("[mine.efficiency.gemm.bf16]\nlow = 2.0\nhigh = 1.0", "must be ordered"),
    ],
)
def test_wrong_constants_are_refused_in_one_line(text, said, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(f"[mine]\ntflops = {{ bf16 = 500 }}\nhbm_gb = 80\nhbm_gbps = 2000\n{text}\n")
    with pytest.raises(InputError, match=said) as caught:
        get_chip(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("op", "shape", "said"),
    [
        ("matmul", {}, "op='matmul' must be one of gemm"),
        ("gemm", {"m": 1, "n": 1, "q": 1}, "unexpected keyword argument 'q'"),
        ("gemm", {"m": 1, "n": 1}, "missing 1 required"),
        ("gemm", {"m": 1, "n": 1, "k": 1, "dtype": "int4"}, "no kernel of it was measured"),
        ("gemm", {"m": 1, "n": 1, "k": 1, "dtype": "bf61"}, "bf61"),
    ],
)
def test_what_is_not_known_is_refused(op, shape, said):
    with pytest.raises(InputError, match=said):
        kernel_seconds(op, "h100", **shape)


def test_constants_survive_their_own_text():
    for ops in measured().values():
        for by_form in ops.values():
            for eff in by_form.values():
                assert Efficiency.from_table(eff.to_table()) == eff
