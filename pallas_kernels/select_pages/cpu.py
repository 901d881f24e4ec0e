"""`select_pages` for CPUs: the ranks are counted by their leading bits, nothing is sorted.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels import _cpu
from pallas_kernels.select_pages.api import count_pages


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
    return _cpu.refusal()


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
    B, K, P = scores_bkp.shape
    if page_table_bp is None:
        page_table_bp = jnp.broadcast_to(jnp.arange(P, dtype=jnp.int32), (B, P))
    pages_b = count_pages(lengths_b, page_size)
    always = jnp.array([sink_pages, local_pages], jnp.int32)
    ids_bkj, num_pages_bk = _cpu.call(
        "select_pages.cpu_kernel",
        "float32",
        (jax.ShapeDtypeStruct((B, K, top_k), jnp.int32), jax.ShapeDtypeStruct((B, K), jnp.int32)),
        (scores_bkp, pages_b, page_table_bp, always),
    )
    return ids_bkj, num_pages_bk
