"""What every sparse policy shares: it reads everything while the context is short.

Sparse attention has costs that do not shrink with what it reads (launches, scores, lists), so below some
context it is slower than dense attention on real chips. ``min_context`` is where a step begins to choose.
Axes: B sequences · K KV heads · S context, the newest token included.
"""

import dataclasses

from kinetics_jax.policies.arrays import Array, array_namespace, exists
from kinetics_jax.policies.base import LATER, Policy, check_counts


@dataclasses.dataclass(frozen=True)
class SparsePolicy(Policy):
    """Base of policies that choose, from a context of ``min_context`` tokens on; dense below.

    A new one fills in ``sparse_kv_reads``, ``sparse_keep`` and ``sparse_label``, and where it searches
    ``sparse_summary_reads``: what it does at contexts of ``min_context`` and more. One that gives ``pages``
    hands ``min_context`` on as the rule's ``whole_below``.
    """

    min_context: int = dataclasses.field(default=0, kw_only=True, metadata=LATER)
    """Shortest context, in tokens, that is not read whole; of each sequence by itself."""

    def __post_init__(self) -> None:
        check_counts(self, min_context=0)

    @property
    def has_paper_cost(self) -> bool:
        """``in_paper``, while no context is read whole for being short."""
        return self.in_paper and not self.min_context

    @property
    def label(self) -> str:
        """``sparse_label``, and where it begins if it has a ``min_context``: ``top-k 512 from 8,192``."""
        return self.sparse_label + (f" from {self.min_context:,}" if self.min_context else "")

    @property
    def sparse_label(self) -> str:
        """The label of what is chosen, such as ``block top-k 16×64``."""
        raise NotImplementedError

    def kv_reads(self, lengths: Array) -> Array:
        """S below ``min_context``; from there on ``sparse_kv_reads``, or what ``pages`` list."""
        if self.pages is not None:
            return self.pages.kv_reads(lengths)
        return self._from_min_context(lengths, self.sparse_kv_reads(lengths), lengths)

    def summary_reads(self, lengths: Array) -> Array:
        """0 below ``min_context``; from there on ``sparse_summary_reads``, or those of ``pages``."""
        if self.pages is not None:
            return self.pages.scored(lengths) * self.summaries_per_block
        return self._from_min_context(lengths, self.sparse_summary_reads(lengths), 0)

    def prompt_summary_reads(self, prompt: Array, end: Array) -> Array:
        """Those of the steps from ``min_context`` on, which read a shorter prompt's summaries too."""
        if not self.min_context:
            return super().prompt_summary_reads(prompt, end)
        xp = array_namespace(end)
        steps = xp.maximum(end - xp.maximum(prompt, self.min_context), 0)
        return steps * dataclasses.replace(self, min_context=0).summary_reads(prompt)

    def keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """Every position of a row below ``min_context``, and ``sparse_keep`` of the others."""
        kept = self.sparse_keep(scores_bks, lengths_b, streams_b)
        if not self.min_context:
            return kept
        whole_b11 = (lengths_b < self.min_context)[:, None, None]
        return exists(lengths_b, scores_bks.shape[-1]) & (whole_b11 | kept)

    def sparse_kv_reads(self, lengths: Array) -> Array:
        """``kv_reads`` as if ``min_context`` were 0."""
        raise NotImplementedError

    def sparse_summary_reads(self, lengths: Array) -> Array:
        """``summary_reads`` as if ``min_context`` were 0: none where there is no search."""
        return lengths * 0

    def sparse_keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """``keep`` as if ``min_context`` were 0."""
        raise NotImplementedError

    def _from_min_context(self, lengths: Array, sparse: Array, dense: Array) -> Array:
        if not self.min_context:
            return sparse
        return array_namespace(lengths).where(lengths < self.min_context, dense, sparse)
