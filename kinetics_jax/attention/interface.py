"""What a model asks of attention: keep these keys and values, and attend. It never learns how.

The contiguous cache here and the paged one of the engine both answer to ``KVCache``.
Axis letters: B sequence · T new token · N query heads · K KV heads · H head dim.
"""

from typing import Protocol, Self

import jax

Array = jax.Array


class KVCache(Protocol):
    """Keys and values of B sequences over all layers. An immutable pytree: methods return a new one."""

    @property
    def lengths_b(self) -> Array:
        """Tokens that each sequence holds (int32); the next token's position."""
        ...

    def attend(
        self, layer: Array | int, query_btnh: Array, key_btkh: Array, value_btkh: Array, counts_b: Array
    ) -> tuple[Array, Self]:
        """Store one layer's new keys and values after the ``lengths_b`` held, then attend causally.

        Only the first ``counts_b`` of the T tokens of a sequence are real: the others are not stored
        and their output is meaningless. Keys come rotated. Returns out_btnh and the cache; the
        lengths do not move until ``advance``.
        """
        ...

    def advance(self, counts_b: Array) -> Self:
        """The cache once every layer has stored ``counts_b`` more tokens."""
        ...
