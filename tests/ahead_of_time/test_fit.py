"""Decode steps given to the real TPU compiler, where libtpu is installed."""

import functools
import json
import pathlib

import pytest

pytest.importorskip("libtpu", reason="compiles for TPUs that are not here (the aot extra)")
from kinetics_jax.ahead_of_time.fit import Fit, Placement, compile_decode, make_mesh
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets

TABLE = pathlib.Path(__file__).parents[2] / "docs" / "fit_table.json"
GIB = 2**30


@functools.cache
def _compile(
    preset: str, topology: str, model: int, expert: int, batch: int, quantize=None, context=32_768
) -> Fit:
    placement = Placement(topology=topology, model=model, expert=expert)
    return compile_decode(presets[preset], placement, batch=batch, capacity=context, quantize=quantize)


@pytest.mark.parametrize(
    ("preset", "topology", "model", "expert", "batch"),
    [
        ("qwen3-8b", "v5e:2x4", 8, 1, 8),
        ("qwen3-30b-a3b", "v5e:4x4", 4, 4, 16),
        ("qwen3-8b", "tpu7x:2x2x1", 8, 1, 16),  # 1.5 GiB without compiler_options
    ],
)
def test_a_full_size_step_fits_and_copies_nothing(preset, topology, model, expert, batch):
    fit = _compile(preset, topology, model, expert, batch)
    config = presets[preset]
    devices = make_mesh(Placement(topology=topology, model=model, expert=expert)).devices.size
    cache = config.kv_bytes_per_token() * 32_768 * batch / devices
    weights = 2 * config.total_params / devices
    assert fit.fits
    assert cache + weights <= fit.arguments <= 1.1 * (cache + weights) + 2**30
    assert fit.temporary < 64 * 2**20  # a copy of one layer's cache would be more
    assert dict(fit.collectives)["all-reduce"] >= 3
    assert fit.collective_bytes > config.num_layers * 2 * batch * config.model_dim


def test_more_devices_than_kv_heads_share_them():
    """Sixteen devices, eight KV heads: a device keeps one head of a sequence, not eight."""
    fit = _compile("qwen3-8b", "v5e:4x4", 16, 1, 8)
    config = presets["qwen3-8b"]
    one_head = config.kv_bytes_per_token() / config.num_kv_heads * 32_768 * 8
    shared = 2 * config.num_layers * config.model_dim * 2 * config.num_kv_heads * config.head_dim
    weights = 2 * config.total_params / 16 + shared  # key and value are whole on every device
    assert one_head + 0.9 * weights < fit.arguments < one_head + 1.1 * weights


def test_what_does_not_fit_is_refused_with_the_compilers_figure():
    fit = _compile("qwen3-8b", "v5e:2x4", 8, 1, 32)
    assert not fit.fits
    assert fit.available is not None
    assert 15 * GIB < fit.available < 16 * GIB < fit.needed < 24 * GIB


def test_placements_are_checked():
    with pytest.raises(InputError, match="does not divide"):
        make_mesh(Placement(topology="v5e:2x4", model=3))
    with pytest.raises(InputError, match="v99"):
        make_mesh(Placement(topology="v99:2x4"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 17, 39, 58, -1])
def test_the_table_is_what_the_compiler_says(number):
    row = json.loads(TABLE.read_text())[number]
    place = (row["model"], row["slice"], row["model_ways"], row["expert_ways"])
    quantize = "int8" if row["weights"] == "int8" else None
    fit = _compile(*place, row["batch"], quantize)
    assert fit.needed == pytest.approx(row["hbm_bytes"], rel=0.01)
    assert fit.temporary == pytest.approx(row["temporary_bytes"], rel=0.1, abs=2**20)
    assert not _compile(*place, row["refused_batch"], quantize).fits
