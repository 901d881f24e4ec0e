"""How good a configuration probably is on a question, from few samples: empirical Bayes.

For choosing, not for scoring. The unbiased pass@k of n samples is 1 for any question with more correct
ones than n − k, so 1 of 16 looks as good at k = 16 as 16 of 16, and the maximum over configurations goes
to the luckiest. Axes: Q questions · C configurations.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEVER = 1e-15
"""Mean solve rate of a configuration that solved nothing."""
WEAKEST, STRONGEST = 0.1, 1_000.0
"""Bounds of the prior's weight, in samples."""


def expected_pass_at_k(n_q: NDArray[np.int64], c_qc: Floats, k_c: NDArray[np.int64]) -> Floats:
    """Posterior mean of pass@k, every question's solve rate shrunk to its configuration's own mean.

    Args:
        n_q: samples of each question, [Q], ≥ 1.
        c_qc: correct ones, [Q, C].
        k_c: trials asked about, [C]; may exceed n.

    Returns:
        1 − E[(1 − p)^k] with p ~ Beta(α + c, β + n − c), [Q, C], where Beta(α, β) has the mean and the
        spread over questions that the configuration's counts show (method of moments).
    """
    alpha_c, beta_c = solve_rate_prior(n_q, c_qc)
    total_qc = alpha_c + beta_c + n_q[:, None]
    wrong_qc = beta_c + n_q[:, None] - c_qc
    log_failure = np.zeros(c_qc.shape)
    for j in range(int(k_c.max())):
        log_failure += np.where(j < k_c, np.log((wrong_qc + j) / (total_qc + j)), 0.0)
    return -np.expm1(log_failure)


def solve_rate_prior(n_q: NDArray[np.int64], c_qc: Floats) -> tuple[Floats, Floats]:
    """Beta of solve rates over questions, one a configuration: α and β, [C] each."""
    # Never solved stays as good as never, so that hopeless configurations tie and the cheapest wins.
    mean = np.clip(c_qc.sum(axis=0) / n_q.sum(), NEVER, 1.0 - NEVER)
    binomial = mean * (1.0 - mean)
    noise = float(np.mean(1.0 / n_q))
    seen = np.mean((c_qc / n_q[:, None] - mean) ** 2, axis=0)
    # Variance that samples add to rates is binomial·noise; with one sample a question it is all there
    # is to see, and rates are then taken to spread half as widely as they can.
    spread = (seen - binomial * noise) / (1.0 - noise) if noise < 1.0 else binomial / 2.0
    spread = np.maximum(spread, binomial / (STRONGEST + 1.0))
    weight = np.clip(binomial / spread - 1.0, WEAKEST, STRONGEST)
    return mean * weight, (1.0 - mean) * weight
