"""Sums over decode steps of what a policy reads, vectorised by prefix sums.

Step t = 0 … L−1 of a sample has a context of S = L_in + t tokens, its own included; step 0 is the last
prompt token, whose logits give the first generated one. A sum over steps is then a difference of two
entries of a running sum over S, so a million samples cost two look-ups each.
"""

import functools

import numpy as np

from kinetics_jax.costs.request import Request
from kinetics_jax.policies import Policy

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


@functools.lru_cache(maxsize=64)
def _launch_table(policy: Policy, size: int) -> np.ndarray:
    """Running sum of the launches that choose, for S = 0 … size."""
    return _running_sum(np.broadcast_to(np.asarray(policy.launches(np.arange(size + 1))), size + 1))


class StepSums:
    """Sums over the steps of a request's samples of what a policy reads, per KV head.

    ``reads`` and ``summaries`` are of one sample; the ``distinct_…`` ones are of all N, with what the
    samples share of the prompt read once if ``share_prefix``.
    """

    def __init__(self, policy: Policy, request: Request, share_prefix: bool = True) -> None:
        self._policy, self._ask, self._share = policy, request, share_prefix
        self._end = request.context
        size = max(_MIN_TABLE, 1 << int(np.max(self._end, initial=0)).bit_length())
        self._size = size
        self._reads, self._summaries, self._skipped = _tables(policy, size)

    def reads(self) -> np.ndarray:
        """Σ R(S): tokens of K and V read for one sample."""
        return self._reads[self._end] - self._reads[self._ask.prompt]

    def distinct_reads(self) -> np.ndarray:
        """Tokens of K and V read for all samples.

        A budget is taken to be spent on a sample's own tokens first, min(R, t) of them, and what is
        left of it on the prompt, where the samples share: (N−1)·min(R, t) + R per step. Dense is the
        paper's L_in + N·t. For sparse policies it is no bound: too high where samples choose the same
        tokens, too low where the prompt is longer than the budget and they choose differently (up to N
        times while little is generated: 4.3 times for 8 samples of 256 tokens to a prompt of 8,000 at a
        budget of 1,024, 1.1 times for samples of 4,096). ``share_prefix=False`` is the upper end.
        """
        if not self._share:
            return self._ask.trials * self.reads()
        # R grows by at most one a token, so the tokens skipped, S − R, never fall, and t overtakes R
        # once: at the first S that skips as many tokens as the prompt has.
        start = self._ask.prompt
        cross = np.searchsorted(self._skipped, start, side="left").clip(start, self._end)
        early = cross - start
        own = early * (early - 1) // 2 + self._reads[self._end] - self._reads[cross]
        return (self._ask.trials - 1) * own + self.reads()

    def launches(self) -> np.ndarray:
        """Σ of kernels launched to choose what a layer reads, for one sample."""
        launched = _launch_table(self._policy, self._size)
        if not launched[-1]:
            return np.zeros(())
        return launched[self._end] - launched[self._ask.prompt]

    def summaries(self) -> np.ndarray:
        """Σ of key summaries read to choose, for one sample."""
        return self._summaries[self._end] - self._summaries[self._ask.prompt]

    def distinct_summaries(self) -> np.ndarray:
        """Σ of key summaries read to choose, for all samples; the prompt's are shared."""
        if not self._share:
            return self._ask.trials * self.summaries()
        shared = np.asarray(self._policy.prompt_summary_reads(self._ask.prompt, self._end))
        return shared + self._ask.trials * (self.summaries() - shared)
