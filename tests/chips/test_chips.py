"""Chips as data: every entry whole, equal to the shared table, and a user's own chip."""

import csv
import re

import pytest

from kinetics_jax.chips import compiler_options, devices
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
}


def test_the_promised_names_are_there():
    for name in ("b200", "h200", "h100", "a100", "tpu_v4", "tpu_v5e", "tpu_v5p", "tpu_v6e", "tpu7x"):
        assert chips[name] is getattr(chips, name)
        assert chips[name].name == name
    assert chips["TPU-v6e"] is chips["v6e"] is chips.tpu_v6e


def test_every_chip_equals_the_shared_table(shared):
    with open(shared / "data" / "accelerators.csv", newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    for name, chip in chips.items():
        row = rows[NAMED_IN_THE_TABLE.get(name, name)]
        assert chip.peak("bfloat16") == pytest.approx(float(row["bf16_dense_tflops"]) * 1e12)
        assert chip.hbm_bandwidth == pytest.approx(float(row["hbm_gbps"]) * 1e9)
        assert chip.hbm_bytes == pytest.approx(float(row["hbm_gb"]) * 1e9)
        assert chip.link_bandwidth == pytest.approx(float(row["interconnect_unidir_gbps"]) * 1e9)
        price_an_hour = row["usd_per_hour_list"]
        assert chip.usd_per_hour == (float(price_an_hour) if price_an_hour else None)
        assert chip.intensity() == pytest.approx(float(row["intensity_bf16_flop_per_byte"]), rel=1e-4)
        assert chip.source


def test_a_users_own_chip_is_a_file_or_an_object(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[mine]\ntflops = { bf16 = 100 }\nhbm_gb = 64\nhbm_gbps = 1000\nusd_per_hour = 1\n")
    chip = get_chip(path)
    assert (chip.name, chip.peak(), chip.intensity()) == ("mine", 100e12, 100.0)
    assert price("qwen3-0.6b", Dense(), 10, 10, chip=str(path)).dollars > 0
    same = Chip(name="mine", flops={"bf16": 100e12}, hbm_bytes=64e9, hbm_bandwidth=1e12, usd_per_hour=1.0)
    assert same == chip


def test_a_price_says_whose_it_is_and_of_when():
    for chip in chips.values():
        assert bool(chip.price_basis) == (chip.usd_per_hour is not None), chip.name
        assert not chip.price_date or re.fullmatch(r"20\d\d-\d\d(-\d\d)?", chip.price_date), chip.name
        assert chip.price_date or "unverified" in chip.price_basis or not chip.price_basis, chip.name


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
