"""What a model asks of attention: keep these keys and values, and attend. It never learns how.

The contiguous cache here and the paged one of the engine both answer to ``KVCache``.
Axis letters: B sequences · T new tokens · S context · N query heads · K KV heads · H head dim.
"""

from typing import Protocol, Self

import chex
import jax
from jaxtyping import Array, Float, Int

Layer = Int[Array, ""] | int
"""Number of a layer: data inside a scan over layers, else known when tracing."""
Queries = Float[Array, "B T N H"]
NewKeys = Float[Array, "B T K H"]
"""Keys (rotated) or values of new tokens."""
Keys = Float[Array, "B K S H"]
"""Keys or values of whole contexts."""
Counts = Int[Array, " B"]
Positions = Int[Array, "B T"]


class KVCache(Protocol):
    """Keys and values of B sequences over all layers. An immutable pytree: methods return a new one."""

    @property
    def lengths_b(self) -> Counts:
        """Tokens that each sequence holds (int32); the next token's position."""
        ...

    def attend(
        self, layer: Layer, query_btnh: Queries, key_btkh: NewKeys, value_btkh: NewKeys, counts_b: Counts
    ) -> tuple[Queries, Self]:
        """Store one layer's new keys and values after the ``lengths_b`` held, then attend causally.

        Only the first ``counts_b`` of the T tokens of a sequence are real: the others are not stored
        and their output is meaningless. Keys come rotated. Returns out_btnh and the cache; the
        lengths do not move until ``advance``.
        """
        ...

    def advance(self, counts_b: Counts) -> Self:
        """The cache once every layer has stored ``counts_b`` more tokens."""
        ...


def check_new(
    lengths_b: jax.Array,
    query_btnh: jax.Array,
    key_btkh: jax.Array,
    value_btkh: jax.Array,
    counts_b: jax.Array,
    heads: int | None = None,
) -> None:
    """What every ``attend`` holds its caller to, when tracing; ``heads``: K of the cache."""
    chex.assert_rank(query_btnh, 4)
    B, T, N, H = query_btnh.shape
    chex.assert_shape([key_btkh, value_btkh], (B, T, heads, H))
    chex.assert_equal_shape([key_btkh, value_btkh])
    chex.assert_is_divisible(N, key_btkh.shape[2])
    chex.assert_shape([lengths_b, counts_b], (B,))
    chex.assert_type([lengths_b, counts_b], int)
