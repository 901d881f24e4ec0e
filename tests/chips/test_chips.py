"""Chips as data: every entry whole, equal to the shared table, and a user's own chip."""

import csv
import math
import re

import pytest

from kinetics_jax.chips import PRICE_BASES, compiler_options, devices, mixed_markets, priced_chips
from kinetics_jax.costs import Chip, chips, get_chip, price
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import Dense
from pallas_kernels import tuning

FIGURES = "[x]\ntflops = {bf16 = 1}\nhbm_gb = 1\nhbm_gbps = 1\n"

NAMED_IN_THE_TABLE = {
    "a100": "a100_80g",
    "h100": "h100_sxm",
    "h200": "h200_sxm",
    "b200": "b200_sxm",
    "gb200": "gb200_nvl72",
    "b300": "b300_sxm",
    "tpu_8i": "tpu8i",
    "tpu_8t": "tpu8t",
}
NOT_IN_THE_TABLE = {"gb300", "l40s", "l4", "rtx_pro_6000", "rtx_4090", "rtx_5090", "b60"}
"""Chips that the shared table lacks; their figures are held to one another below."""


def test_the_promised_names_are_there():
    for name in ("b200", "h200", "h100", "a100", "tpu_v4", "tpu_v5e", "tpu_v5p", "tpu_v6e", "tpu7x"):
        assert chips[name] is getattr(chips, name)
        assert chips[name].name == name
    assert chips["TPU-v6e"] is chips["v6e"] is chips.tpu_v6e
    for name in ("gb300", "l40s", "rtx_pro_6000", "l4", "rtx_4090", "rtx_5090", "b60", "tpu_8i", "tpu_8t"):
        assert chips[name].name == name
    assert chips["RTX-PRO-6000"] is chips.rtx_pro_6000
    assert chips["tpu8i"] is chips["TPU-8i"] is chips.tpu_8i


def test_every_chip_equals_the_shared_table(shared):
    with open(shared / "data" / "accelerators.csv", newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert chips.keys() >= NOT_IN_THE_TABLE
    for name in chips.keys() - NOT_IN_THE_TABLE:
        chip, row = chips[name], rows[NAMED_IN_THE_TABLE.get(name, name)]
        assert chip.peak("bfloat16") == pytest.approx(float(row["bf16_dense_tflops"]) * 1e12)
        assert chip.hbm_bandwidth == pytest.approx(float(row["hbm_gbps"]) * 1e9)
        assert chip.hbm_bytes == pytest.approx(float(row["hbm_gb"]) * 1e9)
        if row["interconnect_unidir_gbps"]:  # it has no links of TPU 8
            assert chip.link_bandwidth == pytest.approx(float(row["interconnect_unidir_gbps"]) * 1e9)
        assert chip.intensity() == pytest.approx(float(row["intensity_bf16_flop_per_byte"]), rel=1e-4)
        assert chip.source


def test_peaks_are_dense_and_those_of_one_tensor_core():
    """A sparse figure among dense ones is twice too large: FP8 is 2 × BF16, FP4 2 × FP8 or 3 × on Ultra."""
    for name, chip in chips.items():
        peaks = chip.flops
        if chip.label.startswith("TPU"):  # their ratios are their own; none has a peak of fp4 here
            assert "fp4" not in peaks
            continue
        for narrow in {"fp8", "int8"} & peaks.keys():
            if (name, narrow) == ("b60", "fp8"):  # which it computes as BF16
                assert peaks["fp8"] == peaks["bf16"]
                continue
            times = 4 if (name, narrow) == ("rtx_4090", "int8") else 2  # FP16 sums are twice FP32's there
            times = 4 if (name, narrow) == ("rtx_5090", "int8") else times
            assert peaks[narrow] / peaks["bf16"] == pytest.approx(times, rel=0.02), (name, narrow)
        if "fp4" in peaks:
            times = {"b300": 3, "gb300": 3, "rtx_5090": 4}.get(name, 2)
            assert peaks["fp4"] / peaks["fp8"] == pytest.approx(times, rel=1e-3), name


@pytest.mark.parametrize(
    ("name", "multiprocessors", "flops_a_cycle", "ghz"),
    [
        ("l40s", 142, 1024, 2.52),
        ("l4", 58, 1024, 2.04),
        ("rtx_pro_6000", 188, 1024, 2.43),
        ("rtx_4090", 128, 512, 2.52),
        ("rtx_5090", 170, 512, 2.407),
    ],
)
def test_bf16_peaks_of_cards_follow_from_their_clocks(name, multiprocessors, flops_a_cycle, ghz):
    assert chips[name].peak() == pytest.approx(multiprocessors * flops_a_cycle * ghz * 1e9, rel=0.015)


def test_every_chip_has_a_fast_format_and_a_bound_to_its_links():
    for name, chip in chips.items():
        assert math.isfinite(chip.link_bandwidth), name
        assert 100 < chip.intensity() < 600, name
        assert chip.source, name


def test_the_last_cache_is_the_one_that_compilers_are_told_of():
    """A data sheet says MB for MiB: the same number, in units 4.9 % apart."""
    told = [chip for chip in chips.values() if chip.device and chip.device.cuda]
    assert [chip.name for chip in told] == ["a100", "h100", "b200"]
    for chip in told:
        assert chip.l2_bytes / 1e6 == chip.device.cuda.l2_bytes / 2**20, chip.name
    known = {name: chip.l2_bytes / 1e6 for name, chip in chips.items() if chip.l2_bytes}
    assert known == {
        **{"a100": 40, "h100": 50, "h200": 50, "b200": 126, "gb200": 126, "b300": 126, "gb300": 126},
        **{"l40s": 96, "l4": 48, "rtx_pro_6000": 128, "rtx_4090": 72, "rtx_5090": 96},
        **{"mi300x": 256, "mi325x": 256, "mi355x": 256, "b60": 18},
    }


def test_a_users_chip_may_say_its_last_cache(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FIGURES)
    assert get_chip(path).l2_bytes == 0
    path.write_text(f"{FIGURES}l2_mb = 96\n")
    assert get_chip(path).l2_bytes == 96e6
    path.write_text(f"{FIGURES}l2_mb = -1\n")
    with pytest.raises(InputError, match="l2_bytes"):
        get_chip(path)


def test_a_users_own_chip_is_a_file_or_an_object(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[mine]\ntflops = { bf16 = 100 }\nhbm_gb = 64\nhbm_gbps = 1000\nusd_per_hour = 1\n")
    chip = get_chip(path)
    assert (chip.name, chip.peak(), chip.intensity()) == ("mine", 100e12, 100.0)
    assert price("qwen3-0.6b", Dense(), 10, 10, chip=str(path)).dollars > 0
    same = Chip(name="mine", flops={"bf16": 100e12}, hbm_bytes=64e9, hbm_bandwidth=1e12, usd_per_hour=1.0)
    assert same == chip


def test_a_price_says_whose_it_is_of_which_market_and_of_when():
    for chip in chips.values():
        assert chip.price_basis == "list"
        assert (chip.usd_per_hour is None) == ("list" not in chip.prices), chip.name
        for basis, price_of in chip.prices.items():
            assert basis in PRICE_BASES
            assert price_of.source, (chip.name, basis)
            assert not price_of.date or re.fullmatch(r"20\d\d-\d\d(-\d\d)?", price_of.date), chip.name
            assert price_of.date or re.search("unverified|undated", price_of.source), chip.name
            at = chip.priced(basis)
            assert (at.usd_per_hour, at.price_basis, at.price_date, at.price_source) == (
                price_of.usd_per_hour,
                basis,
                price_of.date,
                price_of.source,
            )


def test_dollars_are_of_one_market():
    """At one basis dearer chips stay dearer; mixed, an H200 cost less than an H100 and an A100."""
    for basis in ("list", "specialty"):
        prices = [chips[name].priced(basis).usd_per_hour for name in ("a100", "h100", "h200", "b200")]
        assert prices == sorted(prices), basis
    bare = chips.b300.priced("list")
    assert bare.usd_per_hour is None
    assert bare.priced("specialty").usd_per_hour == chips.b300.prices["specialty"].usd_per_hour
    with pytest.raises(InputError, match="chip b300 has no list price: price_basis=specialty has one"):
        _ = price("qwen3-0.6b", Dense(), 10, 10, chip=bare).dollars
    with pytest.raises(UnknownNameError, match="price_basis"):
        chips.b200.priced("street")


def test_the_users_price_is_recorded_as_the_users(tmp_path):
    (chip,) = priced_chips(["b200"], "spot", 2.5)
    assert (chip.usd_per_hour, chip.price_basis, chip.price_date) == (2.5, "user", "")
    path = tmp_path / "mine.toml"
    path.write_text(f"{FIGURES}usd_per_hour = 3\nusd_basis = 'my invoice'\n")
    for basis in PRICE_BASES:
        (mine,) = priced_chips([str(path)], basis)
        assert (mine.usd_per_hour, mine.price_basis, mine.price_source) == (3, "user", "my invoice")
    path.write_text(f"{FIGURES}usd.spot = {{ per_hour = 3, date = '2026-01', source = 'a page' }}\n")
    listed, spot = (priced_chips([path], basis)[0] for basis in ("list", "spot"))
    assert (listed.usd_per_hour, spot.usd_per_hour, spot.price_date) == (None, 3, "2026-01")
    with pytest.raises(InputError, match="price of one chip, and there are b200, h100"):
        priced_chips(["b200", "h100"], "list", 2)
    with pytest.raises(InputError, match="must be positive"):
        priced_chips(["b200"], "list", -2)


def test_dollars_of_several_markets_are_said_not_to_compare():
    assert mixed_markets([chips.b200, chips.h100, chips.tpu7x]) == ()
    (said,) = mixed_markets([chips.b200, chips.h100.priced("list", 2), chips.tpu7x])
    assert "b200 (list), h100 (user)" in said


def test_a_device_is_a_share_of_its_chip():
    assert list(devices()) == ["v4", "v5e", "v5p", "v6e", "tpu7x", "a100", "h100", "b200"]
    for name, device in devices().items():
        chip = chips[name]
        assert chip.device is device
        assert device.per_chip * device.flops == chip.peak()
        assert device.per_chip * device.hbm_bandwidth == chip.hbm_bandwidth
        # Data sheets say GB, and some mean GiB.
        assert 0.9 < device.per_chip * device.hbm_bytes / chip.hbm_bytes < 1.08
        if device.cuda:
            assert device.platform == "cuda"
            assert device.cuda.bandwidth == pytest.approx(device.hbm_bandwidth, rel=0.05)
        else:
            assert device.topologies[0].startswith(f"{name}:")
            assert len({device.devices(shape) for shape in device.slices}) == len(device.slices)
    assert devices()["v4"].devices("2x2x1") == devices()["tpu7x"].devices("2x2x1") == 8


def test_kernels_are_tuned_for_the_kinds_of_the_table():
    for name, device in devices().items():
        if device.platform == "tpu":
            assert tuning.FILES[device.kind] == name


def test_only_a_kind_that_needs_them_has_compiler_options():
    (option,) = compiler_options("TPU7x")
    assert "x16" in option
    assert compiler_options("TPU v5 lite") == compiler_options("cpu") == {}


def test_calibration_scales_what_was_measured():
    chip = chips.h100.calibrated(flops=0.8, bandwidth=0.9)
    assert chip.peak() == 0.8 * chips.h100.peak()
    assert chip.hbm_bandwidth == 0.9 * chips.h100.hbm_bandwidth
    with pytest.raises(InputError, match="share"):
        chips.h100.calibrated(flops=1.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x]\nhbm_gb = 1\nhbm_gbps = 1\n", "chip x lacks tflops"),
        ("[x]\ntflops = {bf16 = 1}\nhbm_gb = 1\nhbm_gbps = 1\nspeed = 3\n", "unknown speed"),
        ("[x]\ntflops = {bf16 = -1}\nhbm_gb = 1\nhbm_gbps = 1\n", "must be positive"),
        ("[x]\ntflops = {bf16 = 1}\nhbm_gb = 'a'\nhbm_gbps = 1\n", "not a number"),
        ("[x]\ntflops = {}\nhbm_gb = 1\nhbm_gbps = 1\n", "flops is empty"),
        ("[x]\n[y]\n", "holds 2 chips"),
        (f"{FIGURES}[x.device]\nkind = 'X'\nclock_ghz = 1\n", "x.device. is wrong or not whole .*hbm_gib"),
        (f"{FIGURES}[x.device]\nkind = 'X'\nclock_ghz = 1\nhbm_gib = 1\nspeed = 2\n", "not whole .*speed"),
        (f"{FIGURES}device = 3\n", "not whole"),
        ("[x", "not TOML"),
        (f"{FIGURES}usd.street = {{ per_hour = 1 }}\n", "unknown price_basis"),
        (f"{FIGURES}usd.list = {{ date = '2026' }}\n", "a price of chip x is wrong or not whole .*per_hour"),
        (f"{FIGURES}usd.list = {{ per_hour = 1, whose = 'x' }}\n", "unknown whose"),
    ],
)
def test_a_bad_chip_file_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        get_chip(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_chip_suggests_the_known():
    with pytest.raises(UnknownNameError, match="did you mean"):
        get_chip("tpu_v6")
    with pytest.raises(AttributeError):
        _ = chips.b2000000
