"""`paged_attention` for CPUs: every listed page is read once, where it lies, at memory speed.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels import _cpu
from pallas_kernels.paged_attention.reference import newest_fill

KINDS = ("float32", "bfloat16", "int8")


def check(
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    page_ids_bkj: jax.Array,
    num_pages_bk: jax.Array,
    lengths_b: jax.Array,
    kv_scales: jax.Array | None = None,
    *,
    scale: float,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    if _cpu.kind(kv_pages.dtype) not in KINDS:
        return f"it reads float32, bfloat16 and int8 pages, not {kv_pages.dtype}"
    return _cpu.refusal()


def paged_attention(
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    page_ids_bkj: jax.Array,
    num_pages_bk: jax.Array,
    lengths_b: jax.Array,
    kv_scales: jax.Array | None = None,
    *,
    scale: float,
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.paged_attention`."""
    B, N, H = query_bnh.shape
    K, stored = kv_pages.shape[1], kv_pages.shape[4]
    query_bkgh = (query_bnh.astype(jnp.float32) * scale).reshape(B, K, N // K, H)
    query_bkgh = jnp.pad(query_bkgh, [(0, 0)] * 3 + [(0, stored - H)])
    pages_bk = jnp.where(lengths_b[:, None] > 0, num_pages_bk, 0)
    fill_b = newest_fill(lengths_b, kv_pages.shape[3])
    if kv_scales is None:
        kv_scales = jnp.ones((1, K, 2), jnp.float32)
    out_bkgh, lse_bkg = _cpu.call(
        "paged_attention.cpu_kernel",
        _cpu.kind(kv_pages.dtype),
        (
            jax.ShapeDtypeStruct(query_bkgh.shape, jnp.float32),
            jax.ShapeDtypeStruct(query_bkgh.shape[:3], jnp.float32),
        ),
        (query_bkgh, kv_pages, page_ids_bkj, pages_bk, fill_b, kv_scales),
    )
    out_bnh = out_bkgh.reshape(B, N, stored)[..., :H]
    return out_bnh.astype(query_bnh.dtype), lse_bkg.reshape(B, N)
