"""The meaning of `select_pages` in plain jnp: sort by rank, ties to the older page, keep J.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.select_pages.api import backwards, count_pages, finish, ranking


def select_pages(
    scores_bkp: jax.Array,
    lengths_b: jax.Array,
    page_table_bp: jax.Array | None = None,
    *,
    page_size: int,
    top_k: int,
    sink_pages: int,
    local_pages: int,
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`."""
    pages_b = count_pages(lengths_b, page_size)
    rank_bkp = ranking(scores_bkp, pages_b, sink_pages=sink_pages, local_pages=local_pages)
    order_bkp = jnp.argsort(-rank_bkp, axis=-1, stable=True)
    return finish(backwards(order_bkp[..., :top_k], pages_b), pages_b, page_table_bp)
