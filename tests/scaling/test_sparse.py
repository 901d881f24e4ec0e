"""Sparse against dense at equal cost, on traces whose truth is known."""

import numpy as np
import pytest

from kinetics_jax.costs import chips
from kinetics_jax.policies import BlockTopK
from kinetics_jax.scaling import read_trials
from kinetics_jax.scaling.frontier.sparse_gain import _cost
from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.scaling.law.one_law import LawOptions, find_law
from kinetics_jax.scaling.law.paper_claims import AttentionShare, claims, claims_answer
from kinetics_jax.scaling.law.sentences import answers
from kinetics_jax.scaling.traces.comparable import comparable_families
from tests.scaling.test_law import table

FAST = LawOptions(bootstrap=60, splits=2, grid_points=60)
LONG = {"Qwen3-0.6B": (0.4, 6000), "Qwen3-4B": (0.7, 6000)}
WORSE = {"Qwen3-0.6B": (0.1, 6000), "Qwen3-4B": (0.2, 6000)}


def law_of(folder, sparse_skill, policy="block_topk(16, 16)", **design):
    dense = table(folder / "dense.csv", LONG, **design)
    sparse = table(folder / "sparse.csv", sparse_skill, policy=f'"{policy}"', seed=1, **design)
    (family,), _ = comparable_families(read_trials([dense, sparse]))
    return find_law(family, chips.b200, FAST)


def verdict(law):
    return claims([law], AttentionShare(0.9, 0.9))[-1].verdict


def test_as_good_and_cheaper_gains(tmp_path):
    """24 questions show the mean gain, but not that no cost is behind by a point."""
    law = law_of(tmp_path, LONG)
    assert law.sparse.gain.low > 0
    assert law.sparse.gain.low <= law.sparse.gain.value <= law.sparse.gain.high
    assert law.sparse.cheaper.value > 1  # (24 questions: the interval is wide)
    assert verdict(law) == "undecided"


def test_better_and_cheaper_wins_at_every_cost(tmp_path):
    """The mean of a gain says nothing of any one cost; here each is above −1 point."""
    law = law_of(tmp_path, {"Qwen3-0.6B": (0.7, 6000), "Qwen3-4B": (0.95, 6000)}, questions=120)
    assert (law.sparse.difference.low[np.isfinite(law.sparse.difference.low)] > -0.01).all()
    assert verdict(law) == "holds"


def test_a_loss_at_the_dear_end_is_not_outweighed_by_a_gain_elsewhere(tmp_path):
    """Once this said "holds" while its own curve ended ten points down."""
    law = law_of(tmp_path, {"Qwen3-0.6B": (0.35, 6000), "Qwen3-4B": (0.5, 6000)}, questions=120)
    assert law.sparse.gain.low > 0
    assert law.sparse.sparse[-1] < law.sparse.dense[-1]
    assert verdict(law) == "fails"


def test_much_worse_never_reaches_what_dense_does(tmp_path):
    law = law_of(tmp_path, WORSE)
    assert law.sparse.sparse[-1] < law.sparse.dense[-1]
    assert law.sparse.cheaper.value == 0
    assert law.sparse.gain.value < 10
    assert any("sparse never solves 95 %" in said and "at least" in said for said in answers([law]))


@pytest.mark.parametrize("policy", ["", "dense"])
def test_dense_alone_is_no_comparison(tmp_path, policy):
    dense = read_trials(table(tmp_path / "dense.csv", LONG, policy=policy))
    (family,), _ = comparable_families(dense)
    law = find_law(family, chips.b200, FAST)
    assert law.sparse is None
    found = claims([law], AttentionShare(0.2, 0.3))
    assert found[-1].verdict == "untested"
    assert "they contradict: attention is most of the cost" in claims_answer(found)


def test_a_target_that_is_never_reached_costs_infinitely_much():
    costs = np.array([1.0, 2.0, 4.0])
    accuracy = np.array([[0.1, 0.5, 0.6], [0.0, 0.1, 0.2]])
    assert _cost(costs, accuracy, np.array([0.5, 0.5])).tolist() == [2.0, np.inf]


def test_what_was_measured_is_not_projected(tmp_path):
    dense = table(tmp_path / "dense.csv", LONG)
    sparse = table(tmp_path / "sparse.csv", LONG, policy='"topk(256)"', seed=1)
    both = read_trials([dense, sparse])
    for trials, projected in ((read_trials(dense), ["", "block top-k 16×16"]), (both, [""])):
        found = find_results(trials, [chips.b200], FAST, project=BlockTopK(16, 16))
        assert [law.projected_policy for law in found.laws] == projected
        assert any("is not projected" in reason for reason in found.skipped) == (trials is both)
