"""Verdicts are made from bounds: of one law, of several together, and of curves."""

import dataclasses
import functools

import numpy as np
import pytest

from kinetics_jax.costs import chips
from kinetics_jax.errors import InputError
from kinetics_jax.policies import TopK
from kinetics_jax.scaling.frontier.bootstrap import bootstrap_frontier
from kinetics_jax.scaling.frontier.frontiers import cost_grid, largest_token_demand, study_frontier
from kinetics_jax.scaling.frontier.growing import Growth, growth
from kinetics_jax.scaling.frontier.study import build_study
from kinetics_jax.scaling.frontier.token_demand import _demands, demand_exponents
from kinetics_jax.scaling.law.deployments import priced_families
from kinetics_jax.scaling.law.judged_laws import judge_exponents, judge_fairness, judge_sizes, judge_sparse
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.paper_claims import AttentionShare, attention_share, claims, claims_answer
from kinetics_jax.scaling.law.result_parts import SparseGain
from kinetics_jax.scaling.law.verdicts import Judged, equivalence, summary, told
from kinetics_jax.scaling.statistics.bands import Bands, difference_bands, one_sided, stretch
from kinetics_jax.scaling.statistics.intervals import Estimate
from kinetics_jax.scaling.statistics.resampling import bootstrap_weights
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.shapes import presets


def bands(value, one=0.02, every=0.04):
    value = np.asarray(value, float)
    return Bands(value, value - one, value + one, value - every, value + every)


@pytest.fixture(scope="module")
def law():
    """A law of three sizes to put curves into, at six costs."""
    from tests.report.conftest import SIZES, make_law

    models = ("qwen3-0.6b", "qwen3-4b", "qwen3-14b")
    made = make_law(models=models)
    return dataclasses.replace(
        made, costs=made.costs[:6], sparse=None, sizes=tuple(SIZES[name] for name in models)
    )


def with_growth(law, *curves):
    return dataclasses.replace(law, growth=tuple(map(Growth, law.sizes, map(bands, curves))))


def with_sparse(law, curve):
    points = Estimate(value=1.0, unit="points of accuracy", low=0.5, high=1.5)
    none = np.zeros(6)
    gain = SparseGain(
        flavour="held_out", dense=none, sparse=none, difference=bands(curve), gain=points, cheaper=points
    )
    return dataclasses.replace(law, sparse=gain)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((-0.5, 0.9), "holds"), ((1.1, 2.0), "fails"), ((-3.0, -1.2), "fails"), ((-0.4, 1.2), "undecided")],
)
def test_equivalence_must_be_shown_and_so_must_difference(interval, verdict):
    assert equivalence(*interval, -1.0, 1.0) == verdict


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        (("holds", "holds"), "holds"),
        (("holds", "undecided"), "undecided"),
        (("fails", "undecided"), "fails"),
        (("fails", "holds", "undecided"), "mixed"),
        (("not comparable",), "not comparable"),
        (("not comparable", "holds"), "holds"),
        (("not comparable", "undecided"), "undecided"),
        ((), "untested"),
    ],
)
def test_one_word_for_several_families(verdicts, word):
    judged = [Judged(f"set {i}", verdict, "why") for i, verdict in enumerate(verdicts)]
    assert summary(judged) == word


def test_several_families_are_counted_and_what_is_decided_is_told_first():
    judged = [Judged("a", "undecided", "1"), Judged("b", "fails", "2"), Judged("c", "holds", "3")]
    assert told(judged) == "fails in 1, holds in 1, undecided in 1 of 3 (b: 2; c: 3; a: 1)"


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        ([0.05] * 6, "holds"),
        ([0.20, 0.20, 0.10, 0.05, 0.015, 0.02], "holds"),
        ([0.20, 0.20, 0.10, 0.00, 0.00, 0.00], "undecided"),
        ([0.20, 0.20, 0.10, 0.00, -0.03, -0.03], "undecided"),
        ([0.20, 0.20, 0.10, 0.00, -0.09, -0.09], "fails"),
        ([np.nan, 0.20, 0.10, 0.05, 0.05, 0.05], "holds"),
        ([0.005] * 6, "undecided"),
        ([np.nan] * 6, "undecided"),
    ],
)
def test_winning_at_every_cost_is_judged_cost_by_cost(law, curve, verdict):
    assert judge_sparse(with_sparse(law, curve), 1).verdict == verdict


def test_more_families_take_wider_bounds(law):
    """Just sure alone; of twenty such, one is expected to look so by chance."""
    one = with_sparse(law, [0.2, 0.2, 0.1, 0.0, -0.045, -0.045])
    assert judge_sparse(one, 1).verdict == "fails"
    assert judge_sparse(one, 20).verdict == "undecided"


@pytest.mark.parametrize(
    ("curves", "verdict", "word"),
    [
        (([-0.1, -0.1, 0.1, 0.2, 0.2, 0.2], [-0.3, -0.3, -0.2, -0.1, -0.1, -0.05]), "holds", "up to 4.0B"),
        (([-0.1, -0.1, 0.1, 0.2, 0.2, 0.2], [-0.3, -0.3, -0.2, 0.1, 0.1, 0.1]), "undecided", "no threshold"),
        (([-0.1, -0.1, 0.1, 0.2, 0.2, 0.2], [-0.3, -0.3, -0.2, -0.1, 0.0, 0.0]), "undecided", "14.8B"),
        (([-0.1] * 6, [-0.3] * 6), "fails", "no size above 0.6B"),
        (([-0.1, 0.1, 0.1, 0.1, -0.1, -0.1], [-0.3] * 6), "fails", "worse at"),
        (([0.1] * 6, [-0.3] * 6), "undecided", "do not show that sizes rise"),
    ],
)
def test_a_threshold_takes_a_larger_size_that_is_not_better(law, curves, verdict, word):
    judged = judge_sizes(with_growth(law, *curves), 1)
    assert (judged.verdict, word in judged.why) == (verdict, True), judged.why


def test_a_size_that_is_left_out_is_not_comparable(law):
    apart = dataclasses.replace(law, growth=(), not_comparable={"sizes": "temperatures 0 and 0.6"})
    assert judge_sizes(apart, 1) == Judged("aime24/traces", "not comparable", "temperatures 0 and 0.6")
    found = claims([apart], None)[1]
    assert (found.verdict, found.finding) == ("not comparable", "aime24/traces: temperatures 0 and 0.6")
    assert "not comparable: larger models" in claims_answer([found])


def test_without_significance_choosing_is_not_fair(law):
    """The interval holds nothing, and several points too: once that was "bear out"."""

    def fair(low, high):
        bias = Estimate(value=(low + high) / 2, unit="points of accuracy", low=low, high=high)
        return judge_fairness(dataclasses.replace(law, selection_bias=bias), 1).verdict

    assert [fair(-0.5, 3.0), fair(-0.2, 0.6), fair(1.5, 3.0)] == ["undecided", "holds", "fails"]
    assert judge_fairness(law, 1) is None


def test_an_exponent_is_the_papers_within_a_tenth(law):
    def exponent(low, high):
        fit = Estimate(value=(low + high) / 2, unit="", low=low, high=high, span=(1e13, 1e15))
        return judge_exponents(dataclasses.replace(law, token_demand={"m": fit}), 1)[0]

    assert [exponent(*ends).verdict for ends in ((0.75, 0.85), (0.4, 0.6), (0.6, 1.0))] == [
        "holds",
        "fails",
        "undecided",
    ]
    assert "from 4.4 chip-ms to 0.44 chip-seconds" in exponent(0.75, 0.85).why


def test_dense_traces_say_nothing_of_an_exponent_of_sparse_ones(law):
    found = claims([law], None)[2]
    assert found.verdict == "untested"
    assert "not of dense ones" in found.finding


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        ((0.6, 0.9, 2, 0, 2), "holds"),
        ((0.1, 0.4, 0, 2, 2), "fails"),
        ((0.1, 0.9, 1, 1, 2), "mixed"),
        ((0.4, 0.9, 1, 0, 2), "undecided"),
    ],
)
def test_attention_is_bounded_over_cells(share, verdict):
    assert claims([], AttentionShare(*share))[0].verdict == verdict


def test_the_share_of_attention_is_of_the_sum_that_is_paid(make_cell):
    """Short traces cost little: they do not count as much as the long ones that are paid for."""
    tokens = np.where(np.arange(8)[:, None] < 4, 100.0, 30_000.0) * np.ones((8, 8))
    cell = make_cell("Qwen3-4B", generated_tokens=tokens, shape=presets["Qwen3-4B"])
    family = Family("s", "d", (cell,), ())
    found = attention_share(priced_families([family], chips.b200, LawOptions()))
    long = dataclasses.replace(cell, generated_tokens=np.full((8, 8), 30_000.0))
    alone = attention_share(priced_families([Family("s", "d", (long,), ())], chips.b200, LawOptions()))
    assert found.low < alone.high
    assert found.high > 0.95 * alone.low
    assert (found.above, found.below, found.cells) == (1, 0, 1)


def test_sizes_are_compared_under_the_policies_that_all_have(make_cell, price):
    """Sparse samples of the larger model alone change nothing; without a common policy there is nothing."""
    small, large = make_cell("4B", [0.3] * 20), make_cell("14B", [0.8] * 20, seed=1)
    sparse = make_cell("14B", [0.1] * 20, policy=TopK(64), seed=2)

    def of(*cells):
        study = build_study(cells, price)
        resampled = functools.partial(bootstrap_frontier, costs=np.geomspace(1e5, 1e8, 20), resamples=20)
        return growth(study, {"4B": 4.0, "14B": 14.0}, resampled)

    np.testing.assert_array_equal(of(small, large)[0].difference, of(small, large, sparse)[0].difference)
    assert of(small, large)[0].size == 4.0
    assert of(small, sparse) == ()


# Bounds of curves.


def simulated_bands(rng, questions, truth, resamples=200):
    """A curve of mean differences of correlated outcomes, resampled as laws are."""
    noise = rng.normal(size=(questions, 1)) + 0.5 * rng.normal(size=(questions, truth.size))
    values = np.clip(truth + 0.3 * noise, -1, 1)
    weights = bootstrap_weights(questions, resamples, int(rng.integers(1 << 30)))
    rows = np.vstack([values.mean(axis=0), weights @ values])
    return difference_bands(rows, np.ones(truth.size, bool), questions)


@pytest.mark.parametrize("questions", [10, 40, 200])
def test_bounds_cover_pointwise_and_all_at_once(questions):
    """400 curves: the share covered is known to 2.2 points (two standard deviations)."""
    rng, truth = np.random.default_rng(questions), np.linspace(-0.1, 0.1, 12)
    found = [simulated_bands(rng, questions, truth) for _ in range(400)]
    pointwise = np.mean([(b.low <= truth) & (truth <= b.high) for b in found])
    at_once = np.mean([((b.sure_low <= truth) & (truth <= b.sure_high)).all() for b in found])
    assert 0.93 < pointwise < 0.99
    assert 0.93 < at_once < 0.995


def test_a_difference_that_no_question_shows_is_not_none():
    found = difference_bands(np.zeros((101, 3)), np.array([True, True, False]), questions=30)
    assert found.high[0] == pytest.approx(1.96 / 32, rel=1e-3)
    assert np.isnan(found.value[2])
    assert (found.sure_high[:2] >= found.high[:2]).all()


def test_bounds_need_questions_and_resamples():
    with pytest.raises(InputError, match="2 questions and a resample, got 30 and 0"):
        difference_bands(np.zeros((1, 3)), np.ones(3, bool), questions=30)
    one = difference_bands(np.zeros((2, 3)), np.ones(3, bool), questions=30)
    assert (one.value == 0).all()
    assert np.isinf(one.low).all()


def test_stretching_is_bonferronis_rule():
    assert stretch(1) == 1.0
    assert stretch(5) == pytest.approx(2.5758 / 1.9600, rel=1e-4)  # 99 % over 95 %
    assert stretch(1, one_sided=True) == pytest.approx(1.6449 / 1.9600, rel=1e-4)
    found = one_sided(bands([0.0]), 5)
    assert found.high == pytest.approx(0.02 * stretch(5, one_sided=True))
    assert found.sure_low == pytest.approx(-0.04 * stretch(5))


# The paper's exponent.


@pytest.fixture(scope="module")
def sparse_study(make_cell, price):
    rates = np.random.default_rng(0).beta(1, 1, 40)
    cells = [make_cell("8B", rates, 16, seed=k, policy=TopK(2**k)) for k in (7, 9)]
    return build_study(cells, price, search="best_of_n")


def test_the_demand_is_that_of_the_frontier(sparse_study):
    """``largest_token_demand`` of the paper's frontier, up to the cost from which more buys nothing."""
    grid = cost_grid(sparse_study, 60)
    weights = np.full((1, 40), 1 / 40)
    found = _demands(sparse_study, grid, weights)[0]
    whole = largest_token_demand(sparse_study, study_frontier(sparse_study, grid))
    known = np.isfinite(found)
    assert known.sum() > 20
    np.testing.assert_allclose(found[known], whole[known])


def test_a_resample_demands_no_more_than_its_own_questions(sparse_study):
    grid = cost_grid(sparse_study, 40)
    weights = np.zeros((2, 40))
    weights[0] = 1 / 40
    weights[1, :5] = 1 / 5
    found = _demands(sparse_study, grid, weights)
    both = np.isfinite(found).all(axis=0)
    assert (found[1, both] <= found[0, both]).all()


def test_exponents_are_of_models_that_were_decoded_sparsely(sparse_study, make_cell, price):
    found = demand_exponents(sparse_study, points=60, resamples=50, seed=0)
    fit = found["8B"]
    assert fit.low <= fit.value <= fit.high
    assert fit.span[0] < fit.span[1]
    dense = build_study([make_cell("8B", [0.5] * 20)], price)
    assert demand_exponents(dense, points=40, resamples=10, seed=0) == {}
