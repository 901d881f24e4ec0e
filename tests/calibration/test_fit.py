"""Constants come out of timings that were made with them; errors are those of what was kept apart."""

import csv
import gzip
import tomllib

import numpy as np
import pytest

from kinetics_jax.calibration import as_toml, fit_all
from kinetics_jax.calibration.fit import Sample, evidence, fit, held_out, unseen, with_efficiency
from kinetics_jax.calibration.tables import TABLES, read_columns, read_kernels
from kinetics_jax.chips import chips
from kinetics_jax.chips.efficiency import Efficiency, read_table
from kinetics_jax.errors import InputError

BY_OP = {table.op: table for table in TABLES}
TRUE = {
    "gemm": Efficiency(floor=3e-6, per_k=4e-10, compute=0.7, bandwidth=0.85, cached=2.0, cached_span=0.3),
    "moe": Efficiency(floor=3e-5, per_row=5.0, compute=0.4, bandwidth=0.8, skew_flops=1.7, skew_bytes=0.9),
    "decode_attention": Efficiency(floor=1e-5, bandwidth=0.75, cached=1.5, cached_span=0.5),
    "prefill_attention": Efficiency(floor=1.3e-5, per_token=5e-9, compute=0.6, bandwidth=0.4),
    "all_reduce": Efficiency(floor=5e-6, per_peer=4e-7, bandwidth=0.55),
}


def shapes(op, rng, count):
    def powers(low, high):
        return 2.0 ** rng.integers(low, high, count)

    columns = {
        "gemm": lambda: {"m": powers(0, 14), "n": powers(8, 15), "k": powers(8, 14)},
        "moe": lambda: {
            "tokens": powers(0, 13),
            "hidden": 1024.0 * rng.integers(2, 7, count),
            "inter": 512.0 * rng.integers(2, 8, count),
            "topk": 2.0 * rng.integers(1, 5, count),
            "experts": powers(5, 9),
            "tp": powers(0, 3),
            "ep": powers(0, 3),
            "distribution": rng.choice(["balanced", "power_law_1.2"], count),
        },
        "decode_attention": lambda: {
            "q_heads": 8.0 * rng.integers(1, 9, count),
            "kv_heads": powers(0, 4),
            "batch": powers(0, 10),
            "context": powers(7, 17),
        },
        "prefill_attention": lambda: {
            "q_heads": 8.0 * rng.integers(1, 9, count),
            "kv_heads": powers(0, 4),
            "batch": powers(0, 6),
            "tokens": powers(4, 14),
        },
        "all_reduce": lambda: {"gpus": powers(1, 4), "bytes": powers(9, 28), "kernel": np.full(count, "own")},
    }
    return columns[op]()


def sample(op, seed, noise=0.0, count=400, names=("h100",)):
    rng = np.random.default_rng(seed)
    table, form = BY_OP[op], "bf16" if BY_OP[op].form else "any"
    columns = shapes(op, rng, count)
    columns |= {"chip": rng.choice(names, count), "framework": np.full(count, "made")}
    if table.form:
        columns[table.form] = np.full(count, form)
    bare = Sample(table, form, {**columns, "us": np.ones(count)})
    seconds = bare.predicted(TRUE[op]) * np.exp(noise * rng.standard_normal(count))
    return Sample(table, form, {**columns, "us": seconds * 1e6})


@pytest.mark.parametrize("op", TRUE)
def test_constants_are_found_again(op):
    found = fit(sample(op, seed=5))
    for name in BY_OP[op].constants:
        assert getattr(found, name) == pytest.approx(getattr(TRUE[op], name), rel=0.02), name


@pytest.mark.parametrize("op", ["gemm", "decode_attention"])
def test_errors_are_those_of_the_noise_and_cover_it(op):
    found = held_out(sample(op, seed=6, noise=0.2))
    assert found["rows"] == 400
    assert found["error"] == pytest.approx(0.2 * np.sqrt(2 / np.pi), rel=0.2)
    assert found["low"] == pytest.approx(np.exp(-1.645 * 0.2), rel=0.1)
    assert found["high"] == pytest.approx(np.exp(1.645 * 0.2), rel=0.1)


def test_outliers_do_not_rule_a_fit():
    clean = sample("decode_attention", seed=7)
    us = clean.columns["us"].copy()
    us[::10] *= 20  # one framework in ten is lost
    found = fit(Sample(clean.table, clean.form, {**clean.columns, "us": us}))
    assert found.floor == pytest.approx(TRUE["decode_attention"].floor, rel=0.1)
    assert found.bandwidth == pytest.approx(TRUE["decode_attention"].bandwidth, rel=0.1)


def test_a_shape_that_is_off_is_seen_only_when_it_is_kept_apart():
    made = sample("gemm", seed=8)
    odd = (made.columns["n"] == 2**14) & (made.columns["k"] == 2**13)
    us = np.where(odd, made.columns["us"] * 3, made.columns["us"])
    off = Sample(made.table, made.form, {**made.columns, "us": us})
    assert held_out(off)["error"] > held_out(made)["error"] + 0.3 * odd.mean()


def test_an_unseen_chip_is_predicted_by_the_others():
    made = sample("gemm", seed=9, names=("h100", "b200", "a100"))
    assert unseen(made)["error"] < 0.02, "all have the same shares"
    slow = np.where(made.columns["chip"] == "a100", 3.0, 1.0) * made.columns["us"]
    assert unseen(Sample(made.table, made.form, {**made.columns, "us": slow}))["error"] > 0.2


def test_evidence_of_a_perfect_prediction_is_nothing():
    assert evidence(np.ones(9), np.ones(9)) == {"error": 0.0, "low": 1.0, "high": 1.0, "rows": 9}


def test_a_call_of_the_cpu_s_pace_is_not_looked_at(tmp_path):
    rows = [["h100", "x", kernel, 2, 1024, us] for kernel, us in (("own_graph", 5), ("own_eager", 50))]
    write(tmp_path / "all_reduce.csv.gz", ["chip", "framework", "kernel", "gpus", "bytes", "us"], rows)
    assert read_kernels(tmp_path, BY_OP["all_reduce"])["us"].tolist() == [5.0]


def write(file, header, rows):
    with gzip.open(file, "wt", newline="") as lines:
        csv.writer(lines).writerows([header, *rows])


def test_a_folder_becomes_a_table_that_prices(tmp_path):
    for op in TRUE:
        made = sample(op, seed=10, noise=0.1, names=("h100", "b200"))
        write(tmp_path / f"{op}.csv.gz", list(made.columns), zip(*made.columns.values(), strict=True))
    found = fit_all(tmp_path, "made here")
    text = as_toml(found, ["head"])
    assert text.startswith("# head\n\n[")
    tables = tomllib.loads(text)
    assert {"h100", "b200", "shared", "unseen"} <= set(tables)
    read = read_table(tables["h100"])
    assert read["gemm"]["bf16"].floor == pytest.approx(3e-6, rel=0.1)
    assert read["gemm"]["bf16"].source == "made here (made)"
    chip = with_efficiency(chips["h100"], "gemm", "bf16", read["gemm"]["bf16"])
    assert chip.reached("gemm", "bf16").rows == found["h100"]["gemm"]["bf16"].rows


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        (
            ["chip", "framework", "m", "n", "us", "dtype"],
            [["h100", "x", 1, 1, 1, "bf16"]],
            "lacks the column k",
        ),
        (["chip"], [], "not a table of rows"),
        (["chip", "us"], [["h100"]], "not a table of rows"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(header, rows, said, tmp_path):
    write(tmp_path / "gemm.csv.gz", header, rows)
    with pytest.raises(InputError, match=said):
        read_kernels(tmp_path, BY_OP["gemm"])


def test_a_file_that_is_no_table_is_refused(tmp_path):
    file = tmp_path / "gemm.csv.gz"
    file.write_bytes(b"not packed")
    with pytest.raises(InputError, match="cannot read the table"):
        read_columns(file)
    with pytest.raises(InputError, match="cannot read the table"):
        read_columns(tmp_path / "none.csv")
