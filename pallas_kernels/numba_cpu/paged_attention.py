"""`paged_attention` for CPUs: every listed page is read once, where it lies, at memory speed.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.numba_cpu.calls import kind, refusal, run_kernel
from pallas_kernels.paged_attention.api import PagedAttention


def check(call: PagedAttention) -> str | None:
    """Why the kernel cannot run this call, or None."""
    return refusal(("float32", "bfloat16", "int8"), pages=call.kv_pages)


def paged_attention(call: PagedAttention) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.paged_attention`."""
    B, N, H = call.query_bnh.shape
    query_bkgh = call.scaled_query()
    kv_scales = call.kv_scales
    if kv_scales is None:
        kv_scales = jnp.ones((1, query_bkgh.shape[1], 2), jnp.float32)
    out_bkgh, lse_bkg = run_kernel(
        "paged_attention",
        kind(call.kv_pages.dtype),
        (
            jax.ShapeDtypeStruct(query_bkgh.shape, jnp.float32),
            jax.ShapeDtypeStruct(query_bkgh.shape[:3], jnp.float32),
        ),
        (query_bkgh, call.kv_pages, call.page_ids_bkj, call.listed(), call.newest_fill(), kv_scales),
    )
    out_bnh = out_bkgh.reshape(B, N, -1)[..., :H]
    return out_bnh.astype(call.query_bnh.dtype), lse_bkg.reshape(B, N)
