"""Policies that choose whole blocks of tokens by a summary of their keys: the ones that save bytes.

Axes: S context, the newest token included. Blocks start after the sinks and end before the window;
what is left over (fewer tokens than a block) is always read.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from kinetics_jax.checks import check_flag
from kinetics_jax.errors import InputError
from kinetics_jax.policies.arrays import Array, array_namespace, exists, top_mask
from kinetics_jax.policies.base import check_counts
from kinetics_jax.policies.pages import PageRule
from kinetics_jax.policies.tokens import SinkAndLocal


@dataclasses.dataclass(frozen=True)
class BlockTopK(SinkAndLocal):
    """The ``top_blocks`` blocks of largest mean logit, which is q·(mean key): the paper's policy.

    Source: paper App. D.3; exactly as the reference, docs/paper_facts.md, "Sparse attention".
    """

    block_size: int
    """Tokens per block (the paper's BS; a page of the engine's cache)."""
    top_blocks: int
    """Blocks read per KV head and step."""
    local: int = 0
    sink: int = 4
    dense_layers: int = dataclasses.field(default=1, kw_only=True)
    aligned: bool = dataclasses.field(default=False, kw_only=True)
    """Whether blocks are the pages of the cache, from position 0, sinks and window rounded up to pages
    and the newest page always read: what the engine's kernels do. False: the reference's exact sets."""

    name: ClassVar[str] = "block_topk"
    summaries_per_block: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, block_size=1, top_blocks=1)
        aligned = check_flag(f"{type(self).__name__}: aligned", self.aligned)
        object.__setattr__(self, "aligned", aligned)

    @property
    def pages(self) -> PageRule | None:
        """``top_blocks`` pages by score beside the pages of sinks and window, where aligned."""
        if not self.aligned:
            return None
        return PageRule.covering(
            self.block_size,
            top=self.top_blocks,
            sink=self.sink,
            local=self.local,
            whole_below=self.min_context,
        )

    @property
    def natural_page(self) -> int:
        """``block_size``."""
        return self.block_size

    def on_pages(self, page_size: int) -> "BlockTopK":
        """Aligned. Raises ``InputError`` unless ``page_size`` is the block size."""
        if page_size != self.block_size:
            raise InputError(
                f"{self.label}: its blocks of {self.block_size} tokens are the cache's pages, which "
                f"hold {page_size}; use pages of {self.block_size}"
            )
        return dataclasses.replace(self, aligned=True)

    @property
    def kv_budget(self) -> int:
        """``block_size · top_blocks + local``."""
        return self.block_size * self.top_blocks + self.local

    @property
    def search_interval(self) -> int:
        """``block_size``."""
        return self.block_size

    @property
    def sparse_label(self) -> str:
        """``block top-k 16×64``: block size × blocks."""
        local = f" + local {self.local}" if self.local else ""
        return f"block top-k {self.block_size}×{self.top_blocks}{local}"

    @property
    def _active_above(self) -> int:
        """Longest context that is still read whole."""
        budget = self.sink + self.local + self.top_blocks * self.block_size
        return -(-budget // self.block_size) * self.block_size

    def sparse_kv_reads(self, lengths: Array) -> Array:
        """S while short, then sink + blocks + local + the remainder (S − local − sink) mod BS."""
        xp = array_namespace(lengths)
        fixed = self.sink + self.local + self.top_blocks * self.block_size
        remainder = (lengths - self.local - self.sink) % self.block_size
        return xp.where(lengths > self._active_above, fixed + remainder, lengths)

    def sparse_summary_reads(self, lengths: Array) -> Array:
        """One per block and kind of summary once there is something to choose, else none."""
        xp = array_namespace(lengths)
        blocks = (lengths - self.local - self.sink) // self.block_size
        return xp.where(lengths > self._active_above, blocks * self.summaries_per_block, 0)

    def _block_scores(self, tokens: Array) -> Array:
        """Scores of blocks from the logits of their tokens, [..., BS] → [...]."""
        return tokens.mean(axis=-1)

    def sparse_keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """See ``Policy.keep``."""
        xp = array_namespace(scores_bks)
        size, first = scores_bks.shape[-1], 0 if self.aligned else self.sink
        blocks = -(-max(size - first, 0) // self.block_size)
        room = first + blocks * self.block_size
        padded = xp.pad(scores_bks, [(0, 0), (0, 0), (0, max(room - size, 0))])
        by_block = padded[..., first:room].reshape(*padded.shape[:2], blocks, self.block_size)
        block_scores = self._block_scores(by_block)
        if self.pages is not None:
            return self.pages.keep(block_scores, lengths_b, size)
        whole_b11 = ((lengths_b - self.local - self.sink) // self.block_size)[:, None, None]
        open_bkb = xp.broadcast_to(xp.arange(blocks) < whole_b11, block_scores.shape)
        chosen = xp.repeat(top_mask(block_scores, self.top_blocks, open_bkb), self.block_size, -1)
        chosen = xp.pad(chosen, [(0, 0), (0, 0), (first, 0)])[..., :size]
        position = xp.arange(size)
        in_blocks = (position >= first) & (position < first + whole_b11 * self.block_size)
        short = (lengths_b <= self._active_above)[:, None, None]
        return exists(lengths_b, size) & (short | chosen | ~in_blocks)


@dataclasses.dataclass(frozen=True)
class Quest(BlockTopK):
    """Blocks ranked by an upper bound of their best logit, from the keys' minima and maxima.

    Source: Quest (arXiv:2406.10774). Two summaries per block are stored and read. ``keep_mask`` sees
    logits, not keys, so it ranks by the quantity that the bound estimates: the block's largest logit.
    """

    name: ClassVar[str] = "quest"
    summaries_per_block: ClassVar[int] = 2

    @property
    def sparse_label(self) -> str:
        """``Quest 16×64``."""
        return super().sparse_label.replace("block top-k", "Quest")

    def _block_scores(self, tokens: Array) -> Array:
        return tokens.max(axis=-1)


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
    def sparse_label(self) -> str:
        """``strided block top-k 16×64/8``."""
        return f"strided block top-k {self.block_size}×{self.top_blocks}/{self.stride}"

    def _num_blocks(self, lengths: Array) -> Array:
        return (lengths - self.local - self.sink - self.block_size) // self.stride + 1

    def sparse_kv_reads(self, lengths: Array) -> Array:
        """The most that can be read: min(S, sink + blocks + local). The true set depends on data."""
        fixed = self.sink + self.local + self.top_blocks * self.block_size
        return array_namespace(lengths).minimum(lengths, fixed)

    def sparse_summary_reads(self, lengths: Array) -> Array:
        """One per overlapping block, from the first whole block on."""
        return array_namespace(lengths).maximum(self._num_blocks(lengths), 0)

    def sparse_keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """See ``Policy.keep``."""
        xp = array_namespace(scores_bks)
        size = scores_bks.shape[-1]
        position = xp.arange(size)
        blocks = max((size - self.sink - self.block_size) // self.stride + 1, 0)
        if not blocks:
            return exists(lengths_b, size)
        tokens = self.sink + self.stride * np.arange(blocks)[:, None] + np.arange(self.block_size)
        scores = xp.take(scores_bks, tokens, axis=-1).mean(axis=-1)
        whole_b11 = self._num_blocks(lengths_b)[:, None, None]
        open_bkb = xp.broadcast_to(xp.arange(blocks) < whole_b11, scores.shape)
        best = top_mask(scores, 2 * self.top_blocks, open_bkb)
        union = xp.zeros(scores_bks.shape, bool)
        for back in range(-(-self.block_size // self.stride)):
            # The block that starts ``back`` strides before the last one to start at or before a position.
            block = (position - self.sink) // self.stride - back
            covers = (block >= 0) & (block < blocks) & (position >= self.sink)
            covers &= position < self.sink + block * self.stride + self.block_size
            union |= covers & xp.take(best, xp.clip(block, 0, blocks - 1), axis=-1)
        union &= xp.cumsum(union, axis=-1) <= self.top_blocks * self.block_size
        short = (whole_b11 < 1) | (lengths_b - self.local - self.sink < self.block_size)[:, None, None]
        return exists(lengths_b, size) & (short | union | ~self._middle(size, lengths_b))
