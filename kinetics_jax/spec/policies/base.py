"""What an attention policy is: which cached tokens one decode step reads, per KV head.

The object that selects tokens in the engine is the object that the cost model prices. Formulas are
written against NumPy or JAX arrays alike, and need neither engine nor chip.
Axes: B sequences · N query heads · K KV heads · G = N/K · S context, the newest token included.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from kinetics_jax.spec.errors import InputError

Array = Any
"""An array of either kind (NumPy or JAX), or a plain number."""


def array_namespace(x: Array) -> Any:
    """The module whose functions take ``x``: jax.numpy for a JAX array, else NumPy."""
    namespace = getattr(x, "__array_namespace__", None)
    return namespace() if namespace else np


def group_mean(logits_bns: np.ndarray, num_kv_heads: int) -> np.ndarray:
    """Mean of the scaled logits over the query heads of each KV head: [B, N, S] → [B, K, S]."""
    b, n, s = logits_bns.shape
    if num_kv_heads < 1 or n % num_kv_heads:
        raise InputError(f"num_kv_heads={num_kv_heads} does not divide the {n} query heads")
    return logits_bns.reshape(b, num_kv_heads, n // num_kv_heads, s).mean(axis=2)


def top_indices(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest scores; equal scores go to the lower index, as in ``lax.top_k``."""
    return np.argsort(-scores, kind="stable")[:k]


@dataclasses.dataclass(frozen=True)
class Policy:
    """Base of all policies. A new policy is one dataclass that fills in the four methods below.

    ``name`` is the policy's word in sample records, flags and tables.
    """

    name: ClassVar[str] = ""
    summaries_per_block: ClassVar[int] = 0
    """Key summaries stored per block and read to score it: 0 no search, 1 mean key, 2 min and max."""

    is_oracle: ClassVar[bool] = False
    """Whether choosing needs every key's true score, which the paper takes to be free."""

    @property
    def kv_budget(self) -> int | None:
        """The paper's B: tokens per KV head and step, sinks not counted; None reads everything."""
        raise NotImplementedError

    @property
    def search_interval(self) -> int | None:
        """Tokens between two scored blocks (the paper's BS in C_search); None where no search is."""
        return None

    @property
    def num_dense_layers(self) -> int:
        """First layers that read everything all the same (the reference engine keeps layer 0 so)."""
        return 0

    @property
    def label(self) -> str:
        """A short text for tables and legends, such as ``block top-k 16×64``."""
        raise NotImplementedError

    def kv_reads(self, lengths: Array) -> Array:
        """Tokens of K and V that one KV head reads in one step.

        Args:
          lengths: context lengths S, any shape; the newest token included.

        Returns:
          Token counts of the same shape, at most ``lengths``. Grows by at most one per token of S.
        """
        raise NotImplementedError

    def summary_reads(self, lengths: Array) -> Array:
        """Key summaries (H elements each) that one KV head reads to choose, same shape as lengths."""
        return lengths * 0

    def keep_mask(
        self, logits_bns: np.ndarray, lengths_b: np.ndarray, num_kv_heads: int
    ) -> np.ndarray:
        """The exact set of positions that the reference implementation reads (facts §3.2).

        Args:
          logits_bns: scaled logits q·k/√H before the softmax, [B, N, S].
          lengths_b: valid positions of each row, the newest token included, [B].
          num_kv_heads: K.

        Returns:
          True where the position is read, bool [B, K, S]; positions ≥ length are False.

        Raises:
          InputError: shapes that do not fit, or lengths outside 0…S.
        """
        logits_bns, lengths_b = np.asarray(logits_bns), np.asarray(lengths_b)
        if logits_bns.ndim != 3 or lengths_b.shape != logits_bns.shape[:1]:
            raise InputError(
                f"keep_mask takes logits [B, N, S] and lengths [B], got {logits_bns.shape} and "
                f"{lengths_b.shape}"
            )
        b, _, s = logits_bns.shape
        if np.any(lengths_b < 0) or np.any(lengths_b > s):
            raise InputError(
                f"lengths must be in 0…{s} (S of the logits), got {lengths_b.tolist()}"
            )
        scores_bks = group_mean(logits_bns, num_kv_heads)
        keep_bks = np.zeros((b, num_kv_heads, s), bool)
        for row in range(b):
            for head in range(num_kv_heads):
                length = int(lengths_b[row])
                keep_bks[row, head, :length] = self._keep(scores_bks[row, head, :length], row, head)
        return keep_bks

    def _keep(self, scores_s: np.ndarray, row: int, head: int) -> np.ndarray:
        """keep_mask of one (sequence, KV head) whose S is the whole length."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Dense(Policy):
    """Every step reads every cached token."""

    name: ClassVar[str] = "dense"

    @property
    def kv_budget(self) -> None:
        """No budget."""
        return None

    @property
    def label(self) -> str:
        """``dense``."""
        return "dense"

    def kv_reads(self, lengths: Array) -> Array:
        """All S tokens."""
        return lengths

    def _keep(self, scores_s: np.ndarray, row: int, head: int) -> np.ndarray:
        return np.ones_like(scores_s, bool)


def check_counts(policy: Policy, **least: int) -> None:
    """Raise InputError unless every named field of ``policy`` is an integer of at least that much."""
    for field, minimum in least.items():
        value = getattr(policy, field)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
            raise InputError(
                f"{type(policy).__name__}: {field}={value!r} must be an integer ≥ {minimum}"
            )
