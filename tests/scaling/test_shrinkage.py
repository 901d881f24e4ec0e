"""Empirical Bayes: right where many samples decide, wise where few do."""

import numpy as np
import pytest

from kinetics_jax.scaling.statistics.shrinkage import expected_pass_at_k


def test_agrees_with_the_rate_where_samples_are_many():
    rng = np.random.default_rng(0)
    rates = rng.random((50, 1))
    n = np.full(50, 200_000)
    got = expected_pass_at_k(n, rng.binomial(200_000, rates).astype(float), np.array([4]))
    np.testing.assert_allclose(got, 1 - (1 - rates) ** 4, atol=0.01)


def test_rises_with_correct_samples_and_with_trials():
    n = np.full(17, 16)
    got = expected_pass_at_k(n, np.arange(17.0)[:, None].repeat(3, axis=1), np.array([1, 4, 64]))
    assert (np.diff(got[:, 0]) > 0).all()
    assert (np.diff(got, axis=0) >= 0).all()
    assert (np.diff(got, axis=1) >= 0).all()
    assert ((got > 0) & (got <= 1)).all()


@pytest.mark.parametrize("k", [1, 4, 8])
def test_is_nearer_the_truth_than_the_unbiased_estimate(k):
    """Mean square error over questions, 8 samples each, rates from a Beta it has not been told."""
    from kinetics_jax.scaling.statistics import pass_at_k

    rng = np.random.default_rng(1)
    rates = rng.beta(0.5, 1.5, 4_000)
    c = rng.binomial(8, rates)
    truth = 1 - (1 - rates) ** k
    shrunk = expected_pass_at_k(np.full(4_000, 8), c[:, None].astype(float), np.array([k]))[:, 0]
    assert np.mean((shrunk - truth) ** 2) < 0.9 * np.mean((pass_at_k(8, c, k) - truth) ** 2)
    assert shrunk.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_questions_that_are_all_alike_take_their_common_rate():
    rng = np.random.default_rng(2)
    got = expected_pass_at_k(np.full(300, 4), rng.binomial(4, 0.3, (300, 1)).astype(float), np.array([1]))
    assert got.std() < 0.05
    assert got.mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("c", [[[0.0], [0.0]], [[1.0], [1.0]], [[0.0], [1.0]]])
def test_one_sample_a_question_still_has_an_answer(c):
    got = expected_pass_at_k(np.ones(2, int), np.array(c), np.array([2]))
    assert ((got >= 0) & (got <= 1)).all()
    if np.ptp(c):
        assert 0 < got[0] < 0.5 < got[1] < 1
    else:
        np.testing.assert_allclose(got, c, atol=1e-12)
