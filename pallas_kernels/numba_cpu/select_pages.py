"""`select_pages` for CPUs: the ranks are counted by their leading bits, nothing is sorted.

Letters: B sequences · K KV heads · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.numba_cpu.calls import refusal, run_kernel
from pallas_kernels.select_pages.api import SelectPages


def check(call: SelectPages) -> str | None:
    """Why the kernel cannot run this call, or None."""
    return refusal()


def select_pages(call: SelectPages) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.select_pages`."""
    B, K, _ = call.scores_bkp.shape
    always = jnp.array([call.sink_pages, call.local_pages], jnp.int32)
    ids_bkj, num_pages_bk = run_kernel(
        "select_pages",
        "float32",
        (jax.ShapeDtypeStruct((B, K, call.top_k), jnp.int32), jax.ShapeDtypeStruct((B, K), jnp.int32)),
        (call.scores_bkp, call.pages(), call.table(), always),
    )
    return ids_bkj, num_pages_bk
