"""The cost model against the paper, its scripts and exact sums: every row, and docs/paper_facts.md."""

import numpy as np
import pytest

from kinetics_jax.costs import chips, feasible_batch, price
from kinetics_jax.costs.laws import (
    attention_over_weights,
    iso_eflops_length,
    iso_flops_length,
    length_where_attention_is,
    parameter_read_eflops,
)
from kinetics_jax.policies import BlockTopK, Dense, TopK
from kinetics_jax.shapes import presets

COLUMNS = {
    ("reference", "all"): ("ref_compute_tera", "ref_memory_tera"),
    ("paper", "all"): ("paper_eq_compute_tera", "paper_eq_memory_tera"),
    ("exact", "paper"): ("exact_sum_compute_tera", "exact_sum_memory_tera"),
}


def policy_of(row):
    if row["block_size"]:
        return BlockTopK(int(row["block_size"]), int(row["block_topk"]))
    return TopK(int(row["kv_budget"])) if row["kv_budget"] else Dense()


@pytest.mark.parametrize(("mode", "terms"), COLUMNS)
def test_every_row_of_the_reference_table(reference_rows, mode, terms):
    rows = reference_rows("cost_model_reference.csv")
    assert len(rows) > 600
    for row in rows:
        cost = price(
            presets[row["model"]],
            policy_of(row),
            int(row["L_in"]),
            int(row["L_out"]),
            int(row["N_trials"]),
            chip="b200",
            mode=mode,
            terms=terms,
        )
        assert cost.intensity == float(row["E_flops"]) == 562.5
        ours = [cost.compute_flops / 1e12, cost.memory_bytes * cost.intensity / 1e12]
        theirs = [float(row[column]) for column in COLUMNS[mode, terms]]
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, err_msg=str(row))
        if mode == "reference":
            np.testing.assert_allclose(cost.seconds, float(row["ref_total_b200_seconds_at_4500"]))


@pytest.mark.parametrize(
    ("budget", "trials", "compute", "memory", "mean_length", "prompt"),
    [
        (256, 1, 177.779911, 228.413344, 10754.3125, 218),
        (512, 1, 115.060594, 298.914251, 6894.6875, 128),
        (1024, 1, 77.925878, 416.069001, 4576.7500, 212),
        (128, 1, 105.772852, 68.243005, 6427.8125, 128),
        (128, 2, 973.563796, 628.128276, 29581.7188, 128),
        (64, 1, 373.569455, 120.787698, 22754.0000, 64),
        (32, 1, 197.969774, 32.042014, 12072.1563, 32),
    ],
)
def test_the_published_notebook_anchors(budget, trials, compute, memory, mean_length, prompt):
    """docs/paper_facts.md, "Anchors". Costs are linear here, so 32 lengths of that sum have that mean."""
    total = round(mean_length * 32)
    lengths = np.full(32, total // 32)
    lengths[: total % 32] += 1
    cost = price("qwen3-8b", TopK(budget), prompt, lengths, trials, chip="b200", mode="reference")
    assert cost.compute_flops.mean() / 1e12 == pytest.approx(compute, abs=5e-7)
    assert (cost.memory_bytes * 562.5).mean() / 1e12 == pytest.approx(memory, abs=5e-7)


@pytest.mark.parametrize(
    ("policy", "mode", "terms", "compute", "memory"),
    [
        (Dense(), "reference", "all", 1243.405766098944, 22468.953636864),
        (TopK(512), "reference", "all", 1093.3769254993917, 2798.0501483520),
        (BlockTopK(32, 16), "reference", "all", 1095.8127004385278, 3119.177465856),
        (Dense(), "exact", "paper", 1243.386438746, 22466.235727872),
        (TopK(512), "exact", "paper", 1093.164352930, 2768.157130752),
        (BlockTopK(32, 16), "exact", "paper", 1095.809784349, 3117.748174848),
    ],
)
def test_the_worked_example(policy, mode, terms, compute, memory):
    """docs/paper_facts.md, "Worked example": Qwen3-8B, N=8, L_in=300, L_out=8192."""
    cost = price("qwen3-8b", policy, 300, 8192, 8, chip="b200", mode=mode, terms=terms)
    np.testing.assert_allclose(cost.compute_flops / 1e12, compute, rtol=1e-11)
    np.testing.assert_allclose(cost.memory_bytes * 562.5 / 1e12, memory, rtol=1e-11)


@pytest.mark.parametrize(
    ("policy", "trials", "compute", "memory"),
    [
        (TopK(256), 1, 213.93318338784, 274.99336704),
        (Dense(), 8, 2241.507170797056, 75339.495968256),
        (BlockTopK(64, 4), 8, 1715.698000332288, 2785.1366255039998),
    ],
)
def test_expected_cost_averages_prices_not_lengths(policy, trials, compute, memory):
    """docs/paper_facts.md, "Worked example": paper eq. (10), the mean of the price over sampled lengths."""
    lengths = np.array([2937, 10271, 9667, 8809, 16987, 12844, 11248, 30767])
    cost = price("qwen3-8b", policy, 186, lengths, trials, chip="b200", mode="reference")
    assert cost.compute_flops.mean() / 1e12 == pytest.approx(compute, rel=1e-12)
    assert (cost.memory_bytes * 562.5).mean() / 1e12 == pytest.approx(memory, rel=1e-12)


def test_reference_mode_keeps_the_negative_memory_cost():
    """docs/paper_facts.md, "Discrepancies": −202.67 tera-eFLOPs of memory where the exact sum is +53.0."""
    ask = ("qwen3-0.6b", BlockTopK(8, 256), 128, 512, 4)
    reference = price(*ask, chip="b200", mode="reference").memory_bytes * 562.5 / 1e12
    exact = price(*ask, chip="b200", terms="paper").memory_bytes * 562.5 / 1e12
    assert reference == pytest.approx(-202.67, abs=0.01)
    assert exact == pytest.approx(53.0, abs=0.05)


def test_first_layer_dense_overhead(reference_rows):
    """The dense layer 0 that the paper leaves out, against top-k (docs/paper_facts.md, "Worked example")."""
    for row in reference_rows("first_layer_dense_overhead.csv"):
        model, length = presets[f"qwen3-{row['model']}"], int(row["L_out"])
        ask = {"chip": "b200", "mode": "reference"}
        sparse = price(model, TopK(int(row["kv_budget"])), 128, length, **ask).eflops
        dense = price(model, Dense(), 128, length, **ask).eflops
        extra = (dense - sparse) / model.num_layers
        # The figures are printed to five digits.
        assert sparse / 1e12 == pytest.approx(float(row["ref_topk_cost_tera_eflops"]), rel=1e-4)
        want = float(row["extra_if_layer0_dense_tera_eflops"])
        assert extra / 1e12 == pytest.approx(want, rel=1e-4)
        assert 100 * extra / sparse == pytest.approx(float(row["extra_percent"]), abs=6e-3)


def test_parameter_read_at_the_feasible_batch(reference_rows):
    """Weight reads that the paper drops, at the batch that fits 8×H200 (docs/paper_facts.md, "Gaps")."""
    for row in reference_rows("parameter_read_at_feasible_batch.csv"):
        model, length = presets[f"qwen3-{row['model']}"], int(row["L_out"])
        batch = feasible_batch(model, chips.h200, length, num_chips=8)
        assert batch == int(row["feasible_batch_8xH200_90pct"])
        read = parameter_read_eflops(model, length, batch, intensity=562.5)
        assert read / 1e12 == pytest.approx(float(row["param_read_tera_eflops_per_request"]), rel=1e-4)
        for column, policy in (
            ("percent_of_dense", Dense()),
            ("percent_of_topk_B128", TopK(128)),
            ("percent_of_topk_B1024", TopK(1024)),
        ):
            whole = price(model, policy, 128, length, chip="b200", mode="reference").eflops
            assert 100 * read / whole == pytest.approx(float(row[column]), rel=1e-3, abs=0.06)


PHI = {
    "qwen3-0.6b": (88, 705, 464),
    "qwen3-1.7b": (33, 261, 1253),
    "qwen3-4b": (21, 170, 1923),
    "qwen3-8b": (10.4, 84, 3920),
    "qwen3-14b": (6.4, 52, 6352),
    "qwen3-32b": (4.7, 37, 8759),
}


@pytest.mark.parametrize("name", PHI)
def test_phi_table(name):
    """Attention over weights at 4K and 32K tokens, and where tenfold (docs/paper_facts.md, "Claims")."""
    *printed, crossover = PHI[name]
    phi = attention_over_weights(presets[name], np.array([4096, 32768]), intensity=562.5)
    np.testing.assert_allclose(phi, printed, atol=0.5)
    length = length_where_attention_is(10.0, presets[name], intensity=562.5)
    assert length == pytest.approx(crossover, rel=5e-3)


def test_iso_cost_contours():
    """docs/paper_facts.md, "Cost equations": tokens at I·D·L² = 2e16, the 14B of true width."""
    lengths = {"qwen3-0.6b": 25_000, "qwen3-8b": 22_000, "qwen3-32b": 16_460}
    for name, tokens in lengths.items():
        ours = iso_eflops_length(presets[name], 2e16, intensity=562.5, attention_only=True)
        assert ours == pytest.approx(tokens, rel=5e-3)
    small, large = presets["qwen3-4b"], presets["qwen3-14b"]
    same_flops = iso_flops_length(small, 2 * large.paper_params * 8000)
    assert same_flops == pytest.approx(29_400, rel=5e-3)
    spent = 562.5 * large.kv_elements_per_token * 8000.0**2
    same_reads = iso_eflops_length(small, spent, intensity=562.5, attention_only=True)
    assert same_reads == pytest.approx(8_430, rel=5e-3)
    r, D = large.queries_per_kv, large.kv_elements_per_token
    full = 2 * large.paper_params * 8192 + (r + 562.5) * D * 8192.0**2  # this one means 8 Ki tokens
    assert iso_eflops_length(small, full, intensity=562.5) == pytest.approx(8_880, rel=2e-3)


def test_the_constants_of_the_paper():
    """10⁵ tera-eFLOPs are 22.2 s of B200; I is 562.5, and 281.25 with BF16 on both sides."""
    assert 1e17 / chips.b200.paper_peak == pytest.approx(22.2, abs=0.03)
    assert chips.b200.paper_intensity == 562.5
    assert chips.b200.intensity("bfloat16") == 281.25
    assert chips.h100.intensity() == pytest.approx(295.2, abs=0.1)
