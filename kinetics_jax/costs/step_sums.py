"""Sums over decode steps of what a policy reads, vectorised by prefix sums.

Step t = 0 … L−1 of a sample has a context of S = L_in + t tokens, its own included; step 0 is the last
prompt token, whose logits give the first generated one. A sum over steps is then a difference of two
entries of a running sum over S, so a million samples cost two look-ups each.
"""

import functools

import numpy as np

from kinetics_jax.spec import Policy

_MIN_TABLE = 1 << 15


def _running_sum(counts: np.ndarray) -> np.ndarray:
    """[0, c₀, c₀+c₁, …]: entry S is the sum of counts below S."""
    return np.concatenate([[0], np.cumsum(counts)])


@functools.lru_cache(maxsize=64)
def _tables(policy: Policy, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Running sums of reads and of summary reads, and the tokens skipped, for S = 0 … size."""
    lengths = np.arange(size + 1)
    reads = np.asarray(policy.kv_reads(lengths))
    summaries = np.asarray(policy.summary_reads(lengths))
    return _running_sum(reads), _running_sum(summaries), lengths - reads


class StepSums:
    """Sums over the steps of samples with ``prompt`` and ``generated`` tokens (integer arrays)."""

    def __init__(self, policy: Policy, prompt: np.ndarray, generated: np.ndarray) -> None:
        self._policy, self._start, self._steps = policy, prompt, generated
        longest = int(np.max(prompt + generated, initial=0))
        size = max(_MIN_TABLE, 1 << longest.bit_length())
        self._reads, self._summaries, self._skipped = _tables(policy, size)

    def reads(self) -> np.ndarray:
        """Σ R(S): tokens of K and V that one KV head reads for one sample."""
        return self._between(self._reads, self._start, self._start + self._steps)

    def distinct_reads(self, trials: np.ndarray) -> np.ndarray:
        """Tokens that one KV head reads for ``trials`` samples of one prompt, prompt read once for all.

        A budget is taken to be spent on a sample's own tokens first, min(R, t) of them, and what is
        left of it on the prompt, where the samples share: (N−1)·min(R, t) + R per step. Dense is the
        paper's L_in + N·t; a budget smaller than what was generated shares nothing, so the count is
        an upper bound for sparse policies, never a discount that selection might not give.
        """
        # R grows by at most one a token, so the tokens skipped, S − R, never fall, and t overtakes R
        # once: at the first S that skips as many tokens as the prompt has.
        end = self._start + self._steps
        cross = np.searchsorted(self._skipped, self._start, side="left").clip(self._start, end)
        early = cross - self._start
        own = early * (early - 1) // 2 + self._between(self._reads, cross, end)
        return (trials - 1) * own + self.reads()

    def summaries(self) -> np.ndarray:
        """Σ of key summaries that one KV head reads to choose, for one sample."""
        return self._between(self._summaries, self._start, self._start + self._steps)

    def distinct_summaries(self, trials: np.ndarray) -> np.ndarray:
        """The same for ``trials`` samples of one prompt, the prompt's summaries read once for all."""
        shared = self._steps * np.asarray(self._policy.summary_reads(self._start))
        return shared + trials * (self.summaries() - shared)

    @staticmethod
    def _between(table: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return table[end] - table[start]
