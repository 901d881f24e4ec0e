"""The J-th rank of a row of pages on a GPU, by bisection over integers that order like the ranks.

Letters: r ROWS of W pages each (page = r·W + w) · J listed pages.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pallas_kernels.select_pages.api import LARGEST_SCORE, NEWEST

LEAST_KEY, NEWEST_KEY = (
    int(np.where(bits < 0, bits ^ 0x7FFFFFFF, bits))
    for bits in np.array([-LARGEST_SCORE, NEWEST], np.float32).view(np.int32)
)


def keys(rank_rw: jax.Array) -> jax.Array:
    """int32 in the order of the ranks: negative floats order backwards as integers."""
    bits = lax.bitcast_convert_type(rank_rw, jnp.int32)
    return jnp.where(bits < 0, bits ^ jnp.int32(0x7FFFFFFF), bits)


def count(flag_rw: jax.Array) -> jax.Array:
    """How many pages of the row have the flag, in every thread."""
    return jnp.where(flag_rw, 1, 0).sum(axis=1).sum()


def threshold(key_rw: jax.Array, page_rw: jax.Array, pages: jax.Array, J: int) -> tuple[jax.Array, jax.Array]:
    """Key and page: the J winners have a larger key, or this one on an earlier page."""

    def halve_keys(span: Any) -> Any:
        low, high, reach = span
        middle = (low >> 1) + (high >> 1) + ((low | high) & 1)  # rounded up, without overflow
        reach_middle = count(key_rw >= middle)
        enough = reach_middle >= J
        return (
            jnp.where(enough, middle, low),
            jnp.where(enough, high, middle - 1),
            jnp.where(enough, reach_middle, reach),
        )

    # Any key that exactly J pages reach will do; of J pages or fewer all win.
    start = (jnp.int32(LEAST_KEY), jnp.int32(NEWEST_KEY), pages)
    key, _, reach = lax.while_loop(lambda span: (span[0] < span[1]) & (span[2] > J), halve_keys, start)

    def halve_pages(span: Any) -> Any:
        low, high = span
        middle = (low + high) >> 1
        few = count((key_rw == key) & (page_rw >= middle)) <= reach - J
        return jnp.where(few, low, middle + 1), jnp.where(few, middle, high)

    # The oldest ties win: the newest reach − J of them do not.
    first = jnp.where(reach > J, 0, pages)
    cut, _ = lax.while_loop(lambda span: span[0] < span[1], halve_pages, (first, pages))
    return key, cut
