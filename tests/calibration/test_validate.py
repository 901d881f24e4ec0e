"""Errors of predictions: their figures by hand, the command that prints them, and the data kept with us."""

import csv
import gzip
import json

import numpy as np
import pytest

from kinetics_jax.calibration import accuracy, all_pairs, by_group, evidence_toml, read_deployments
from kinetics_jax.calibration.sparse_twins import sign_accuracy
from kinetics_jax.calibration.validate import Pairs
from kinetics_jax.chips import chips
from kinetics_jax.chips.efficiency import measured
from kinetics_jax.cli import validate_prices
from kinetics_jax.costs import kernel_seconds, price
from kinetics_jax.costs.evidence import calibration
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense

E2E = ["kind", "chip", "framework", "model", "precision", "kv_dtype", "isl", "osl", "batch", "tp", "dp"]
E2E += ["tpot_ms", "out_tok_s_chip"]


def write(file, header, rows):
    with gzip.open(file, "wt", newline="") as lines:
        csv.writer(lines).writerows([header, *rows])


def run(*flags):
    validate_prices.flags.values.unparse_flags()
    for name in ("data", "by", "json", "figure", "evidence", "bar", "overlap", "source"):
        validate_prices.flags.values[name].unparse()
    validate_prices.flags.parse(["validate-prices", *flags])
    return validate_prices.main([])


@pytest.fixture
def silicon(shared):
    folder = shared / "data" / "silicon"
    if not (folder / "gemm.csv.gz").exists():
        pytest.skip("the public measurements are not here")
    return folder


def pairs(predicted, measured, **more):
    predicted, measured = np.array(predicted, float), np.array(measured, float)
    none = np.full(len(predicted), np.nan)
    return Pairs(predicted, measured, more.get("low", none), more.get("high", none), more.get("groups", {}))


def test_figures_by_hand():
    found = accuracy(
        pairs(
            [1.0, 2.0, np.nan, 4.0],
            [1.0, 1.0, 9.0, 8.0],
            low=np.array([0.5, 1.5, 0.0, 1.0]),
            high=np.array([2.0, 3.0, 0.0, 9.0]),
        )
    )
    assert (found.rows, found.priced) == (4, 3)
    assert found.error == pytest.approx((0 + 1 + 0.5) / 3)
    assert found.median == 0.5
    assert found.bias == pytest.approx(0.0)
    assert found.covered == pytest.approx(2 / 3)
    assert accuracy(pairs([np.nan], [1.0])) is None


def test_groups_are_apart():
    grouped = pairs([1, 2, 3], [1, 1, 1], groups={"chip": np.array(["a", "a", "b"])})
    assert {name: one.error for name, one in by_group(grouped, "chip").items()} == {"a": 0.5, "b": 2.0}


def test_a_deployment_is_priced_as_it_says(tmp_path):
    rows = [
        ["serving", "h100", "x 1", "qwen3-8b", "unstated", "unstated", 1024, 512, 32, 2, 1, 10.0, ""],
        ["serving_median_itl", "h100", "x 1", "qwen3-8b", "fp8", "unstated", 1024, 512, 32, 2, "", 8.0, ""],
        ["throughput", "h100", "sglang 1", "qwen3-8b", "fp8", "unstated", 100, 50, 8, 2, 1, "", 400.0],
        ["serving", "h100", "x 1", "qwen3-8b", "fp4", "unstated", 1024, 512, 32, 2, 1, 10.0, ""],
        ["serving", "h100", "x 1", "qwen3-8b", "bf16", "bf16", 1024, 512, 32, 2, 4, 10.0, ""],
        ["decode_only", "h100", "x 1", "qwen3-8b", "bf16", "bf16", 1024, 1, 32, 2, 4, 10.0, ""],
    ]
    write(tmp_path / "end_to_end.csv.gz", E2E, rows)
    found = read_deployments(tmp_path)
    assert [row.kind for row in found] == ["serving", "serving_median_itl", "throughput", "decode_only"]
    assert [row.kv for row in found] == ["bfloat16", "fp8", "bfloat16", "bfloat16"]
    assert found[2].seconds == pytest.approx(8 / 400 / 2)
    assert found[3].batch == 8
    cost = price("qwen3-8b", Dense(), 1024, 512, chip="h100", mode="calibrated", batch=32, tensor_parallel=2)
    assert found[0].per_token(found[0].price("calibrated").seconds) == pytest.approx(
        float(cost.seconds) / 512 * 32 / 2
    )
    prefilled = found[0].price("calibrated").seconds_of("prefill")
    assert prefilled > 0 == found[1].price("calibrated").seconds_of("prefill")


def test_the_command_says_it_writes_it_and_holds_a_bar(tmp_path, capsys):
    shape = {"m": 64, "n": 4096, "k": 4096}
    us = float(kernel_seconds("gemm", "h100", **shape, dtype="bf16")) * 1e6
    header = ["chip", "framework", "dtype", *shape, "us"]
    rows = [["h100", "x", "bf16", *shape.values(), us * factor] for factor in (1, 2)]
    write(tmp_path / "gemm.csv.gz", header, [*rows, ["tpu_v4", "x", "bf16", *shape.values(), 5.0]])
    out, figure, bar = (tmp_path / name for name in ("o.json", "f.svg", "bar.json"))
    assert run(f"--data={tmp_path}", "--by=chip", f"--json={out}", f"--figure={figure}") == 0
    said = capsys.readouterr().out
    assert "gemm                                25.0% off" in said
    assert "2 of 3 rows" in said
    assert "no gemm kernel (bf16) was measured" in said
    found = json.loads(out.read_text())
    assert found["gemm"]["error"] == pytest.approx(0.25)
    assert found["gemm"]["by"]["h100"]["priced"] == 2
    assert figure.read_text().startswith("<?xml")
    bar.write_text('{"gemm": 30}')
    assert run(f"--data={tmp_path}", f"--bar={bar}") == 0
    bar.write_text('{"gemm": 20, "moe": 30}')
    assert run(f"--data={tmp_path}", f"--bar={bar}") == 1
    assert "gemm: 25.0 % against 20 %; moe: not compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--data is needed"),
        (["--data={0}"], "holds none of gemm.csv.gz"),
        (["--data={0}", "--evidence={0}/x.toml"], "needs --source"),
        (["--data={0}", "--overlap=max"], "read with --mode=exact only"),
        (["--data={0}", "--bar={0}/none.json"], "none.json"),
    ],
)
def test_the_command_refuses_in_one_line(flags, said, tmp_path):
    with pytest.raises(InputError, match=said) as caught:
        run(*(flag.format(tmp_path) for flag in flags))
    assert "\n" not in str(caught.value)


BAR = {"gemm": 0.28, "moe": 0.30, "decode_attention": 0.20, "prefill_attention": 0.28, "all_reduce": 0.33}


def test_kernels_are_as_far_off_as_the_page_says(silicon):
    found = all_pairs(silicon, "calibrated")
    for kind, most in BAR.items():
        one = accuracy(found[kind])
        assert one.error <= most, kind
        assert one.covered >= 0.85, kind
        assert one.priced >= 0.9 * one.rows, kind
    formats = by_group(found["gemm"], "format")
    assert formats["bf16"].error <= 0.12


def test_deployments_are_as_far_off_as_reports_say(silicon):
    found = {kind: accuracy(one) for kind, one in all_pairs(silicon, "calibrated").items()}
    serving, static = found["deployments/serving"], found["deployments/decode_only"]
    assert serving.error <= 0.15
    assert serving.covered >= 0.85
    assert serving.priced == serving.rows == 899
    assert static.error <= 0.10
    said = calibration("calibrated", "h100")
    assert said.rows == serving.priced
    assert said.error == pytest.approx(serving.error, rel=0.01)
    ideal = accuracy(all_pairs(silicon, "exact")["deployments/serving"])
    assert calibration("exact", "h100").error == pytest.approx(ideal.error, rel=0.01)


def test_the_faster_of_two_modules_is_named(silicon):
    found = sign_accuracy(silicon)
    assert found.right >= 0.95
    assert found.beyond >= 0.90
    assert found.right > found.dense_faster + 0.1, "better than naming dense always"


def test_evidence_is_of_every_mode(silicon):
    text = evidence_toml(silicon, "here", ["head"])
    assert text.startswith("# head\n")
    for table in ("exact.serving", "exact_max.serving", "calibrated.serving", "calibrated.tpu_v5e"):
        assert f"[{table}]" in text


def test_every_stored_constant_says_whose_it_is():
    for chip, ops in measured().items():
        for op, by_form in ops.items():
            for form, eff in by_form.items():
                assert eff.source, (chip, op, form)
                assert (eff.basis == "assumed") == (op in ("search", "pointwise", "host"))
                assert eff.rows > 0 or eff.basis == "assumed"
    assert {chip for chip in measured() if chip in chips} >= {"a100", "h100", "b200", "gb200", "rtx_pro_6000"}
