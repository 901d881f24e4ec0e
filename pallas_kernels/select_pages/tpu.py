"""`select_pages` on TPU: one kernel that ranks, selects and translates; here its shapes.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels.select_pages.api import count_pages
from pallas_kernels.select_pages.tpu_kernel import BLOCK, SUBLANES, top_pages


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
    """Why the kernel cannot run this call, or None."""
    if scores_bkp.shape[2] * SUBLANES > BLOCK:
        return f"{scores_bkp.shape[2]} pages a sequence are more than {BLOCK // SUBLANES}"
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
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`."""
    B, K, P = scores_bkp.shape
    pages_b = count_pages(lengths_b, page_size)
    table_bp = page_table_bp
    if table_bp is None:
        table_bp = jnp.broadcast_to(jnp.arange(P, dtype=jnp.int32), (B, P))
    # A block holds whole tiles of the table and of its heads.
    if K % SUBLANES or P * K * SUBLANES > BLOCK:
        table_bp = jnp.repeat(table_bp, K, axis=0)
    ids_rj = top_pages(
        scores_bkp.reshape(B * K, P),
        pages_b,
        table_bp,
        top_k,
        sink_pages=sink_pages,
        local_pages=local_pages,
        interpret=interpret,
    )
    num_pages_b = jnp.minimum(pages_b, top_k).astype(jnp.int32)
    return ids_rj.reshape(B, K, top_k), jnp.broadcast_to(num_pages_b[:, None], (B, K))
