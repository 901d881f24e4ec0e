"""`select_pages` on TPU: `lax.top_k`, or among many pages an exact selection without a sort.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

from typing import Any

import jax
from jax import lax

from pallas_kernels.select_pages.api import backwards, count_pages, finish, ranking
from pallas_kernels.select_pages.tpu_kernel import top_pages
from pallas_kernels.tuning import tuned


def check(
    scores_bkp: jax.Array,
    lengths_b: jax.Array,
    page_table_bp: jax.Array | None = None,
    *,
    page_size: int,
    top_k: int,
    sink_pages: int,
    local_pages: int,
) -> str | None:
    """Every call can run."""
    return None


def select_pages(
    scores_bkp: jax.Array,
    lengths_b: jax.Array,
    page_table_bp: jax.Array | None = None,
    *,
    page_size: int,
    top_k: int,
    sink_pages: int,
    local_pages: int,
    interpret: Any = False,
    **tuning: int,
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`; ``tuning`` overrides constants of the tuning table."""
    B, K, P = scores_bkp.shape
    constants = {**tuned("select_pages"), **tuning}
    pages_b = count_pages(lengths_b, page_size)
    rank_bkp = ranking(scores_bkp, pages_b, sink_pages=sink_pages, local_pages=local_pages)
    bisect_from, bisect_to = constants["bisect_from_pages"], constants["bisect_to_listed"]
    if bisect_from > P or bisect_to < top_k:
        _, place_bkj = lax.top_k(rank_bkp, top_k)
        order_bkj = backwards(place_bkj, pages_b)
    else:
        order_rj = top_pages(rank_bkp.reshape(B * K, P), top_k, interpret=interpret)
        order_bkj = order_rj.reshape(B, K, top_k)
    return finish(order_bkj, pages_b, page_table_bp)
