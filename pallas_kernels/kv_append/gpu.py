"""`kv_append` for Hopper and Blackwell (Mosaic GPU): checks and shapes; the kernels are beside.

Letters: T new tokens · H head dim · p page size.
"""

from typing import Any

import jax.numpy as jnp

from pallas_kernels import _gpu
from pallas_kernels.kv_append import gpu_kernel
from pallas_kernels.kv_append.api import KvAppend
from pallas_kernels.kv_append.reference import Cache

MOST_BYTES = 200 * 1024  # of shared memory


def check(call: KvAppend) -> str | None:
    """Why the kernel cannot run this call, or None."""
    kv_pages = call.kv_pages
    p, stored = kv_pages.shape[3:]
    itemsize = kv_pages.dtype.itemsize
    if call.kv_scales is not None:
        return f"a new token may rescale a whole page of {kv_pages.dtype}, which XLA does"
    if p % 16:
        return f"the page size must be a multiple of 16, not {p}"
    if stored * itemsize % 128 or stored > 256:
        return (
            f"a stored head is {stored} numbers of {itemsize} bytes; "
            "it needs a multiple of 128 bytes and at most 256 numbers"
        )
    if call.key_btkh.shape[1] == 1 and p * stored * itemsize > MOST_BYTES:
        return f"the keys of a page of {p} tokens fill more than {MOST_BYTES // 1024} KiB"
    return _gpu.refusal()


def kv_append(call: KvAppend, *, interpret: Any = False) -> Cache:
    """See `pallas_kernels.kv_append`; a block of 128 threads for each (sequence, KV head, touched page)."""
    T, H = call.key_btkh.shape[1], call.key_btkh.shape[3]
    p, stored = call.kv_pages.shape[3:]
    # A page's window of a chunk may begin before the first new token and end after the last.
    padding = ((0, 0), (0, 0) if T == 1 else (p, p), (0, 0), (0, stored - H))
    key, value = (jnp.pad(x, padding) for x in (call.key_btkh, call.value_btkh))
    pool, summaries = gpu_kernel.append(call, key, value, interpret=interpret)
    return pool, summaries, None
