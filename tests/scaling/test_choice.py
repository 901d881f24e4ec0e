"""The vectorised choice against a loop that says what it means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_configuration import Choice, take
from kinetics_jax.scaling.frontier.best_model import pick_model, running_best
from kinetics_jax.scaling.statistics.smoothing import smooth

COSTS = st.integers(1, 12).map(float)
SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
GRID = np.array([2.0, 3.0, 5.0, 8.0, 11.0])


@st.composite
def tables(draw):
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 7)))
    return draw(npst.arrays(float, shape, elements=COSTS)), draw(npst.arrays(float, shape, elements=SCORES))


def brute_force(costs, scores, limit, tolerance):
    fitting = [i for i, cost in enumerate(costs) if cost <= limit]
    if not fitting:
        return -1
    best = max(scores[i] for i in fitting)
    near = [i for i in fitting if scores[i] >= best * (1 - tolerance)]
    return min(near, key=lambda i: (costs[i], -scores[i]))


@given(tables(), st.sampled_from([0.0, 1e-3, 0.3]))
def test_choice_is_the_cheapest_near_the_best_that_fits(table, tolerance):
    costs, scores = table
    got = Choice(costs, scores, GRID).best(tolerance)
    for row, limits in enumerate(got):
        for chosen, limit in zip(limits, GRID, strict=True):
            want = brute_force(costs[row], scores[row], limit, tolerance)
            assert (chosen < 0) == (want < 0)
            if want >= 0:
                assert costs[row, chosen] == costs[row, want]


@given(tables())
def test_what_is_chosen_reaches_the_maximum(table):
    costs, scores = table
    got = take(scores, Choice(costs, scores, GRID).best())
    for row in range(len(costs)):
        want = [max([0.0, *scores[row][costs[row] <= limit]]) for limit in GRID]
        np.testing.assert_array_equal(got[row], want)


def test_take_says_nothing_where_nothing_fits():
    np.testing.assert_array_equal(take(np.array([[7.0, 8.0]]), np.array([[-1, 1]]), -3.0), [[-3, 8]])


@pytest.mark.parametrize("width", [1, 3, 5])
def test_smoothing_is_the_moving_average_that_scipy_has(width):
    from scipy.ndimage import uniform_filter1d

    curves = np.random.default_rng(0).random((2, 3, 20))
    want = uniform_filter1d(curves, width, axis=-1, mode="reflect")
    np.testing.assert_allclose(smooth(curves, width), want, atol=1e-15)


@pytest.mark.parametrize(("width", "words"), [(2, "odd"), (0, "odd"), (9, "wider")])
def test_smoothing_refuses_other_widths(width, words):
    with pytest.raises(InputError, match=words):
        smooth(np.zeros(5), width)


@given(npst.arrays(float, (3, 6), elements=SCORES))
def test_running_best_points_at_the_best_model_so_far(curves):
    model, reached = running_best(curves)
    for g in range(6):
        best = curves[:, : g + 1].max()
        assert curves[model[g], reached[g]] == best
        assert reached[g] <= g
        assert model[g] == min(m for m in range(3) if curves[m, : g + 1].max() == best)


def test_running_best_takes_sums_of_thirds_for_equal():
    a, b, c = 0.1, 0.2, 0.3
    curves = np.array([[(a + b + c) / 3], [(c + b + a) / 3 + 1e-16]])
    assert running_best(curves)[0].tolist() == [0]


def test_pick_model_reads_the_pointed_entries_of_every_row():
    values = np.arange(24.0).reshape(2, 3, 4)
    model = np.array([[0, 1, 2, 2], [2, 2, 0, 1]])
    at = np.array([[0, 0, 1, 3], [1, 0, 2, 3]])
    want = [[values[r, model[r, g], at[r, g]] for g in range(4)] for r in range(2)]
    np.testing.assert_array_equal(pick_model(values, model, at), want)
