"""Bootstrap over questions: what a row is, how wide intervals are, what they say about a law."""

import numpy as np
import pytest
from scipy.stats import t

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, TopK
from kinetics_jax.scaling import (
    bootstrap_frontier,
    bootstrap_weights,
    build_study,
    cost_grid,
    fit_optimum,
    fit_power_law,
    held_out_frontier,
    interval,
    paper_frontier,
    saturation_cost,
    size_threshold,
    study_frontier,
)
from kinetics_jax.scaling.statistics.resampling import extended


@pytest.fixture(scope="module")
def study(make_cell, price, params):
    hardness = np.random.default_rng(5).normal(0, 0.25, 16)
    cells = [
        make_cell(name, np.clip(skill + hardness, 0.02, 0.98), 8, seed, policy)
        for seed, (name, skill, policy) in enumerate(
            (name, skill, policy)
            for name, skill in {"0.6B": 0.15, "4B": 0.4, "14B": 0.65}.items()
            for policy in (Dense(), TopK(64), TopK(256), TopK(1024))
        )
    ]
    return build_study(cells, price, trials=(1, 2, 4, 8), lengths=(2_000, 6_000))


def test_weights_are_resamples_of_the_questions():
    weights = bootstrap_weights(10, 400, seed=3)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
    assert (10 * weights).mean(axis=0) == pytest.approx(np.ones(10), abs=0.2)
    np.testing.assert_array_equal(weights, bootstrap_weights(10, 400, seed=3))


@pytest.mark.parametrize("questions", [5, 10, 30, 200])
def test_weights_make_the_interval_of_a_mean_as_wide_as_students(questions):
    values = np.random.default_rng(questions).normal(size=questions)
    means = bootstrap_weights(questions, 40_000, seed=1) @ values
    student = t.ppf(0.975, questions - 1) * values.std(ddof=1) / questions**0.5
    assert 1.96 * means.std() == pytest.approx(student, rel=0.03)


@pytest.mark.parametrize("flavour", ["paper", "held_out"])
@pytest.mark.parametrize("choice", ["question", "shared"])
def test_row_0_is_the_frontier_itself(study, flavour, choice):
    grid = cost_grid(study, 30)
    found = bootstrap_frontier(study, grid, flavour=flavour, choice=choice, resamples=20, splits=3)
    if flavour == "paper":
        want = study_frontier(study, grid, choice=choice)
    else:
        want = held_out_frontier(study, grid, choice=choice, splits=3)
    np.testing.assert_allclose(found.accuracy[0], want.accuracy, atol=1e-12)
    names = [found.models[m] for m in found.model[0]]
    assert names == want.model.tolist()
    for name, values in want.optima.items():
        np.testing.assert_allclose(found.optima[name][0], values)


def test_a_resample_is_the_frontier_of_its_questions(study):
    """Row r equals the paper's frontier of curves averaged with the weights of the questions."""
    grid = cost_grid(study, 30)
    found = bootstrap_frontier(study, grid, resamples=3, seed=11)
    for r, weight in enumerate(bootstrap_weights(16, 3, seed=11)):
        curves = {}
        for m, name in enumerate(study.models):
            columns = study.model_index == m
            cost, cover = study.cost[:, columns], study.coverage[:, columns]
            fits = cost[:, None, :] <= grid[None, :, None]
            curves[name] = weight @ np.where(fits, cover[:, None, :], 0.0).max(axis=2)
        want = paper_frontier(curves, grid)
        np.testing.assert_allclose(found.accuracy[r + 1], want.accuracy, atol=1e-12)
        assert [found.models[m] for m in found.model[r + 1]] == want.model.tolist()


def test_interval_covers_the_point_and_has_the_width_of_the_question_spread(study):
    grid = cost_grid(study, 30)
    found = bootstrap_frontier(study, grid, resamples=600)
    ends = found.accuracy_interval()
    assert (ends.low <= found.accuracy[0] + 1e-12).all()
    assert (ends.high >= found.accuracy[0] - 1e-12).all()
    # At an accuracy that one model holds alone the width is that of a mean over questions.
    g = 12
    width = ends.high[g] - ends.low[g]
    assert 0.02 < width < 0.5
    narrow = found.accuracy_interval(0.5)
    assert (narrow.high - narrow.low <= ends.high - ends.low + 1e-12).all()


def test_the_interval_reaches_up_to_where_the_best_models_own_does(make_cell, price):
    """Two models that are alike: chance chooses among them, and what is reached is not the better one's."""
    rates = np.random.default_rng(0).beta(8, 1, 30)
    cells = [make_cell(name, rates, 8, seed) for seed, name in enumerate(("4B", "8B"))]
    study = build_study(cells, price, trials=(1,), lengths=())
    found = bootstrap_frontier(study, [study.cost.max()], flavour="held_out", resamples=200, smoothing=1)
    reached = interval(extended(found.accuracy[1:], found.pseudo, 1.0)).high
    own = interval(extended(found.curves[1:], found.pseudo, 1.0)).high
    assert reached[0] < own.max()
    assert found.accuracy_interval().high[0] == own.max()


def test_interval_covers_the_truth_as_often_as_it_says(make_cell, price, params):
    """90 % intervals of a single configuration's accuracy, over new sets of questions."""
    covered = []
    for seed in range(120):
        rates = np.random.default_rng(seed).beta(1, 1, 40)
        study = build_study([make_cell("4B", rates, 8, seed)], price, trials=(1,), lengths=())
        found = bootstrap_frontier(study, [study.cost.max()], resamples=200, seed=seed, smoothing=1)
        ends = found.accuracy_interval(0.9)
        covered.append(ends.low[0] <= 0.5 <= ends.high[0])
    assert 0.8 < np.mean(covered) < 0.97


def test_model_share_and_threshold(study):
    grid = cost_grid(study, 30)
    found = bootstrap_frontier(study, grid, resamples=100)
    np.testing.assert_allclose(found.model_share().sum(axis=1), 1.0)
    threshold = size_threshold(found, {"0.6B": 0.6, "4B": 4.0, "14B": 14.0})
    assert sum(threshold.share.values()) == pytest.approx(1.0)
    assert threshold.interval.low <= threshold.params <= threshold.interval.high
    assert threshold.share[threshold.model] > 0.3
    with pytest.raises(InputError, match="no parameter count for 14B"):
        size_threshold(found, {"0.6B": 0.6, "4B": 4.0})


def test_fit_gives_a_law_with_intervals(study):
    grid = cost_grid(study, 60)
    found = bootstrap_frontier(study, grid, resamples=60)
    law = fit_optimum(found, "tokens")
    assert law.b.low <= law.law.b <= law.b.high
    assert law.per_doubling.low == pytest.approx(2**law.b.low, rel=1e-3)
    assert law.extrapolation is not None
    assert law.extrapolation.boundary < saturation_cost(found)
    assert law.failed <= 5
    part = fit_optimum(found, "length", span=(grid[20], grid[40]), space="log")
    want = fit_power_law(grid[20:41], found.optima["length"][0, 20:41], space="log")
    assert part.law == want
    assert interval(found.optima["trials"][1:]).low.shape == grid.shape


def test_fit_refuses_what_is_not_there(study):
    found = bootstrap_frontier(study, cost_grid(study, 30), resamples=5)
    with pytest.raises(InputError, match="quantity 'words' must be one of tokens"):
        fit_optimum(found, "words")
    with pytest.raises(InputError, match="distinct x"):
        fit_optimum(found, "tokens", span=(1e-9, 1e-8))


@pytest.mark.parametrize(("questions", "resamples"), [(1, 10), (10, 0)])
def test_weights_refuse(questions, resamples):
    with pytest.raises(InputError, match="a bootstrap needs"):
        bootstrap_weights(questions, resamples)


def test_interval_leaves_out_nan_and_refuses_nonsense():
    samples = np.array([[1.0, np.nan], [3.0, np.nan], [2.0, np.nan]])
    ends = interval(samples, 0.5)
    assert ends.low[0] == 1.5
    assert np.isnan(ends.low[1])
    assert interval([1.0, 2.0, 3.0], 0.5).high == 2.5
    for bad in (([], 0.5), ([1.0], 1.0)):
        with pytest.raises(InputError, match="level"):
            interval(*bad)
