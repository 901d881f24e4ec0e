"""Policies that choose single tokens: oracle top-k, sliding window, random select.

All keep the first ``sink`` and the last ``local`` positions; they differ in the middle.
"""

import dataclasses
from typing import ClassVar

from kinetics_jax.checks import MAX_SEED, check_whole
from kinetics_jax.policies.arrays import Array, array_namespace, exists, hashed, mark, top_mask
from kinetics_jax.policies.base import check_counts
from kinetics_jax.policies.pages import PageRule
from kinetics_jax.policies.sparse import SparsePolicy


class SinkAndLocal(SparsePolicy):
    """What our sparse policies share: sinks, a local window and some dense first layers.

    Not a dataclass itself, so that each policy lists its own fields in the order users write them.
    """

    local: int
    """Newest positions that are always read."""
    sink: int
    """First positions that are always read."""
    dense_layers: int
    """First layers that stay dense (1 in the reference engine)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, local=0, sink=0, dense_layers=0)

    @property
    def num_dense_layers(self) -> int:
        """``dense_layers``."""
        return self.dense_layers

    def _middle(self, size: int, lengths_b: Array) -> Array:
        """True at the positions between the sinks and the window, [B, 1, size]."""
        position = array_namespace(lengths_b).arange(size)
        return (position >= self.sink) & (position < (lengths_b - self.local)[:, None, None])


@dataclasses.dataclass(frozen=True)
class SlidingWindow(SinkAndLocal):
    """Sinks and the newest ``local`` tokens; the middle is never read (StreamingLLM)."""

    local: int
    sink: int = 4
    dense_layers: int = dataclasses.field(default=1, kw_only=True)
    page_size: int | None = dataclasses.field(default=None, kw_only=True)
    """Tokens in a page: sinks and window are rounded up to whole pages. None: exact to the token."""

    name: ClassVar[str] = "sliding_window"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, local=1)
        if self.page_size is not None:
            check_counts(self, page_size=1)

    @property
    def pages(self) -> PageRule | None:
        """Sink and window pages, none by score."""
        if self.page_size is None:
            return None
        return PageRule.covering(
            self.page_size, top=0, sink=self.sink, local=self.local, whole_below=self.min_context
        )

    @property
    def natural_page(self) -> int | None:
        """``page_size``."""
        return self.page_size

    def on_pages(self, page_size: int) -> "SlidingWindow":
        """With ``page_size``."""
        return dataclasses.replace(self, page_size=page_size)

    @property
    def kv_budget(self) -> int:
        """``local``."""
        return self.local

    @property
    def sparse_label(self) -> str:
        """``window 256``."""
        return f"window {self.local}"

    def sparse_kv_reads(self, lengths: Array) -> Array:
        """min(S, sink + local)."""
        return array_namespace(lengths).minimum(lengths, self.sink + self.local)

    def sparse_keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """All but the middle."""
        size = scores_bks.shape[-1]
        if self.pages is not None:
            return self.pages.keep(scores_bks[..., :: self.pages.page_size], lengths_b, size)
        return exists(lengths_b, size) & ~self._middle(size, lengths_b)


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
    def sparse_label(self) -> str:
        """``top-k 512``."""
        return f"top-k {self.k}" + (f" + local {self.local}" if self.local else "")

    def sparse_kv_reads(self, lengths: Array) -> Array:
        """min(S, sink + k + local)."""
        return array_namespace(lengths).minimum(lengths, self.sink + self.k + self.local)

    def sparse_keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """All but the middle, and the best ``k`` of the middle."""
        size = scores_bks.shape[-1]
        middle = array_namespace(scores_bks).broadcast_to(self._middle(size, lengths_b), scores_bks.shape)
        best = top_mask(scores_bks, self.k, middle)
        return exists(lengths_b, size) & (~middle | best)


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
        check_counts(self, num_tokens=1)
        seed = check_whole("RandomSelect: seed", self.seed, 0, MAX_SEED)
        object.__setattr__(self, "seed", seed)

    @property
    def kv_budget(self) -> int:
        """``num_tokens + local``."""
        return self.num_tokens + self.local

    @property
    def sparse_label(self) -> str:
        """``random 256``."""
        return f"random {self.num_tokens}"

    def sparse_kv_reads(self, lengths: Array) -> Array:
        """Expected distinct tokens, sink + local + M(1 − (1 − 1/M)^n) of a middle of M; S if short."""
        xp = array_namespace(lengths)
        short = lengths <= self.sink + self.local + self.num_tokens
        middle = xp.where(short, 2, lengths - self.sink - self.local)
        distinct = middle * (1.0 - (1.0 - 1.0 / middle) ** self.num_tokens)
        return xp.where(short, lengths, self.sink + self.local + distinct)

    def sparse_keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """All but the middle, and the draws; they depend on seed, stream, head and length only."""
        xp = array_namespace(scores_bks)
        heads, size = scores_bks.shape[1:]
        short = (lengths_b <= self.sink + self.local + self.num_tokens)[:, None, None]
        span = xp.maximum(lengths_b - self.sink - self.local, 1)[:, None, None]
        bits = hashed(
            self.seed,
            streams_b[:, None, None],
            lengths_b[:, None, None],
            xp.arange(heads)[:, None],
            xp.arange(self.num_tokens),
        )
        drawn = self.sink + (bits % span.astype("uint32")).astype("int32")
        drawn = mark(xp.minimum(drawn, size - 1), size)
        return exists(lengths_b, size) & (short | drawn | ~self._middle(size, lengths_b))
