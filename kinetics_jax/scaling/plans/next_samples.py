"""Where the next samples go among questions that are known: more of them where the outcome is open.

Neyman's allocation: samples ∝ √(E[p(1 − p)]/price) of a question. Numbers of samples that depend on outcomes
bias
the plain mean (a hard question whose first samples failed would not get its second chance), so two stages
are joined with weights that do not: ``two_stage_mean``.

Axes: Q questions · A and B a Beta law's parameters.
"""

import heapq

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.statistics import fit_beta_binomial

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def expected_luck(successes: Ints, trials: Ints) -> Floats:
    """E[p(1 − p)] of each question given its outcomes, [Q], under a Beta law fitted to all questions."""
    law = fit_beta_binomial(trials, successes)
    a, b = law.alpha + successes, law.beta + trials - successes
    return a * b / ((a + b) * (a + b + 1))


def next_samples(successes: Ints, trials: Ints, samples: int, seconds: Floats | None = None) -> Ints:
    """How many more samples each question gets, [Q]; ``samples`` in all, at least one each.

    Sample by sample to the question whose variance falls most per second, which is optimal.

    Args:
      successes: correct samples of the first stage, [Q].
      trials: samples of the first stage, [Q], at least 1.
      samples: second-stage samples in all, at least one a question.
      seconds: price of a sample of each question, [Q]; alike unless given.

    Raises:
      InputError: fewer samples than questions.
    """
    count = len(trials)
    if samples < count:
        raise InputError(f"samples={samples} are fewer than the {count} questions, each of which needs one")
    prices = np.ones(count) if seconds is None else np.asarray(seconds, np.float64)
    worth = expected_luck(successes, trials) / prices
    given = np.ones(count, np.int64)
    # What one more saves is worth·(1/s − 1/(s + 1)); the heap's top saves most.
    heap = [(-gain / 2, question) for question, gain in enumerate(worth.tolist())]
    heapq.heapify(heap)
    for _ in range(samples - count):
        _, question = heap[0]
        given[question] += 1
        size = int(given[question])
        heapq.heapreplace(heap, (-float(worth[question]) / (size * (size + 1)), question))
    return given


def two_stage_mean(
    first: Floats, second: Floats, first_trials: int, second_trials: Ints
) -> tuple[float, Floats]:
    """Mean over questions of both stages' means, joined without bias, and the joined means, [Q].

    Every question has the same weights, first_trials : mean second_trials, which depend on no outcome: both
    stages'
    means are unbiased given the sizes, so their sum is.

    Args:
      first: share of right samples in the first stage, [Q].
      second: the same of the second stage, whose sizes the first decided, [Q].
      first_trials: samples of every question in the first stage.
      second_trials: samples in the second, [Q].
    """
    weight = first_trials / (first_trials + float(np.mean(second_trials)))
    joined = weight * first + (1 - weight) * second
    return float(joined.mean()), joined
