"""Policies that choose single tokens: oracle top-k, sliding window, random select.

All keep the first ``sink`` and the last ``local`` positions; they differ in the middle.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from kinetics_jax.spec.policies.base import (
    Array,
    Policy,
    array_namespace,
    check_counts,
    top_indices,
)


class SinkAndLocal(Policy):
    """What the sparse policies share: sinks, a local window and some dense first layers.

    Not a dataclass itself, so that each policy lists its own fields in the order users write them.
    """

    local: int
    """Newest positions that are always read."""
    sink: int
    """First positions that are always read."""
    dense_layers: int
    """First layers that stay dense (1 in the reference engine)."""

    def __post_init__(self) -> None:
        check_counts(self, local=0, sink=0, dense_layers=0)

    @property
    def num_dense_layers(self) -> int:
        """``dense_layers``."""
        return self.dense_layers

    def _sink_and_local(self, length: int) -> np.ndarray:
        keep = np.zeros(length, bool)
        keep[: self.sink] = True
        keep[length - self.local :] = True
        return keep


@dataclasses.dataclass(frozen=True)
class SlidingWindow(SinkAndLocal):
    """Sinks and the newest ``local`` tokens; the middle is never read (StreamingLLM)."""

    local: int
    sink: int = 4
    dense_layers: int = dataclasses.field(default=1, kw_only=True)

    name: ClassVar[str] = "sliding_window"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, local=1)

    @property
    def kv_budget(self) -> int:
        """``local``."""
        return self.local

    @property
    def label(self) -> str:
        """``window 256``."""
        return f"window {self.local}"

    def kv_reads(self, lengths: Array) -> Array:
        """min(S, sink + local)."""
        return array_namespace(lengths).minimum(lengths, self.sink + self.local)

    def _keep(self, scores_s: np.ndarray, row: int, head: int) -> np.ndarray:
        if len(scores_s) <= self.sink + self.local:
            return np.ones_like(scores_s, bool)
        return self._sink_and_local(len(scores_s))


@dataclasses.dataclass(frozen=True)
class TopK(SinkAndLocal):
    """Oracle top-k: the ``k`` tokens of largest group-mean logit between sink and window.

    The paper's upper bound of sparse attention: choosing is free. (A real system would have to read
    every key; ``price(..., oracle_search=True)`` charges that.) The newest token is not guaranteed
    when ``local`` is 0, as in the reference.
    """

    k: int
    local: int = 0
    sink: int = 4
    dense_layers: int = dataclasses.field(default=1, kw_only=True)

    name: ClassVar[str] = "topk"
    is_oracle: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, k=1)

    @property
    def kv_budget(self) -> int:
        """``k + local``."""
        return self.k + self.local

    @property
    def label(self) -> str:
        """``top-k 512``."""
        return f"top-k {self.k}" + (f" + local {self.local}" if self.local else "")

    def kv_reads(self, lengths: Array) -> Array:
        """min(S, sink + k + local)."""
        return array_namespace(lengths).minimum(lengths, self.sink + self.k + self.local)

    def _keep(self, scores_s: np.ndarray, row: int, head: int) -> np.ndarray:
        length = len(scores_s)
        if length <= self.sink + self.k + self.local:
            return np.ones(length, bool)
        keep = self._sink_and_local(length)
        keep[self.sink + top_indices(scores_s[self.sink : length - self.local], self.k)] = True
        return keep


@dataclasses.dataclass(frozen=True)
class RandomSelect(SinkAndLocal):
    """``num_tokens`` uniform draws with replacement between sink and window, per KV head."""

    num_tokens: int
    local: int = 0
    sink: int = 4
    dense_layers: int = dataclasses.field(default=1, kw_only=True)
    seed: int = dataclasses.field(default=0, kw_only=True)

    name: ClassVar[str] = "random_select"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, num_tokens=1, seed=0)

    @property
    def kv_budget(self) -> int:
        """``num_tokens + local``."""
        return self.num_tokens + self.local

    @property
    def label(self) -> str:
        """``random 256``."""
        return f"random {self.num_tokens}"

    def kv_reads(self, lengths: Array) -> Array:
        """Expected distinct tokens, sink + local + M(1 − (1 − 1/M)^n) of a middle of M; S if short."""
        xp = array_namespace(lengths)
        short = lengths <= self.sink + self.local + self.num_tokens
        middle = xp.where(short, 2, lengths - self.sink - self.local)
        distinct = middle * (1.0 - (1.0 - 1.0 / middle) ** self.num_tokens)
        return xp.where(short, lengths, self.sink + self.local + distinct)

    def _keep(self, scores_s: np.ndarray, row: int, head: int) -> np.ndarray:
        length = len(scores_s)
        if length <= self.sink + self.local + self.num_tokens:
            return np.ones(length, bool)
        keep = self._sink_and_local(length)
        rng = np.random.default_rng((self.seed, row, head, length))
        keep[rng.integers(self.sink, length - self.local, self.num_tokens)] = True
        return keep
