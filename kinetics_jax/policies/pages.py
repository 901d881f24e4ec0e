"""How a policy chooses whole pages of a paged cache: what the kernels read.

Axes: B sequences · K KV heads · S context, the newest token included · P pages of a sequence.
"""

import dataclasses

from kinetics_jax.policies.arrays import Array, array_namespace, exists, top_mask


@dataclasses.dataclass(frozen=True)
class PageRule:
    """Which pages of a paged cache a step lists: the first, the newest, and the best of the others.

    Pages are counted from position 0 of the text. A sequence with no more pages than ``listed``, or fewer
    tokens than ``whole_below``, is read whole. The newest page, partly filled, is always read.
    """

    page_size: int
    """Tokens in a page."""
    top: int = 0
    """Pages chosen by score; 0 needs no scores."""
    sink: int = 0
    """First pages that are always read."""
    local: int = 1
    """Newest pages that are always read, the partly filled one included."""
    whole_below: int = 0
    """Shortest context, in tokens, that is not read whole whatever its pages."""

    @classmethod
    def covering(cls, page_size: int, *, top: int, sink: int, local: int, whole_below: int = 0) -> "PageRule":
        """The fewest pages that hold the first ``sink`` and the newest ``local`` *tokens* whatever S is."""
        newest = 1 + -(-max(local - 1, 0) // page_size)
        return cls(page_size, top, -(-sink // page_size), newest, whole_below)

    @property
    def listed(self) -> int:
        """The most pages that a step reads which leaves some out."""
        return self.top + self.sink + self.local

    @property
    def longest_list(self) -> int:
        """The most pages that any step reads: ``listed``, or all of the longest context read whole."""
        return max(self.listed, -(-(self.whole_below - 1) // self.page_size))

    def leaves_out(self, lengths: Array) -> Array:
        """True where a step at a context of S leaves pages out, same shape as ``lengths``."""
        return (lengths > self.listed * self.page_size) & (lengths >= self.whole_below)

    def kv_reads(self, lengths: Array) -> Array:
        """Tokens read at context lengths S: S while short, then full pages and the newest one's share."""
        xp = array_namespace(lengths)
        newest = (lengths - 1) % self.page_size + 1
        whole = (self.listed - 1) * self.page_size + newest
        return xp.where(self.leaves_out(lengths), whole, lengths)

    def scored(self, lengths: Array) -> Array:
        """Pages whose summaries are read to choose: all of them once there is a choice."""
        xp = array_namespace(lengths)
        chosen = self.leaves_out(lengths) & (self.top > 0)
        return xp.where(chosen, -(-lengths // self.page_size), 0)

    def keep(self, page_scores_bkp: Array, lengths_b: Array, size: int) -> Array:
        """Positions read, bool [B, K, size], from the scores of ⌈size / page_size⌉ pages."""
        xp = array_namespace(page_scores_bkp)
        page = xp.arange(page_scores_bkp.shape[-1])
        pages_b11 = (-(-lengths_b // self.page_size))[:, None, None]
        forced = (page < self.sink) | (page >= pages_b11 - self.local)
        open_bkp = xp.broadcast_to(~forced & (page < pages_b11), page_scores_bkp.shape)
        listed = forced | ~self.leaves_out(lengths_b)[:, None, None]
        if self.top:
            listed = listed | top_mask(page_scores_bkp, self.top, open_bkp)
        tokens = xp.repeat(listed, self.page_size, axis=-1)[..., :size]
        return tokens & exists(lengths_b, size)
