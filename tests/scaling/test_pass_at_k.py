"""pass@k against enumeration, the reference's values and its own laws."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_jax.errors import InputError
from kinetics_jax.scaling import fit_beta_binomial
from kinetics_jax.scaling.statistics import pass_at_k


@st.composite
def counts(draw, largest=60):
    n = draw(st.integers(1, largest))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


def test_published_values(reference_rows):
    rows = reference_rows("coverage_and_expected_cost_reference.csv")
    rows = [row for row in rows if row["kind"] == "coverage"]
    assert rows
    for row in rows:
        given_ = json.loads(row["inputs"])
        got = pass_at_k(given_["num_trials"], given_["num_correct"], given_["k"])
        np.testing.assert_allclose(got, json.loads(row["outputs"]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 3), (6, 1, 2), (6, 4, 3), (4, 0, 4), (4, 4, 1)])
def test_is_the_share_of_subsets_with_a_correct_trial(n, c, k):
    trials = [True] * c + [False] * (n - c)
    subsets = list(itertools.combinations(trials, k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), rel=1e-14)


@given(counts())
def test_equals_the_ratio_of_binomials(counted):
    n, c, k = counted
    exact = 1 - math.comb(n - c, k) / math.comb(n, k)
    assert pass_at_k(n, c, k) == pytest.approx(exact, rel=1e-12, abs=1e-15)


@given(counts())
def test_grows_with_trials_and_with_correct_ones(counted):
    n, c, _ = counted
    by_k = pass_at_k(n, c, np.arange(1, n + 1))
    by_c = pass_at_k(n, np.arange(n + 1), 1 + n // 2)
    assert by_k[0] == pytest.approx(c / n)
    assert by_k[-1] == (c > 0)
    assert (np.diff(by_k) >= -1e-15).all()
    assert (np.diff(by_c) >= -1e-15).all()
    assert ((by_k >= 0) & (by_k <= 1)).all()


def test_keeps_its_digits_where_few_of_many_are_correct():
    got = pass_at_k(10_112, 1, 3)  # exactly 3/10112
    assert got == pytest.approx(3 / 10_112, rel=1e-14)
    assert pass_at_k(10_112, 9_000, 10_112) == 1.0


def test_is_unbiased():
    rng = np.random.default_rng(0)
    rate, n, k = 0.2, 16, 4
    c = rng.binomial(n, rate, 40_000)
    assert pass_at_k(n, c, k).mean() == pytest.approx(1 - (1 - rate) ** k, abs=0.005)


@pytest.mark.parametrize(
    ("n", "c", "k", "words"),
    [
        (4, 1, 5, "k=5 exceeds n=4"),
        (4, 5, 1, "c=5 correct out of n=4"),
        (4, -1, 1, "negative"),
        (4, 1, 0, "at least one"),
        (0, 0, 1, "n=0 trials"),
        (math.nan, 1, 1, "finite"),
        (4, 1.5, 1, "whole"),
        ("four", 1, 1, "not a number"),
        ([4, 4], [1, 9], 1, "at index 1"),
    ],
)
def test_refuses_what_has_no_answer(n, c, k, words):
    with pytest.raises(InputError, match=words):
        pass_at_k(n, c, k)


def test_beta_binomial_recovers_its_shape_and_extends_pass_at_k():
    rng = np.random.default_rng(1)
    rates = rng.beta(0.4, 1.5, 4_000)
    fit = fit_beta_binomial(32, rng.binomial(32, rates))
    assert fit.alpha == pytest.approx(0.4, rel=0.1)
    assert fit.beta == pytest.approx(1.5, rel=0.1)
    truth = np.mean(1 - (1 - rates) ** 100)
    assert fit.pass_at_k(100) == pytest.approx(truth, abs=0.01)
    assert fit.trusted_to == 128
    assert not fit.note


def test_beta_binomial_agrees_with_pass_at_k_where_both_can_speak():
    rng = np.random.default_rng(2)
    c = rng.binomial(32, rng.beta(0.8, 0.8, 3_000))
    k = np.array([1, 4, 16])
    unbiased = [pass_at_k(32, c, int(i)).mean() for i in k]
    np.testing.assert_allclose(fit_beta_binomial(32, c).pass_at_k(k), unbiased, atol=0.01)


def test_beta_binomial_says_when_the_spread_is_not_identified():
    assert "not identified" in fit_beta_binomial(8, [0, 0, 0]).note
    with pytest.raises(InputError, match="one question"):
        fit_beta_binomial(8, [3])
