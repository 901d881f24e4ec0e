"""Number formats: bytes with the scales that a format fixes, and peaks that a chip has or refuses."""

import pytest

from kinetics_jax.chips import bytes_per_element, chips
from kinetics_jax.chips.dtypes import canonical, peak_name
from kinetics_jax.costs import Serving, price
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import Dense


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        ("float32", 4.0),
        ("bfloat16", 2.0),
        ("float16", 2.0),
        ("fp8", 1.0),
        ("int8", 1.0),
        ("int4", 0.5),
        ("fp4", 0.5),
        ("nvfp4", (16 * 4 + 8) / 16 / 8),
        ("mxfp4", (32 * 4 + 8) / 32 / 8),
        ("float4_e2m1fn", 0.5),
    ],
)
def test_bytes_of_an_element(dtype, size):
    assert bytes_per_element(dtype) == size


def test_formats_of_four_bit_floats_have_the_fp4_peak():
    for dtype in ("fp4", "nvfp4", "mxfp4"):
        assert peak_name(dtype) == "fp4"
        assert chips.b200.peak(dtype) == 2 * chips.b200.peak("fp8") == 4 * chips.b200.peak("bfloat16")
    having = {name for name, chip in chips.items() if "fp4" in chip.flops}
    assert having == {"b200", "gb200", "b300", "gb300", "rtx_pro_6000", "rtx_5090", "mi355x"}
    for name in chips.keys() - having:
        with pytest.raises(InputError, match=f"chip {name} has no fp4 peak; it has .*bf16"):
            chips[name].peak("nvfp4")


def test_int4_is_stored_and_not_multiplied():
    with pytest.raises(UnknownNameError, match=r"matmul dtype 'int4'.*weights and KV only") as caught:
        price("qwen3-8b", Dense(), 300, 1000, chip="b200", compute_dtype="int4")
    assert "\n" not in str(caught.value)
    in_int4 = price("qwen3-8b", Dense(), 300, 1000, chip="b200", weight_dtype="int4", batch=1)
    in_fp4 = price("qwen3-8b", Dense(), 300, 1000, chip="b200", weight_dtype="fp4", batch=1)
    assert in_int4.seconds == in_fp4.seconds  # both at the bfloat16 peak


def test_scales_cost_what_they_weigh():
    at = {
        dtype: price("qwen3-8b", Dense(), 1, 1, chip="b200", weight_dtype=dtype, batch=1).terms["linear"]
        for dtype in ("fp4", "mxfp4", "nvfp4")
    }
    assert at["mxfp4"].bytes / at["fp4"].bytes == pytest.approx(1.0625)
    assert at["nvfp4"].bytes / at["fp4"].bytes == pytest.approx(1.125)


def test_fp4_is_refused_where_a_chip_lacks_it_and_shortens_compute_where_not():
    with pytest.raises(InputError, match="chip h100 has no fp4 peak"):
        price("qwen3-8b", Dense(), 300, 1000, chip="h100", compute_dtype="nvfp4")
    assert Serving(kv_dtype="nvfp4").kv_bytes == 0.5625
    eight, four = (
        price("qwen3-8b", Dense(), 20_000, 1, chip="b200", compute_dtype=dtype) for dtype in ("fp8", "fp4")
    )
    assert four.seconds < eight.seconds


def test_unknown_formats_name_the_known():
    with pytest.raises(UnknownNameError, match=r"did you mean.*mxfp4"):
        canonical("mxfp44")
