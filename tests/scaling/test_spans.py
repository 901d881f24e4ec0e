"""From where to where accuracy is bought, and where one curve overtakes another."""

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.scaling import interval, mean_interval
from kinetics_jax.scaling.frontier.spans import crossover_costs, inside, spans
from kinetics_jax.scaling.law.estimates import _of_ratio
from kinetics_jax.scaling.statistics.intervals import Interval, widened
from kinetics_jax.scaling.statistics.resampling import bootstrap_weights, extended, pseudo_weight

COSTS = np.geomspace(1, 10_000, 5)


def test_every_row_has_its_own_span():
    accuracy = np.array([[0.0, 0.1, 0.5, 0.96, 1.0], [0.3, 0.31, 0.31, 0.31, 0.31]])
    low, high = spans(COSTS, accuracy)
    assert (low.tolist(), high.tolist()) == ([10.0, 1.0], [1000.0, 1.0])
    assert inside(COSTS, low, high).sum(axis=1).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("better", "cost"),
    [
        ([0.0, 0.1, 0.4, 0.6, 0.7], 10**2.475),  # of −.095 to .105 between 100 and 1,000
        ([0.0, 0.3, 0.4, 0.45, 0.48], np.inf),  # behind to the end
        ([0.1, 0.3, 0.6, 0.7, 0.8], 1.0),  # ahead from the cheapest on
        ([0.0, 0.3, 0.3, 0.6, 0.7], 10**2.65),  # ahead, behind, ahead: the last time counts
        ([0.0, 0.2, 0.498, 0.499, 0.498], 1.0),  # behind by less than half a point is not behind
    ],
)
def test_a_crossover_is_where_a_curve_is_no_longer_behind(better, cost):
    worse = np.array([0.0, 0.2, 0.5, 0.5, 0.5])
    assert crossover_costs(COSTS, worse[None], np.array([better]))[0] == pytest.approx(cost)


def test_an_interval_ends_in_infinity_where_resamples_do():
    never = np.array([1.0] * 90 + [np.inf] * 10)
    assert (interval(never).low, interval(never).high) == (1.0, np.inf)
    seldom = np.array([1.0] * 99 + [np.inf])
    assert interval(seldom).high == 1.0


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (2.0, 1.0, 5.75),  # a quarter of the distance to each end further
        (0.8, 1.2, 6.05),  # an end beyond the estimate stays
    ],
)
def test_an_interval_reaches_further_from_its_estimate(value, low, high):
    found = widened(Interval(1.2, 5.0, 0.95), value, 1.25)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("value", "others", "low", "high"),
    [
        (2.0, [1.0, 4.0], 2 / 2**1.2, 2 * 2**1.2),  # the same in factors
        (2.0, [0.0, 4.0], 0.0, 2 * 2**1.2),  # never is never
        (0.0, [0.0, 3.0], 0.0, 3.0),
        (0.0, [0.0, 0.0], 0.0, 0.5),  # beyond the grid it may still be
        (2.0, [2.0, 2.0], 2 / 1.1, 2 * 1.1),  # no less than a step of the grid
    ],
)
def test_ratios_of_costs_reach_further_in_factors(value, others, low, high):
    rows = np.array([value, *np.repeat(others, 100)])
    found = _of_ratio(rows, step=1.1, beyond=0.5)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_where_all_questions_agree_the_interval_is_between_jeffreys_and_clopper_pearson():
    """30 of 30: Jeffreys' lower end is 0.920 and Clopper and Pearson's 0.884."""
    weight = pseudo_weight(30, 40_000)
    low = interval(extended(np.ones(40_000), weight, 0.0)).low
    assert 0.884 < low < 0.93
    assert interval(extended(np.ones(40_000), weight, 1.0)).high == 1.0


def test_half_a_question_hardly_moves_what_many_say():
    values = np.random.default_rng(0).random(400)
    rows = bootstrap_weights(400, 4_000) @ values
    moved = interval(extended(rows, pseudo_weight(400, 4_000), 0.0)).low
    assert interval(rows).low - 0.005 < moved <= interval(rows).low


def test_a_mean_of_three_is_students():
    """Values 1, 2, 3: 2 ± 4.303 · 1 / √3."""
    ends = mean_interval([[1.0, 2.0, 3.0]])
    assert (ends.low, ends.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    with pytest.raises(InputError, match="at least two values"):
        mean_interval([[1.0]])


def test_resamples_that_say_nothing_have_no_interval():
    assert np.isnan([interval([np.nan] * 3).low, interval([np.nan] * 3).high]).all()
    assert np.isnan(interval(np.full((3, 2), np.nan)).high).all()
