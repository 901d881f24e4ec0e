"""The real compilers, for chips that are not here: what compiles, what is refused, and the matrix (slow)."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as Spec

import pallas_kernels as ops
from kinetics_jax.chips import devices
from pallas_kernels import analysis
from pallas_kernels._gpu import refusal
from pallas_kernels.analysis import __main__ as command
from pallas_kernels.analysis.devices import require_compiler
from pallas_kernels.analysis.programs import QWEN3_HEADS, Shape, programs
from pallas_kernels.analysis.table import Row, compile_rows

TPUS = [name for name, chip in devices().items() if chip.platform == "tpu"]
GPUS = [name for name, chip in devices().items() if chip.platform == "cuda"]
ALL = ("page_scores", "select_pages", "paged_attention", "kv_append", "layer", "prefix_attention")


def need(chip: str) -> None:
    """Skip with the reason unless the chip's compiler is installed."""
    try:
        require_compiler(devices()[chip])
    except analysis.CompilerMissingError as error:
        pytest.skip(str(error))


def test_a_product_is_accounted_for() -> None:
    need("v5e")
    left = jax.ShapeDtypeStruct((512, 1024), jnp.bfloat16)
    right = jax.ShapeDtypeStruct((1024, 256), jnp.bfloat16)
    report = analysis.compile_for("v5e", jnp.matmul, left, right)
    assert report.flops == pytest.approx(2 * 512 * 1024 * 256, rel=0.01)
    assert report.argument_bytes == 2 * (512 * 1024 + 1024 * 256)
    assert report.output_bytes == 2 * 512 * 256
    assert report.total_cycles
    assert "libtpu" in report.compiler


def test_donated_arguments_alias_and_collectives_are_seen() -> None:
    need("v6e")
    mesh = analysis.abstract_mesh("v6e", (4,), ("x",))

    def aval(*shape: int, spec: Spec) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))

    def add_total(pool: jax.Array, more: jax.Array) -> jax.Array:
        return pool + jax.lax.psum(more, "x")

    fn = jax.shard_map(add_total, mesh=mesh, in_specs=(Spec("x"), Spec("x")), out_specs=Spec("x"))
    avals = (aval(4096, 256, spec=Spec("x")), aval(4096, 256, spec=Spec("x")))
    report = analysis.compile_for("v6e", fn, *avals, mesh=mesh, donate_argnums=(0,), static_cycles=False)
    assert report.alias_bytes == 4096 * 256 * 4 // 4
    assert report.collectives.get("all-reduce") == 1
    assert report.cycles == {}


def test_what_does_not_fit_is_refused_in_the_compilers_words() -> None:
    need("v5e")
    huge = jax.ShapeDtypeStruct((2**34,), jnp.float32)
    with pytest.raises(analysis.CompilationError, match=r"v5e: RESOURCE_EXHAUSTED.*HBM"):
        analysis.compile_for("v5e", lambda x: x + 1, huge, static_cycles=False)


def test_too_many_devices_are_refused() -> None:
    need("v5p")
    with pytest.raises(analysis.UnknownChipError, match="at most"):
        analysis.device_mesh("v5p", (1000,), ("x",))


@pytest.mark.parametrize("chip", ["v5e", "v6e"])
def test_paged_attention_copies_nothing_and_reads_what_the_policy_reads(chip: str) -> None:
    need(chip)
    (row,) = compile_rows(chip, [Shape(page_size=32)], ["paged_attention"], static_cycles=False)
    assert row.report is not None, row.error
    assert row.report.temp_bytes < 2**20
    assert row.bytes_ratio is not None
    assert row.bytes_ratio <= 1.05


def test_smaller_pages_cost_more_issue_time() -> None:
    """As a copy costs issue slots; the estimator sees that only on the branch for full lists."""
    need("v6e")
    rows = compile_rows("v6e", [Shape(page_size=16), Shape(page_size=128)], ["paged_attention"])
    small, large = (row.report.total_cycles for row in rows if row.report)
    assert small is not None
    assert large is not None
    assert small > 1.1 * large


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("v5e")
    path = tmp_path / "table.json"
    arguments = ["--chips", "v5e", "--ops", "paged_attention", "--batch", "8", "--page-sizes", "64"]
    assert command.main([*arguments, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "not measurements" in printed
    assert "| v5e | paged_attention | 8 | 64 |" in printed
    (row,) = json.loads(path.read_text())["rows"]
    assert row["issue_ratio"] <= 1.0  # the issue's bound for v5e at pages of 32 and more


def gpu_row(chip: str, op: str, **shape: Any) -> Row:
    need(chip)
    (row,) = compile_rows(chip, [Shape(**shape)], [op])
    assert row.report is not None, row.error
    return row


@pytest.mark.parametrize("chip", ["h100", "b200"])
@pytest.mark.parametrize("op", [op for op in ALL if op != "layer"])
def test_gpu_kernels_spill_nothing(chip: str, op: str) -> None:
    if reason := refusal():
        pytest.skip(reason)
    report = gpu_row(chip, op, batch=64, page_size=32).report
    assert report is not None
    ours = [kernel for kernel in report.kernels if kernel.mosaic]
    assert len(ours) == (2 if op == "prefix_attention" else 1)
    assert report.spill_bytes == 0
    for kernel in ours:
        assert kernel.registers <= 255
        assert kernel.shared_bytes <= 227 * 1024
        assert kernel.threads == 128


@pytest.mark.parametrize("chip", ["h100", "b200"])
@pytest.mark.parametrize(("tokens", "page_size", "head_dim"), [(1, 64, 256), (70, 16, 128), (512, 256, 128)])
def test_gpu_appends_in_place(chip: str, tokens: int, page_size: int, head_dim: int) -> None:
    """A chunk begins at any token of a page, where the interpreter does not care about alignment."""
    need(chip)
    if reason := refusal():
        pytest.skip(reason)

    def of(*shape: int, dtype: Any = jnp.bfloat16) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    def append(pool: Any, key: Any, table: Any, lengths: Any, summaries: Any) -> Any:
        grown = ops.kv_append(pool, key, key, table, lengths, summaries_mkrph=summaries, implementation="gpu")
        return grown.kv_pages, grown.summaries

    pool, summaries = of(300, 8, 2, page_size, head_dim), of(4, 8, 2, 64, head_dim)
    counts = of(4, 64, dtype=jnp.int32), of(4, dtype=jnp.int32)
    new = of(4, tokens, 8, head_dim)
    report = analysis.compile_for(chip, append, pool, new, *counts, summaries, donate_argnums=(0, 4))
    assert report.alias_bytes == 2 * (pool.size + summaries.size)
    padded = 0 if tokens == 1 else 2 * 2 * 4 * (tokens + 2 * page_size) * 8 * head_dim  # K and V
    assert report.temp_bytes <= padded + 2**16
    assert report.spill_bytes == 0


def test_the_older_gpu_takes_the_xla_path() -> None:
    report = gpu_row("a100", "paged_attention").report
    assert report is not None
    assert report.kernels, "ptxas said nothing of XLA's kernels"
    assert not any(kernel.mosaic for kernel in report.kernels)
    assert report.spill_bytes == 0


CORNERS = ((1, 131_072, 16), (8, 32_768, 32), (64, 32_768, 16), (256, 131_072, 64), (256, 1_024, 128))
MATRIX_OPS = ("layer", "prefix_attention")  # a layer holds the other four


def matrix(devices: int) -> list[Shape]:
    """Every Qwen3 head shape at the corners of (batch, context, page), where ``devices`` divide its heads."""
    return [
        Shape(batch=batch, context=context, page_size=page_size, query_heads=N, kv_heads=K, devices=devices)
        for batch, context, page_size in CORNERS
        for N, K in QWEN3_HEADS
        if K % devices == 0
    ]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("chip", TPUS)
def test_all_ops_compile_at_every_qwen3_shape(chip: str, devices: int) -> None:
    """Each number of devices takes another quarter of the corners; a chip sees all of them."""
    need(chip)
    shapes = matrix(devices)[devices.bit_length() - 1 :: 4]
    rows = compile_rows(chip, shapes, MATRIX_OPS, static_cycles=False)
    assert not [f"{row.op} {row.shape}: {row.error}" for row in rows if row.error]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("chip", GPUS)
def test_all_ops_compile_for_gpus(chip: str, devices: int) -> None:
    need(chip)
    rows = compile_rows(chip, matrix(devices)[devices - 1 :: 8][:3], MATRIX_OPS)
    assert not [f"{row.op} {row.shape}: {row.error}" for row in rows if row.error]
    assert all(row.report.spill_bytes == 0 for row in rows if row.report)


def test_programs_know_every_op() -> None:
    assert set(programs(Shape())) == set(ALL)
