"""Resamples of questions: what another set of questions of the same kind might have said.

Axes: R resamples · Q questions.
"""

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError

_LEAST = 0.1
"""Least α: for two or three questions Student's t asks for more than weights can give."""


def bootstrap_weights(questions: int, resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """Weights of the questions in each resample, [R, Q]; rows sum to one.

    The Bayesian bootstrap (Rubin 1981): Dirichlet(α, …, α). Unlike counts of drawn questions, its weights
    leave no question out, so that no half of the questions is empty and no rare question is all or nothing.
    α is 1 for many questions; for few it is smaller, so that the interval of a mean is as wide as Student's
    t makes it.

    Raises:
        InputError: fewer than two questions, or no resamples.
    """
    _check(questions, resamples)
    return np.random.default_rng(seed).dirichlet(np.full(questions, concentration(questions)), resamples)


def drawn_weights(questions: int, resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """The same of questions that are drawn with replacement, for what hangs on who is there: a largest value.

    Raises:
        InputError: as ``bootstrap_weights``.
    """
    _check(questions, resamples)
    share = np.full(questions, 1.0 / questions)
    return np.random.default_rng(seed).multinomial(questions, share, size=resamples) / questions


def _check(questions: int, resamples: int) -> None:
    if questions < 2 or resamples < 1:
        raise InputError(
            f"a bootstrap needs 2 questions and 1 resample or more, got {questions} and {resamples}"
        )


def pseudo_weight(questions: int, resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """Weight of half a question that nobody asked, in each resample, [R].

    All questions may have come out alike, and then no resample differs from another. With half a question
    at the other end of the scale an interval of shares ends between those of Jeffreys and of Clopper and
    Pearson (Brown, Cai and DasGupta 2001), and is never of zero width.
    """
    own = questions * concentration(questions)
    return np.random.default_rng([seed, 1]).beta(0.5, own, resamples)


def concentration(questions: int) -> float:
    """α of ``bootstrap_weights``: the variance of a mean is s²/(α·Q + 1), s² being that of the values."""
    from scipy.stats import norm, t

    shrink = (norm.ppf(0.975) / t.ppf(0.975, questions - 1)) ** 2
    return float(max(((questions - 1) * shrink - 1) / questions, _LEAST))


def extended(rows: NDArray[np.float64], weight: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Means over questions, [R, …], with one more question of this value and weight, [R]."""
    each = weight.reshape((-1,) + (1,) * (rows.ndim - 1))
    return (1 - each) * rows + each * value
