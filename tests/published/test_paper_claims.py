"""Every row of ``kinetics paper`` against a figure from elsewhere, the verdicts, and the command."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kinetics_jax.published import VERDICTS, Finding, as_markdown, docs_page, findings
from kinetics_jax.published.from_chance import null_gain
from kinetics_jax.published.points import dense_frontier, figures, sparse_frontier
from kinetics_jax.scaling import paper_frontier, segments

ROOT = Path(__file__).resolve().parents[2]
ROWS = {row.id: row for row in findings()}
# Worked out apart from this code, by hand or from the model cards: (figure, relative error, verdict).
BY_HAND = {
    "kv_of_14b": (40 * 2 * 8 * 128 * 2 * 32_768 / 2**30, 1e-9, "refuted"),
    "kv_of_the_others": (7, 0, "reproduced"),
    "kv_trend_qwen3": (1.189, 1e-3, "reproduced"),
    "kv_trend_qwen25": (1.465, 2e-3, "reproduced"),
    "kv_jump_of_r1": (48 * 8 / (28 * 4), 1e-9, "reproduced"),
    "attention_over_the_weights": ((8 + 562.5) * 131_072 * 4096 / (2 * 32.76e9), 1e-9, "refuted"),
    "iso_flops": (8 * 14.77 / 4.02, 1e-9, "refuted"),
    "iso_eflops": (8 * np.sqrt(81_920 / 73_728), 1e-9, "refuted"),
    "iso_contours": (np.sqrt(2e16 / 562.5 / 81_920), 1e-9, "refuted"),
    "experts": (30.5 / 3.35, 5e-3, "refuted"),
    "notebook_price": (177.779911 + 228.413344, 1e-7, "reproduced"),
    "intensity": (2250 / 8, 1e-9, "refuted"),
    "a_second": (1e5 / 4500, 1e-9, "reproduced"),
    "first_layer": (387, 2e-3, "refuted"),
    "weight_reads": (396, 2e-3, "refuted"),
    "throughput_batch": (539, 1e-9, "refuted"),
    "threshold": ("14B", 0, "reproduced"),
    "dearer_by_flops": (2.97, 5e-3, "reproduced"),
    "long_cot_gain": (47.2, 5e-3, "reproduced"),
    "long_cot_ratio": (11.2, 1e-2, "reproduced"),
    "more_than_tenfold": (11.2, 1e-2, "reproduced"),
    "dear_end": (4.72, 1e-2, "refuted"),
    "token_law": (2**0.797, 1e-3, "reproduced"),
    "budget_law": (1.40, 5e-3, "refuted"),
    "selection": (7.0, 2e-2, "refuted"),
}


def test_there_are_31_claims_of_different_names():
    assert len(findings()) == len(ROWS) == 31
    assert set(BY_HAND) == {row.id for row in findings() if row.basis in ("computed", "chance", "figure")}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_row_is_the_figure_worked_out_elsewhere(name):
    want, error, verdict = BY_HAND[name]
    row = ROWS[name]
    assert row.verdict == verdict
    assert row.ours == (pytest.approx(want, rel=error) if isinstance(want, float | int) else want)


def _row(**given):
    return Finding(id="x", claim="", where="", unit="", **{"published": 10.0, **given})


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"ours": 10.4, "tolerance": 0.5}, "reproduced"),
        ({"ours": 9.4, "tolerance": 0.5}, "refuted"),
        ({"ours": 50.0, "rule": "at least"}, "reproduced"),
        ({"ours": 9.9, "rule": "at least"}, "refuted"),
        ({"ours": 9.9, "rule": "at least", "tolerance": 0.2}, "reproduced"),
        ({"ours": 1.0, "rule": "at most"}, "reproduced"),
        ({"ours": 11.0, "rule": "at most"}, "refuted"),
        ({"ours": "8B", "published": "14B"}, "refuted"),
        ({"basis": "traces"}, "needs traces"),
        ({"basis": "a chip"}, "needs a chip"),
    ],
)
def test_a_verdict_follows_from_the_two_figures(given, verdict):
    assert _row(**given).verdict == verdict


@pytest.mark.parametrize("given", [{}, {"ours": 1.0, "basis": "traces"}])
def test_a_row_has_a_figure_or_says_what_it_needs(given):
    with pytest.raises(ValueError, match="a figure of ours"):
        _row(**given)


def test_the_chances_of_choosing_on_the_scored_samples_are_those_of_a_simulation():
    rng = np.random.default_rng(3)
    p = rng.beta(0.9, 0.6, (200_000, 1))
    for trials in (8, 32):
        counts = rng.binomial(trials, p, (len(p), 5)) / trials
        assert null_gain(trials) == pytest.approx(100 * (counts.max(1) - p[:, 0]).mean(), abs=0.15)
    assert null_gain(32, configurations=1) == pytest.approx(0, abs=1e-9)


def _published_curves(reference_rows):
    curves, costs = {}, {}
    for row in reference_rows("aime24_topk_genlen_raw_counts.csv"):
        if row["series"] == "sparse_topk":
            curves.setdefault(row["model"], []).append(int(row["correct_count"]) / int(row["denominator"]))
            costs.setdefault(row["model"], []).append(float(row["tera_eflops"]))
    return curves, next(iter(costs.values()))


def test_the_packaged_curves_are_those_of_the_figure(reference_rows):
    curves, costs = _published_curves(reference_rows)
    whole, ours = paper_frontier(curves, costs), sparse_frontier()
    np.testing.assert_allclose(ours.costs, costs[::3], rtol=6e-3)
    for name, curve in whole.curves.items():
        np.testing.assert_allclose(ours.curves[name], curve[::3], atol=5.1e-4)
    np.testing.assert_allclose(ours.accuracy, whole.accuracy[::3], atol=0.015)
    assert [part.model for part in segments(ours)][-3:] == ["8B", "14B", "32B"]


def test_the_gap_at_the_dear_end_is_that_of_the_exact_counts(reference_rows):
    curves, costs = _published_curves(reference_rows)
    top = float(paper_frontier(curves, costs).accuracy[-1])
    assert ROWS["dear_end"].ours == pytest.approx(100 * (top - 0.7778), abs=0.05)


def test_the_packaged_tokens_are_those_of_the_figure(reference_rows):
    rows = reference_rows("fig7_tokens_and_kv_budget_vs_cost_raster.csv")
    want = [float(row["value"]) for row in rows if "tokens" in row["panel"]]
    np.testing.assert_allclose(figures()["tokens"]["values"], want, rtol=6e-3)


def test_first_layer_and_weight_reads_follow_the_reference_tables(reference_rows):
    """The worst rows of the tables are the shorter lengths' only; they bound the rows from below."""
    shares = [float(row["extra_percent"]) for row in reference_rows("first_layer_dense_overhead.csv")]
    assert ROWS["first_layer"].ours > max(shares)
    reads = [
        float(row["percent_of_topk_B128"]) for row in reference_rows("parameter_read_at_feasible_batch.csv")
    ]
    assert ROWS["weight_reads"].ours >= max(reads)
    assert f"{min(reads):.0f} to" in ROWS["weight_reads"].note


def test_dense_never_lies_above_sparse():
    sparse, dense = sparse_frontier(), dense_frontier()
    assert (np.interp(dense.costs, sparse.costs, sparse.accuracy) >= dense.accuracy).all()


def test_a_markdown_row_has_as_many_cells_as_the_head():
    table = [line for line in as_markdown(findings()).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_the_page_of_the_docs_is_the_command_s():
    page = (ROOT / "docs" / "paper_claims.md").read_text("utf-8")
    assert page == docs_page(findings()), "write it anew: kinetics paper --docs=docs/paper_claims.md"


def test_nothing_is_asked_of_a_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert len(findings()) == 31


def _command(folder, *flags):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "kinetics_jax.cli.main", "paper", *flags]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_the_command_prints_and_writes_every_row_within_a_minute(tmp_path):
    done = _command(tmp_path, "--json=rows.json", "--markdown")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads((tmp_path / "rows.json").read_text("utf-8"))["claims"]
    assert [row["id"] for row in rows] == list(ROWS)
    assert {row["verdict"] for row in rows} == set(VERDICTS)
    assert all(f"| {name} |" in done.stdout for name in ROWS)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    done = _command(tmp_path, f"--json={tmp_path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("paper: --json=")
    assert done.stderr.count("\n") == 1
