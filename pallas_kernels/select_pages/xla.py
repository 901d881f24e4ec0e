"""`select_pages` for XLA: `lax.top_k` of the f32 ranks, which every platform has a fast exact form of.

Scores stay f32: on CPU XLA sorts whole rows for a bf16 `top_k`, twenty times slower.
Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import jax
from jax import lax

from pallas_kernels.select_pages.api import SelectPages, backwards, finish


def select_pages(call: SelectPages) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`."""
    pages_b = call.pages()
    rank_bkp = call.ranking(pages_b)
    _, place_bkj = lax.top_k(rank_bkp, call.top_k)
    return finish(backwards(place_bkj, pages_b), pages_b, call.page_table_bp)
