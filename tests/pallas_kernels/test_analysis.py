"""`compile_for` without any compiler: what it reads, derives and refuses."""

import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from kinetics_jax.shapes.presets import presets
from pallas_kernels import analysis
from pallas_kernels.analysis import __main__ as command
from pallas_kernels.analysis import devices, dumps
from pallas_kernels.analysis.full_lists import with_full_lists
from pallas_kernels.analysis.programs import QWEN3_HEADS, Shape, programs
from pallas_kernels.analysis.table import Row, gpu_table, notes, share_table, tpu_table

HLO = """
  %all-reduce.1 = bf16[8,4096] all-reduce(%dot), replica_groups={{0,1}}
  %start = (f32[8], f32[16]) all-gather-start(%x), dimensions={0}
  %done = f32[16] all-gather-done(%start)
  %cp = f32[8] collective-permute(%y)
"""
PTXAS = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'paged_attention_mosaic_gpu_kernel' for 'sm_90a'
ptxas info    : Function properties for paged_attention_mosaic_gpu_kernel
    0 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 151 registers, used 2 barriers, 1 bytes smem
  call void @mosaic_gpu_launch_kernel(ptr %0, i32 8, i32 4, i32 1, i32 0, i32 0, i32 0, i32 128, i32 1, i32 1, i32 157768, ptr %1)
"""  # noqa: E501


def test_collectives_are_counted_once() -> None:
    found = dumps.count_collectives(HLO)
    assert found == {"all-reduce": 1, "all-gather": 1, "collective-permute": 1}


def test_kernels_are_read_from_the_assembler() -> None:
    (kernel,) = dumps.read_kernels(PTXAS)
    assert kernel == analysis.Kernel(
        name="paged_attention", registers=151, spill_bytes=20, shared_bytes=157_769, blocks=32, threads=128
    )


def test_kernels_of_xla_are_read_from_its_log_once() -> None:
    logged = "I1124 18:31:39.6 16027 subprocess_compilation.cc:356] " + PTXAS.split("  call void")[0]
    fusion = logged.replace("paged_attention_mosaic_gpu_kernel", "loop_add_fusion").replace("151", "10")
    warned = logged.replace("ptxas info", "ptxas /tmp/x, line 610; info : Potential\nptxas info", 1)
    assert dumps.read_kernels(warned + "\n" + PTXAS) == dumps.read_kernels(PTXAS)
    ours, theirs = dumps.read_kernels(logged + fusion + fusion + "I1 x.cc:1] more\n" + PTXAS)
    assert (ours.name, ours.registers, ours.blocks, ours.mosaic) == ("paged_attention", 151, 32, True)
    assert (theirs.name, theirs.registers, theirs.spill_bytes) == ("loop_add_fusion", 10, 20)
    assert not theirs.mosaic


def test_cycles_are_read_by_kernel(tmp_path: Path) -> None:
    names = ("copy.2_TPU v5 lite", "paged_attention.1", "ids_TPU7x")
    for cycles, name in enumerate(names):
        text = f"name: 'x'\nestimated_cycles: {cycles}\nbundles {{ estimated_cycles: 99 }}"
        (tmp_path / f"{name}_static_llo_profile.textproto").write_text(text)
    (tmp_path / "other.txt").write_text("estimated_cycles: 5")
    assert dumps.read_cycles(tmp_path) == {"copy.2": 0, "paged_attention.1": 1, "ids": 2}


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("fine\nF1123 22:11:32.4 8802 dumper.cc:15] no model\nmore", "no model"),
        ("a\nLLVM ERROR: Cannot select\nb", "LLVM ERROR: Cannot select"),
        ("first\nlast\n", "last"),
        ("", "it said nothing"),
    ],
)
def test_last_words_say_why(log: str, words: str) -> None:
    assert dumps.last_words(log) == words


def report(**changes: Any) -> analysis.Report:
    fields = {
        "chip": "v5e",
        "compiler": "x",
        "flops": 197e9,
        "bytes_accessed": 819e6,
        "argument_bytes": 100,
        "output_bytes": 30,
        "alias_bytes": 20,
        "temp_bytes": 5,
        "cycles": {"a": 1000, "b": 500},
        "cycles_whole": True,
    }
    return analysis.Report(**(fields | changes))


def test_times_follow_from_the_rates_of_the_chip() -> None:
    assert report().issue_seconds == pytest.approx(1e-6)
    assert report().memory_seconds == pytest.approx(1e-3)
    assert report().roofline_seconds == pytest.approx(1e-3)
    assert report(flops=197e10).roofline_seconds == pytest.approx(1e-2)
    assert report().hbm_bytes == 115


def test_a_partial_estimate_is_no_estimate() -> None:
    partial = report(cycles_whole=False, cycles_note="it stopped")
    assert partial.total_cycles is None
    assert partial.issue_seconds is None


def test_attention_is_estimated_on_its_branch_for_full_lists() -> None:
    cycles = {"paged_attention.1": 10, "fusion": 3}
    died = report(cycles_whole=False, cycles={"paged_attention.1": 40, "x": 9})
    merged = with_full_lists(report(cycles=cycles), died)
    assert merged.cycles == {"paged_attention.1": 40, "fusion": 3}
    assert merged.cycles_whole
    whole = report(cycles={"paged_attention.1": 40, "x": 9})
    assert with_full_lists(report(cycles={}, cycles_whole=False), whole).total_cycles == 49
    silent = with_full_lists(
        report(cycles=cycles), report(cycles={}, cycles_whole=False, cycles_note="it died")
    )
    assert silent.total_cycles is None
    assert silent.cycles_note == "it died"


def test_a_report_survives_json() -> None:
    kernel = analysis.Kernel(name="k", registers=1, spill_bytes=0, shared_bytes=2)
    original = report(kernels=(kernel,), collectives={"all-reduce": 2})
    assert analysis.Report.from_json(json.loads(json.dumps(original.to_json()))) == original


def test_tables_show_ratios_shares_and_reasons() -> None:
    shape, cycles = (
        Shape(),
        {"page_scores": 300, "select_pages": 100, "paged_attention": 500, "kv_append": 100},
    )
    rows = [
        Row(op=op, shape=shape, must_move=819_000, report=report(cycles={op: count}))
        for op, count in cycles.items()
    ]
    rows.append(Row(op="layer", shape=shape, must_move=819_000, report=report(cycles={"all": 1500})))
    assert rows[-1].issue_ratio == pytest.approx(1.0)
    assert "| 30 % | 10 % | 50 % | 10 % |" in share_table(rows)
    assert "| v5e | layer | 8 | 16 | 1.0 | 1.0 | 1.00 | 1000.00 | 0 |" in tpu_table(rows)
    silent = Row(op="layer", shape=shape, must_move=1, report=report(cycles_whole=False, cycles_note="why"))
    assert notes([silent]) == "* v5e: layer B=8 p=16: why"
    assert "none" in tpu_table([silent])
    assert "XLA" in gpu_table([Row(op="layer", shape=shape, must_move=1, report=report(chip="h100"))])


def test_bytes_that_must_move() -> None:
    made = programs(Shape(batch=8, context=32_768, budget=1_024, page_size=16))
    kv = 8 * 8 * 1_024 * 128 * 2 * 2
    assert made["paged_attention"].must_move == kv + 2 * 8 * 32 * 128 * 2 + 8 * 8 * 64 * 4
    keys = 8 * 8 * 2_048 * 128 * 2
    assert made["page_scores"].must_move == keys + 8 * 32 * 128 * 2 + 8 * 8 * 2_048 * 4
    halved = programs(Shape(devices=2))["paged_attention"].must_move
    assert 2 * halved == made["paged_attention"].must_move


def test_shapes_cover_every_qwen3_model() -> None:
    models = [c for name, c in presets.items() if re.match(r"qwen3-\d", name)]  # not Qwen3-Coder
    assert models
    for config in models:
        assert (config.num_query_heads, config.num_kv_heads) in QWEN3_HEADS, config.name


def test_an_unknown_chip_lists_the_known_ones() -> None:
    with pytest.raises(analysis.UnknownChipError, match="v5e"):
        analysis.compile_for("v9", lambda x: x, jnp.ones(3))


@pytest.mark.parametrize(("chip", "extra"), [("v5e", "aot"), ("h100", "aot-gpu")])
def test_a_missing_compiler_names_the_extra(chip: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_installed", lambda module: False)
    with pytest.raises(analysis.CompilerMissingError, match=rf"kinetics-jax\[{extra}\]"):
        analysis.compile_for(chip, lambda x: x, jnp.ones(3))


def test_the_command_skips_chips_without_a_compiler(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_installed", lambda module: False)
    arguments = ["--chips", "v5e", "--ops", "select_pages", "--batch", "8", "--page-sizes", "64"]
    assert command.main(arguments) == 2
    assert "v5e: skipped" in capsys.readouterr().err


def test_the_command_refuses_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--chips", "v9"])
    assert "known: v4, v5e" in capsys.readouterr().err


def test_an_abstract_mesh_knows_its_chip() -> None:
    mesh = analysis.abstract_mesh("h100", (2, 4), ("a", "b"))
    assert mesh.abstract_device is not None
    assert "H100" in mesh.abstract_device.device_kind
    assert jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("b")).shard_shape((8,)) == (2,)
