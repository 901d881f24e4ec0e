"""Policies that choose whole blocks of tokens by a summary of their keys: the ones that save bytes.

Axes: S context, the newest token included. Blocks start after the sinks and end before the window;
what is left over (fewer tokens than a block) is always read.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from kinetics_jax.spec.policies.base import Array, array_namespace, check_counts, top_indices
from kinetics_jax.spec.policies.tokens import SinkAndLocal


@dataclasses.dataclass(frozen=True)
class BlockTopK(SinkAndLocal):
    """The ``top_blocks`` blocks of largest mean logit, which is q·(mean key): the paper's policy.

    Source: paper App. D.3; exact semantics of the reference implementation, facts §3.2.
    """

    block_size: int
    """Tokens per block (the paper's BS; a page of the engine's cache)."""
    top_blocks: int
    """Blocks read per KV head and step."""
    local: int = 0
    sink: int = 4
    dense_layers: int = dataclasses.field(default=1, kw_only=True)

    name: ClassVar[str] = "block_topk"
    summaries_per_block: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, block_size=1, top_blocks=1)

    @property
    def kv_budget(self) -> int:
        """``block_size · top_blocks + local``."""
        return self.block_size * self.top_blocks + self.local

    @property
    def search_interval(self) -> int:
        """``block_size``."""
        return self.block_size

    @property
    def label(self) -> str:
        """``block top-k 16×64``: block size × blocks."""
        local = f" + local {self.local}" if self.local else ""
        return f"block top-k {self.block_size}×{self.top_blocks}{local}"

    @property
    def _active_above(self) -> int:
        """Longest context that is still read whole."""
        budget = self.sink + self.local + self.top_blocks * self.block_size
        return -(-budget // self.block_size) * self.block_size

    def kv_reads(self, lengths: Array) -> Array:
        """S while short, then sink + blocks + local + the remainder (S − local − sink) mod BS."""
        xp = array_namespace(lengths)
        fixed = self.sink + self.local + self.top_blocks * self.block_size
        remainder = (lengths - self.local - self.sink) % self.block_size
        return xp.where(lengths > self._active_above, fixed + remainder, lengths)

    def summary_reads(self, lengths: Array) -> Array:
        """One per block and kind of summary once there is something to choose, else none."""
        xp = array_namespace(lengths)
        blocks = (lengths - self.local - self.sink) // self.block_size
        return xp.where(lengths > self._active_above, blocks * self.summaries_per_block, 0)

    def _block_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Scores of blocks from the logits of their tokens, [blocks, BS] → [blocks]."""
        return tokens.mean(axis=1)

    def _keep(self, scores_s: np.ndarray, row: int, head: int) -> np.ndarray:
        length = len(scores_s)
        if length <= self._active_above:
            return np.ones(length, bool)
        blocks = (length - self.local - self.sink) // self.block_size
        end = self.sink + blocks * self.block_size
        tokens = scores_s[self.sink : end].reshape(blocks, self.block_size)
        chosen = np.zeros((blocks, self.block_size), bool)
        chosen[top_indices(self._block_scores(tokens), self.top_blocks)] = True
        keep = np.ones(length, bool)
        keep[self.sink : end] = chosen.ravel()
        return keep


@dataclasses.dataclass(frozen=True)
class Quest(BlockTopK):
    """Blocks ranked by an upper bound of their best logit, from the keys' minima and maxima.

    Source: Quest (arXiv:2406.10774). Two summaries per block are stored and read. ``keep_mask`` sees
    logits, not keys, so it ranks by the quantity that the bound estimates: the block's largest logit.
    """

    name: ClassVar[str] = "quest"
    summaries_per_block: ClassVar[int] = 2

    @property
    def label(self) -> str:
        """``Quest 16×64``."""
        return super().label.replace("block top-k", "Quest")

    def _block_scores(self, tokens: np.ndarray) -> np.ndarray:
        return tokens.max(axis=1)


@dataclasses.dataclass(frozen=True)
class StridedBlockTopK(SinkAndLocal):
    """Overlapping blocks every ``stride`` tokens; the union of the best is cut to the budget.

    The reference takes the best 2·``top_blocks`` blocks, unites their tokens in ascending order and
    keeps the first ``top_blocks · block_size``, so what is dropped is the newest, not the worst.
    """

    block_size: int
    top_blocks: int
    stride: int
    local: int = 0
    sink: int = 4
    dense_layers: int = dataclasses.field(default=1, kw_only=True)

    name: ClassVar[str] = "strided_block_topk"
    summaries_per_block: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, block_size=1, top_blocks=1, stride=1)

    @property
    def kv_budget(self) -> int:
        """``block_size · top_blocks + local``."""
        return self.block_size * self.top_blocks + self.local

    @property
    def search_interval(self) -> int:
        """``stride``."""
        return self.stride

    @property
    def label(self) -> str:
        """``strided block top-k 16×64/8``."""
        return f"strided block top-k {self.block_size}×{self.top_blocks}/{self.stride}"

    def _num_blocks(self, lengths: Array) -> Array:
        return (lengths - self.local - self.sink - self.block_size) // self.stride + 1

    def kv_reads(self, lengths: Array) -> Array:
        """The most that can be read: min(S, sink + blocks + local). The true set depends on data."""
        fixed = self.sink + self.local + self.top_blocks * self.block_size
        return array_namespace(lengths).minimum(lengths, fixed)

    def summary_reads(self, lengths: Array) -> Array:
        """One per overlapping block, from the first whole block on."""
        return array_namespace(lengths).maximum(self._num_blocks(lengths), 0)

    def _keep(self, scores_s: np.ndarray, row: int, head: int) -> np.ndarray:
        length = len(scores_s)
        span = length - self.local - self.sink
        if span < self.block_size:
            return np.ones(length, bool)
        starts = self.sink + self.stride * np.arange(self._num_blocks(length))
        tokens = starts[:, None] + np.arange(self.block_size)
        best = top_indices(scores_s[tokens].mean(axis=1), 2 * self.top_blocks)
        union = np.unique(tokens[best])[: self.top_blocks * self.block_size]
        keep = self._sink_and_local(length)
        keep[union] = True
        return keep
