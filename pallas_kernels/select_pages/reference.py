"""The meaning of `select_pages` in plain jnp: sort by rank, ties to the older page, keep J.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.select_pages.api import SelectPages, backwards, finish


def select_pages(call: SelectPages) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`."""
    pages_b = call.pages()
    rank_bkp = call.ranking(pages_b)
    order_bkp = jnp.argsort(-rank_bkp, axis=-1, stable=True)
    return finish(backwards(order_bkp[..., : call.top_k], pages_b), pages_b, call.page_table_bp)
