"""`kv_append` for Hopper and Blackwell (Mosaic GPU): checks and shapes; the kernels are beside.

Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages of a sequence ·
R summary vectors of a page · M rows of summaries.
"""

from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels import _gpu
from pallas_kernels.kv_append import gpu_kernel
from pallas_kernels.kv_append.reference import Cache

MOST_BYTES = 200 * 1024  # of shared memory


def check(
    kv_pages: jax.Array,
    key_btkh: jax.Array,
    value_btkh: jax.Array,
    page_table_bp: jax.Array,
    lengths_b: jax.Array,
    new_tokens_b: jax.Array,
    rows_b: jax.Array,
    summaries_mkrph: jax.Array | None = None,
    kv_scales: jax.Array | None = None,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    p, stored = kv_pages.shape[3:]
    itemsize = kv_pages.dtype.itemsize
    if kv_scales is not None:
        return f"a new token may rescale a whole page of {kv_pages.dtype}, which XLA does"
    if p % 16:
        return f"the page size must be a multiple of 16, not {p}"
    if stored * itemsize % 128 or stored > 256:
        return (
            f"a stored head is {stored} numbers of {itemsize} bytes; "
            "it needs a multiple of 128 bytes and at most 256 numbers"
        )
    if key_btkh.shape[1] == 1 and p * stored * itemsize > MOST_BYTES:
        return f"the keys of a page of {p} tokens fill more than {MOST_BYTES // 1024} KiB"
    return _gpu.refusal()


def kv_append(
    kv_pages: jax.Array,
    key_btkh: jax.Array,
    value_btkh: jax.Array,
    page_table_bp: jax.Array,
    lengths_b: jax.Array,
    new_tokens_b: jax.Array,
    rows_b: jax.Array,
    summaries_mkrph: jax.Array | None = None,
    kv_scales: jax.Array | None = None,
    *,
    interpret: Any = False,
) -> Cache:
    """See `pallas_kernels.kv_append`; a block of 128 threads for each (sequence, KV head, touched page)."""
    T, H = key_btkh.shape[1], key_btkh.shape[3]
    p, stored = kv_pages.shape[3:]
    # A page's window of a chunk may begin before the first new token and end after the last.
    around = (0, 0) if T == 1 else (p, p)
    key, value = (jnp.pad(x, ((0, 0), around, (0, 0), (0, stored - H))) for x in (key_btkh, value_btkh))
    pool, summaries = gpu_kernel.append(
        kv_pages,
        summaries_mkrph,
        key,
        value,
        page_table_bp,
        lengths_b,
        new_tokens_b,
        rows_b,
        T=T,
        interpret=interpret,
    )
    return pool, summaries, None
