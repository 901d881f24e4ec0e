"""Expected largest of N values drawn from a sample without putting back: the wait for N answers.

Axes: Q questions · C numbers of draws · S samples.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def expected_largest(values_qcs: Floats, chosen_qs: NDArray[np.bool_], draws_c: NDArray[np.int64]) -> Floats:
    """Mean over all ways to draw ``draws_c`` of a question's chosen values of the largest drawn.

    The value that i chosen ones are not above is the largest in C(i, N − 1) of C(S, N) draws.

    Args:
      values_qcs: [Q, C, S].
      chosen_qs: which of them count, [Q, S]; at least N in every row.
      draws_c: N, [C].

    Returns:
      [Q, C].
    """
    chosen = np.broadcast_to(chosen_qs[:, None], values_qcs.shape)
    rising = np.sort(np.where(chosen, values_qcs, -np.inf), axis=-1)
    count_q1 = chosen_qs.sum(axis=1)[:, None]
    below_qs = np.arange(rising.shape[-1]) - (rising.shape[-1] - count_q1)
    n = draws_c[None, :, None].astype(int)
    i = below_qs[:, None, :]
    usable = i >= n - 1
    ways = _log_choose(np.where(usable, i, n - 1), n - 1) - _log_choose(count_q1[:, :, None], n)
    return np.asarray((np.where(usable, rising, 0.0) * np.where(usable, np.exp(ways), 0.0)).sum(-1))


def _log_choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> Floats:
    """Logarithm of n over k, 0 ≤ k ≤ n."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, np.max(n, initial=0) + 1)))])
    return np.asarray(logs[n] - logs[k] - logs[n - k])
