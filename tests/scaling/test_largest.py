"""The expected longest of N answers, against all ways to draw them."""

import itertools

import numpy as np

from kinetics_jax.scaling.statistics.largest import expected_largest


def test_it_is_the_mean_over_all_draws():
    rng = np.random.default_rng(0)
    values = rng.random((3, 4, 6))
    chosen = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0, 1, 1, 1, 1, 0]], bool)
    draws = np.array([1, 2, 3, 4])
    found = expected_largest(values, chosen, draws)
    for q, c in itertools.product(range(3), range(4)):
        mine = values[q, c, chosen[q]]
        every = [max(some) for some in itertools.combinations(mine, draws[c])]
        np.testing.assert_allclose(found[q, c], np.mean(every))


def test_one_draw_is_the_mean_and_all_draws_the_maximum():
    values = np.random.default_rng(1).random((2, 2, 5))
    found = expected_largest(values, np.ones((2, 5), bool), np.array([1, 5]))
    np.testing.assert_allclose(found[:, 0], values[:, 0].mean(-1))
    np.testing.assert_allclose(found[:, 1], values[:, 1].max(-1))
