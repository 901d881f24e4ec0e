"""`paged_attention` for Hopper and Blackwell (Mosaic GPU): checks and shapes; the kernel is beside.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J listed pages.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels import _gpu
from pallas_kernels.lse import combine_partials
from pallas_kernels.paged_attention import gpu_kernel
from pallas_kernels.paged_attention.api import PagedAttention


def check(call: PagedAttention) -> str | None:
    """Why the kernel cannot run this call, or None."""
    query_bnh, kv_pages = call.query_bnh, call.kv_pages
    page_size, stored = kv_pages.shape[3:]
    itemsize = kv_pages.dtype.itemsize
    tile = gpu_kernel.TILE
    if query_bnh.dtype != jnp.bfloat16:
        return f"its tensor-core products take bfloat16 queries, not {query_bnh.dtype}"
    if kv_pages.dtype == jnp.float32:
        return "it takes bfloat16, int8 or float8_e4m3fn pages, not float32"
    if stored * itemsize % 128 or stored > 256:
        return (
            f"a stored head is {stored} numbers of {itemsize} bytes; "
            "it needs a multiple of 128 bytes and at most 256 numbers"
        )
    if page_size < 16 or (tile % page_size and page_size % tile):
        return f"page size {page_size} is neither 16 nor 32 nor a multiple of {tile}"
    if call.page_ids_bkj.shape[2] == 0:
        return "the page list has no positions"
    return _gpu.refusal()


def paged_attention(call: PagedAttention, *, interpret: Any = False) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.paged_attention`; blocks of 128 threads for each (sequence, KV head).

    When these are too few to fill the GPU, a list is split in parts that are added up by log-sum-exp.
    """
    query_bnh, (B, N, H) = call.query_bnh, call.query_bnh.shape
    _, K, _, page_size, stored = call.kv_pages.shape
    G = N // K
    rows = gpu_kernel.block_rows(G, stored)
    padded = -(-G // rows) * rows
    query_bkgh = jnp.pad(query_bnh.reshape(B, K, G, H), ((0, 0), (0, 0), (0, padded - G), (0, stored - H)))
    parts = gpu_kernel.list_parts(B * K * padded // rows, call.page_ids_bkj.shape[2], page_size)
    num_bk = call.listed()
    fill_b = (call.lengths_b - 1) % page_size + 1
    inputs = gpu_kernel.Inputs(
        query_bkgh,
        call.kv_pages,
        call.page_ids_bkj.reshape(-1),
        num_bk.reshape(-1),
        fill_b,
        *_listed_scales(call.kv_scales, call.page_ids_bkj, num_bk),
    )
    out_sbkgh, lse_sbkg = gpu_kernel.attend(inputs, scale=call.scale, parts=parts, interpret=interpret)
    out_sbnh = out_sbkgh[..., :G, :H].reshape(parts, B, N, H)
    lse_sbn = lse_sbkg[..., :G].reshape(parts, B, N)
    if parts == 1:
        return out_sbnh[0], lse_sbn[0]
    out_bnh, lse_bn = combine_partials(out_sbnh, lse_sbn)
    return out_bnh.astype(query_bnh.dtype), lse_bn


def _listed_scales(
    kv_scales: jax.Array | None, page_ids_bkj: jax.Array, num_bk: jax.Array
) -> tuple[jax.Array, ...]:
    """``[B·K·J]`` scales of K and of V in list order, so that the kernel need not follow the page ids."""
    if kv_scales is None:
        return ()
    K, J = page_ids_bkj.shape[1:]
    listed_bkj = jnp.arange(J) < num_bk[..., None]
    ids_bkj = jnp.where(listed_bkj, page_ids_bkj, 0)
    scales_bkj2 = kv_scales[ids_bkj, jnp.arange(K)[:, None]]
    of_key, of_value = jnp.moveaxis(scales_bkj2, -1, 0).reshape(2, -1)
    return of_key, of_value
