"""A verifier of given rates, against every subset with every verdict, and against simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.selection.noisy_verifier import (
    best_of_n,
    best_of_n_table,
    chance_of_right,
    expected_best_of_n,
)
from kinetics_jax.scaling.statistics import pass_at_k


def counted(n, c, trials, tpr, fpr):
    total = 0.0
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), trials))
    for subset in subsets:
        for verdicts in itertools.product((True, False), repeat=trials):
            chance = 1.0
            for right, accepted in zip(subset, verdicts, strict=True):
                rate = tpr if right else fpr
                chance *= rate if accepted else 1 - rate
            pool = [r for r, a in zip(subset, verdicts, strict=True) if a] or subset
            total += chance * np.mean(pool)
    return total / len(subsets)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), st.integers(1, 6), st.floats(0, 1), st.floats(0, 1))
def test_it_is_the_mean_over_subsets_and_verdicts(n, c, trials, tpr, fpr):
    c, trials = min(c, n), min(trials, n)
    assert best_of_n(n, c, trials, tpr, fpr) == pytest.approx(counted(n, c, trials, tpr, fpr), abs=1e-10)


def test_it_is_what_simulation_gives():
    rng = np.random.default_rng(1)
    stored = np.arange(32) < 9
    got = []
    for _ in range(20_000):
        drawn = rng.permutation(stored)[:12]
        accepted = rng.random(12) < np.where(drawn, 0.8, 0.2)
        got.append(rng.choice(drawn[accepted] if accepted.any() else drawn))
    assert best_of_n(32, 9, 12, 0.8, 0.2) == pytest.approx(np.mean(got), abs=0.015)


@pytest.mark.parametrize("trials", [1, 3, 8])
def test_the_ends_are_pass_at_n_and_a_guess(trials):
    for c in range(9):
        assert best_of_n(8, c, trials, 1.0, 0.0) == pytest.approx(float(pass_at_k(8, c, trials)))
        assert best_of_n(8, c, trials, 0.4, 0.4) == pytest.approx(c / 8)
        assert best_of_n(8, c, 1, 0.9, 0.1) == pytest.approx(c / 8)  # nothing to choose from


def test_the_table_is_the_single_ones():
    n_q, c_qc, trials_c = np.array([8, 5]), np.array([[2, 8, 0], [1, 5, 3]]), np.array([1, 4, 5])
    table = best_of_n_table(n_q, c_qc, trials_c, (0.7, 0.2))
    for q, c in np.ndindex(2, 3):
        assert table[q, c] == pytest.approx(best_of_n(n_q[q], c_qc[q, c], trials_c[c], 0.7, 0.2))


def test_the_posterior_mean_is_an_average_over_solve_rates():
    rng = np.random.default_rng(2)
    rates = rng.beta(2.0, 5.0, 40_000)
    right = rng.binomial(6, rates)
    expected = chance_of_right(6, 0.9, 0.2)[right].mean()
    (found,) = expected_best_of_n(np.array([[2.0]]), np.array([[5.0]]), np.array([6]), (0.9, 0.2))[0]
    assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "asked", [(2, 3, 1, 0.9, 0.1), (2, 1, 3, 0.9, 0.1), (2, 1, 1, 1.1, 0.1), (2, 1, 1, 0.9, -1)]
)
def test_what_cannot_be_is_refused(asked):
    with pytest.raises(InputError):
        best_of_n(*asked)
