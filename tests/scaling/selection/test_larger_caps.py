"""A cap censors: on samples of the model's own making it is undone, and its interval covers."""

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.scaling import fit_censored_lengths, leave_out_caps, predict_larger_cap
from kinetics_jax.scaling.statistics import censored_lengths


def drawn(rng, count, share=0.7, right=(8.0, 0.6), wrong=(8.8, 0.8)):
    good = rng.random(count) < share
    length = np.where(good, rng.lognormal(*right, count), rng.lognormal(*wrong, count))
    return np.ceil(length), good


def test_what_was_drawn_from_the_model_is_found_through_the_cap():
    tokens, correct = drawn(np.random.default_rng(0), 20_000)
    found = fit_censored_lengths(tokens, correct, 6_000)
    assert 0.2 < found.censored < 0.5
    assert found.share == pytest.approx(0.7, abs=0.03)
    assert found.right.mean == pytest.approx(8.0, abs=0.05)
    assert found.right.deviation == pytest.approx(0.6, abs=0.04)
    for cap in (8_000, 16_000, 32_000):
        actual = (correct & (tokens <= cap)).mean()
        assert float(found.accuracy(cap)) == pytest.approx(actual, abs=0.02)
    assert (correct & (tokens <= 6_000)).mean() < 0.62  # what counting as wrong says of any cap
    assert found.note == ""


def test_without_a_cap_it_is_the_plain_shares_and_moments():
    tokens, correct = drawn(np.random.default_rng(1), 5_000)
    found = fit_censored_lengths(tokens, correct, 10**7)
    assert found.censored == 0
    assert "nothing to predict" in found.note
    assert found.share == pytest.approx(correct.mean(), abs=1e-3)
    assert found.right.mean == pytest.approx(np.log(tokens[correct]).mean(), abs=1e-3)


def test_the_gradient_is_that_of_the_loss():
    from scipy.optimize import check_grad

    tokens, correct = drawn(np.random.default_rng(3), 500)
    ended = [
        censored_lengths._moments(np.log(tokens[part]), np.full(part.sum(), 1 / 500))
        for part in (correct & (tokens < 6000), ~correct & (tokens < 6000))
    ]
    met = float((tokens >= 6000).mean())

    def loss(shape):
        return censored_lengths._negative_log_likelihood(shape, tuple(ended), np.log(6000), met)

    at = np.array([0.3, 8.2, -0.4, 8.7, 0.1])
    assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], at) < 1e-5


def test_weights_are_counts():
    tokens, correct = drawn(np.random.default_rng(2), 400)
    twice = fit_censored_lengths(np.repeat(tokens, 2), np.repeat(correct, 2), 5_000)
    weighed = fit_censored_lengths(tokens, correct, 5_000, np.full(400, 2.0))
    assert twice.share == pytest.approx(weighed.share, abs=1e-4)


def simulated(make_cell, seed, questions=60, samples=8):
    tokens, correct = drawn(np.random.default_rng(seed), questions * samples)
    shape = (questions, samples)
    return make_cell(
        rates=np.full(questions, 0.5),
        samples=samples,
        generated_tokens=np.minimum(tokens, 32_768).reshape(shape),
        correct=(correct & (tokens <= 32_768)).reshape(shape),
    )


@pytest.mark.slow
def test_the_interval_covers_what_a_larger_cap_solves(make_cell):
    """The truth is the model's own accuracy at 16,384, known from many samples."""
    tokens, correct = drawn(np.random.default_rng(99), 400_000)
    truth = (correct & (tokens <= 16_384)).mean()
    inside = 0
    for seed in range(20):
        found = predict_larger_cap(simulated(make_cell, seed), 8_192, 16_384, resamples=15)
        inside += found.low <= truth <= found.high
    assert inside >= 16, inside  # about nine in ten of 20: fewer come once in twenty-five such tests


def test_left_out_caps_are_compared_with_what_was_run(make_cell):
    cell = simulated(make_cell, 5, questions=120)
    rows = leave_out_caps(cell, (4_096, 8_192, 16_384), resamples=10)
    assert [(row.run, row.cap) for row in rows] == [(4096, 8192), (4096, 16384), (8192, 16384)]
    for row in rows:
        assert row.actual is not None
        assert abs(row.censored - row.actual) < abs(row.counted_wrong - row.actual)
    beyond = predict_larger_cap(cell, 32_768, 65_536, resamples=10)
    assert beyond.actual is None
    assert beyond.censored >= beyond.counted_wrong - 0.02


def test_what_says_nothing_is_refused_or_said(make_cell):
    with pytest.raises(InputError, match="0 samples ended right"):
        fit_censored_lengths([10, 20], [False, True], 15)
    with pytest.raises(InputError, match="one each a sample"):
        fit_censored_lengths([10, 20], [True], 15)
    with pytest.raises(InputError, match="at least 1 token"):
        fit_censored_lengths([10], [True], 0)
    with pytest.raises(InputError, match="3 samples ended wrong within 50 tokens: fewer than 10"):
        fit_censored_lengths([*range(20, 40), 41, 42, 43, 50], [True] * 20 + [False] * 4, 50)
    assert fit_censored_lengths([*range(20, 40)], [True] * 20, 50).share > 0.98  # none met the cap
    cell = make_cell()
    with pytest.raises(InputError, match="must be below cap"):
        predict_larger_cap(cell, 8_192, 4_096)
    with pytest.raises(InputError, match="resamples=1"):
        predict_larger_cap(cell, 4_096, 8_192, resamples=1)
    with pytest.raises(InputError, match="give two or more"):
        leave_out_caps(cell, (4_096, 10**6))
