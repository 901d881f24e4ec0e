"""Best of N by a verifier that errs: one of the accepted at random, or one of all where none is accepted.

The N are drawn without replacement from n stored samples, c of them right. The verifier accepts a right one
with probability ``true_positive``, a wrong one with ``false_positive``, each by itself.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@functools.lru_cache(maxsize=4096)
def _pick(trials: int, true_positive: float, false_positive: float) -> tuple[float, ...]:
    chances = []
    for right in range(trials + 1):
        a, b = np.arange(right + 1), np.arange(trials - right + 1)
        joint = np.outer(_binomial(right, true_positive), _binomial(trials - right, false_positive))
        accepted = a[:, None] + b
        share = np.where(accepted > 0, a[:, None] / np.maximum(accepted, 1), right / trials)
        chances.append(float((joint * share).sum()))
    return tuple(chances)


def _binomial(count: int, rate: float) -> Floats:
    """Chance of 0…count successes."""
    k = np.arange(count + 1)
    return np.array([float(math.comb(count, i)) for i in k]) * rate**k * (1.0 - rate) ** (count - k)


def chance_of_right(trials: int, true_positive: float, false_positive: float) -> Floats:
    """Chance that the sample picked is right, by how many of the N are: 0…N, [N + 1].

    Raises:
        InputError: N < 1, or a rate outside [0, 1].
    """
    if trials < 1:
        raise InputError(f"trials={trials} must be at least 1")
    for name, rate in (("true_positive", true_positive), ("false_positive", false_positive)):
        if not 0 <= rate <= 1:
            raise InputError(f"{name}={rate!r} must be in [0, 1]")
    return np.array(_pick(int(trials), float(true_positive), float(false_positive)))


def best_of_n(n: int, c: int, trials: int, true_positive: float, false_positive: float) -> float:
    """Expected accuracy of best-of-N of a question with c right of n samples.

    With rates 1 and 0 it is pass@N, with equal rates c/n.

    Raises:
        InputError: counts that are not 0 ≤ c ≤ n and 1 ≤ N ≤ n, or a rate outside [0, 1].
    """
    if not 0 <= c <= n or not 1 <= trials <= n:
        raise InputError(f"n={n}, c={c}, trials={trials}: need 0 ≤ c ≤ n and 1 ≤ trials ≤ n")
    return float(_right_of(n, trials)[c] @ chance_of_right(trials, true_positive, false_positive))


@functools.lru_cache(maxsize=4096)
def _right_of(n: int, trials: int) -> Floats:
    """Chance of K right ones among N of n samples: rows c = 0…n, columns K = 0…N."""
    subsets = math.comb(n, trials)
    rows = [
        [math.comb(c, k) * math.comb(n - c, trials - k) / subsets for k in range(trials + 1)]
        for c in range(n + 1)
    ]
    return np.array(rows)


def best_of_n_table(n_q: Ints, c_qc: Ints, trials_c: Ints, rates: tuple[float, float]) -> Floats:
    """``best_of_n`` of C configurations on Q questions, [Q, C]; ``rates`` as (true, false) positive."""
    out = np.empty(c_qc.shape)
    for trials in np.unique(trials_c):
        chance = chance_of_right(int(trials), *rates)
        columns = np.flatnonzero(trials_c == trials)
        for n in np.unique(n_q):
            rows = np.flatnonzero(n_q == n)
            at = np.ix_(rows, columns)
            out[at] = (_right_of(int(n), int(trials)) @ chance)[c_qc[at]]
    return out


def expected_best_of_n(
    alpha_qc: Floats, beta_qc: Floats, trials_c: Ints, rates: tuple[float, float]
) -> Floats:
    """Posterior mean of best-of-N, a question's solve rate being Beta(α, β): [Q, C]; α and β broadcast."""
    from scipy.special import betaln, gammaln

    out = np.empty(np.broadcast_shapes(alpha_qc.shape, beta_qc.shape))
    for c, trials in enumerate(trials_c.tolist()):
        k = np.arange(trials + 1)
        ways = gammaln(trials + 1) - gammaln(k + 1) - gammaln(trials - k + 1)
        a, b = alpha_qc[:, c : c + 1], beta_qc[:, c : c + 1]
        right = np.exp(ways + betaln(a + k, b + trials - k) - betaln(a, b))
        out[:, c] = right @ chance_of_right(trials, *rates)
    return out
