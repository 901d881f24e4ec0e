"""`select_pages` for XLA: `lax.top_k` of the f32 ranks, which every platform has a fast exact form of.

Scores stay f32: on CPU XLA sorts whole rows for a bf16 `top_k`, twenty times slower.
Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import jax
from jax import lax

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
    _, place_bkj = lax.top_k(rank_bkp, top_k)
    return finish(backwards(place_bkj, pages_b), pages_b, page_table_bp)
