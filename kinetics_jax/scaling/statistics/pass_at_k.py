"""pass@k: the chance that at least one of k independent trials of a question is right.

n trials stored of a question, c of them correct, k trials asked about.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.errors import InputError


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> NDArray[np.float64]:
    """Unbiased estimate of pass@k, 1 − C(n−c, k) / C(n, k), per question.

    The ratio of binomials is a product of min(c, k) factors 1 − max(c, k)/(n−j), summed as logarithms,
    so that neither n = 10⁴ nor a chance of 10⁻⁶ costs digits.

    Args:
        n: trials stored. Integers ≥ 1; n, c and k broadcast.
        c: correct ones among them, 0…n.
        k: trials asked about, 1…n. More than n trials cannot be estimated without bias: see
            ``fit_beta_binomial`` for an extrapolation.

    Returns:
        Probabilities of the broadcast shape (a 0-d array for scalars).

    Raises:
        InputError: k > n, c > n, or anything negative, fractional or NaN.
    """
    n, c, k = np.broadcast_arrays(_counts("n", n), _counts("c", c), _counts("k", k))
    _refuse(n < 1, "n={} trials: pass@k needs at least one stored trial", n)
    _refuse(c > n, "c={} correct out of n={}: c counts among the n trials", c, n)
    _refuse(k < 1, "k={}: ask about at least one trial", k)
    _refuse(k > n, "k={} exceeds n={} stored trials: sample more trials or ask for a smaller k", k, n)
    few, many = np.minimum(c, k), np.maximum(c, k)
    log_failure = np.zeros(n.shape)
    with np.errstate(divide="ignore"):  # log1p(−1) = −∞: fewer than k wrong trials, so a sure pass
        for j in range(int(few.max(initial=0))):
            share = np.minimum(many / np.maximum(n - j, 1), 1.0)
            log_failure += np.where(j < few, np.log1p(-share), 0.0)
    return -np.expm1(log_failure)


def pass_at_k_table(
    count_q: NDArray[np.int64], solved_qc: NDArray[np.int64], trials_c: NDArray[np.int64]
) -> NDArray[np.float64]:
    """``pass_at_k`` of C configurations on Q questions, looked up in one table a distinct count: [Q, C]."""
    coverage_qc = np.empty(solved_qc.shape)
    distinct, column_c = np.unique(trials_c, return_inverse=True)
    for count in np.unique(count_q):
        table = pass_at_k(count, np.arange(count + 1)[:, None], distinct)
        rows = count_q == count
        coverage_qc[rows] = table[solved_qc[rows], column_c]
    return coverage_qc


@dataclasses.dataclass(frozen=True)
class BetaBinomial:
    """Solve rates of questions as a Beta(alpha, beta) distribution, to extend pass@k beyond n.

    Distrust it past ``trusted_to`` trials: n trials cannot tell a solve rate of 1/(10 n) from zero,
    and at k = 4 n every question with a rate of 1/n or more is already solved (1 − e⁻⁴), so that
    what is left to gain lies wholly below what was observed and is the Beta shape's word alone.
    """

    alpha: float
    beta: float
    trusted_to: int
    """4 × the smallest n that was fitted."""
    note: str
    """What a reader must know about the fit; empty when there is nothing."""

    def pass_at_k(self, k: ArrayLike) -> NDArray[np.float64]:
        """Mean pass@k over questions, 1 − E[(1−p)^k] = 1 − B(α, β+k) / B(α, β)."""
        from scipy.special import betaln

        k = _counts("k", k)
        return -np.expm1(betaln(self.alpha, self.beta + k) - betaln(self.alpha, self.beta))


def fit_beta_binomial(n: ArrayLike, c: ArrayLike) -> BetaBinomial:
    """Maximum-likelihood Beta distribution of solve rates from c correct of n trials a question [Q].

    Raises:
        InputError: fewer than two questions, or counts that ``pass_at_k`` would refuse.
    """
    from scipy.optimize import minimize
    from scipy.special import betaln

    n, c = (np.atleast_1d(a) for a in np.broadcast_arrays(_counts("n", n), _counts("c", c)))
    _refuse(n < 1, "n={} trials: a question without a trial says nothing", n)
    _refuse(c > n, "c={} correct out of n={}: c counts among the n trials", c, n)
    if n.size < 2:
        raise InputError("one question cannot show how solve rates spread: give at least two")

    def negative_log_likelihood(log_shape: NDArray[np.float64]) -> float:
        a, b = np.exp(log_shape)
        return -float(np.sum(betaln(a + c, b + n - c) - betaln(a, b))) / n.size

    mean = (c.sum() + 0.5) / (n.sum() + 1.0)
    start = np.log([2 * mean, 2 * (1 - mean)])
    bounds = [(-12.0, 12.0)] * 2
    found = minimize(negative_log_likelihood, start, method="L-BFGS-B", bounds=bounds)
    alpha, beta = np.exp(found.x)
    return BetaBinomial(float(alpha), float(beta), int(4 * n.min()), _fit_note(n, c, found))


def _fit_note(n: NDArray[np.float64], c: NDArray[np.float64], found: Any) -> str:
    if not found.success:
        return f"the likelihood search stopped early: {found.message}"
    if (c == 0).all() or (c == n).all():
        return "every trial came out alike, so the spread of solve rates is not identified"
    if np.abs(found.x).max() > 11.9:
        return "a shape parameter ran to its bound: the solve rates are one point or all 0 and 1"
    return ""


def _counts(name: str, value: ArrayLike) -> NDArray[np.float64]:
    try:
        counts = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r} is not a number: give counts") from None
    _refuse(~np.isfinite(counts), name + "={}: counts must be finite", counts)
    _refuse(counts < 0, name + "={}: counts cannot be negative", counts)
    _refuse(counts != np.floor(counts), name + "={}: counts must be whole numbers", counts)
    return counts


def _refuse(bad: NDArray[np.bool_], text: str, *values: NDArray[np.float64]) -> None:
    """Raise with the first offending entry's values in the text, and its index where there are many."""
    if not np.any(bad):
        return
    first = tuple(int(i) for i in np.argwhere(bad)[0]) if np.ndim(bad) else ()
    shown = text.format(*(f"{v[first]:g}" for v in values))
    raise InputError(shown + (f" (at index {', '.join(map(str, first))})" if first else ""))
