"""Gaps, segments and the threshold on frontiers that can be read by eye, and on the published one."""

import itertools

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.scaling import cost_ratio, paper_frontier, segments, threshold_model, vertical_gap

COSTS = np.geomspace(1, 1_000, 31)


def line(shift, top=0.9):
    """An accuracy that rises with the logarithm of cost, starting at cost ``shift``."""
    return np.clip(0.3 * np.log10(COSTS / shift), 0, top)


@pytest.fixture
def pair():
    return tuple(paper_frontier({"m": line(s)}, COSTS, smoothing=1) for s in (1.0, 10.0))


def test_vertical_gap_is_read_between_grid_points(pair):
    better, worse = pair
    assert vertical_gap(better, worse, 100.0) == pytest.approx(0.3)
    middle = (COSTS[15] + COSTS[16]) / 2
    ends = [better.accuracy[i] - worse.accuracy[i] for i in (15, 16)]
    assert vertical_gap(better, worse, middle) == pytest.approx(np.mean(ends))
    with pytest.raises(InputError, match="outside the grid"):
        vertical_gap(better, worse, 2_000.0)


def test_cost_ratio_is_that_of_the_last_costs_at_the_accuracy(pair):
    better, worse = pair
    assert cost_ratio(worse, better, 0.45) == pytest.approx(10.0)
    with pytest.raises(InputError, match="not on the frontier"):
        cost_ratio(worse, better, 0.8)  # the worse one ends at 0.6


def test_segments_cover_the_grid_and_the_threshold_is_the_widest_band():
    small, middle, large = line(1, 0.2), line(3, 0.7), line(60, 0.9) + 0.01 * (COSTS > 600)
    found = paper_frontier({"a": small, "b": middle, "c": large + 0.35 * (COSTS > 800)}, COSTS, smoothing=1)
    parts = segments(found)
    assert [part.model for part in parts] == ["a", "b", "c"]
    assert parts[0].start_cost == COSTS[0]
    assert parts[-1].end_cost == COSTS[-1]
    assert all(a.end_cost < b.start_cost for a, b in itertools.pairwise(parts))
    assert threshold_model(found) == "b"


def test_published_frontier_segments(reference_rows):
    rows = reference_rows("aime24_topk_genlen_raw_counts.csv")
    curves, costs = {}, []
    for row in rows:
        if row["series"] == "sparse_topk":
            accuracy = int(row["correct_count"]) / int(row["denominator"])
            curves.setdefault(row["model"], []).append(accuracy)
            if row["model"] == "32B":
                costs.append(float(row["tera_eflops"]))
    found = paper_frontier(curves, costs)
    order = [part.model for part in segments(found)]
    assert order == ["0.6B", "1.7B", "4B", "1.7B", "4B", "8B", "14B", "32B"]
    top = segments(found)[-1]
    assert top.start_cost == pytest.approx(2_000.0)
    assert top.end_accuracy == pytest.approx(0.825, abs=1e-5)
    # One model alone against the frontier it is part of: 4B needs no more at 0.5, 32B needs more.
    alone = paper_frontier({"32B": curves["32B"]}, costs)
    assert cost_ratio(alone, found, 0.5) > 1.5
    assert vertical_gap(found, alone, 350.0) > 0.1
