"""`select_pages` on TPU: one kernel that ranks, selects and translates; here its shapes.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels.select_pages.api import SelectPages
from pallas_kernels.select_pages.tpu_kernel import BLOCK, SUBLANES, top_pages


def check(call: SelectPages) -> str | None:
    """Why the kernel cannot run this call, or None."""
    pages = call.scores_bkp.shape[2]
    if pages * SUBLANES > BLOCK:
        return f"{pages} pages a sequence are more than {BLOCK // SUBLANES}"
    return None


def select_pages(call: SelectPages, *, interpret: Any = False) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`."""
    B, K, P = call.scores_bkp.shape
    pages_b = call.pages()
    table_bp = call.table()
    # A block holds whole tiles of the table and of its heads.
    if K % SUBLANES or P * K * SUBLANES > BLOCK:
        table_bp = jnp.repeat(table_bp, K, axis=0)
    ids_rj = top_pages(call, call.scores_bkp.reshape(B * K, P), pages_b, table_bp, interpret)
    num_pages_b = jnp.minimum(pages_b, call.top_k).astype(jnp.int32)
    return ids_rj.reshape(B, K, call.top_k), jnp.broadcast_to(num_pages_b[:, None], (B, K))
