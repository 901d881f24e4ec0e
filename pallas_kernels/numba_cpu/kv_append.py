"""`kv_append` for CPUs: rows are written where they belong; XLA sees the pool only as one piece of memory.

That keeps bf16 pools in place on jax 0.10, whose CPU compiler converts the whole of one to update a slice.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.kv_append.api import KvAppend
from pallas_kernels.kv_append.reference import Cache
from pallas_kernels.numba_cpu.calls import kind, refusal, run_kernel

KINDS = ("float32", "bfloat16")


def check(call: KvAppend) -> str | None:
    """Why the kernel cannot run this call, or None."""
    return refusal(KINDS, pages=call.kv_pages, summaries=call.summaries_mkrph)


def kv_append(call: KvAppend) -> Cache:
    """See `pallas_kernels.kv_append`."""
    summaries = call.summaries_mkrph
    if summaries is None:  # a kernel has all its operands; this one has room for nothing
        summaries = jnp.zeros((0, 1, 1, 1, 1), jnp.float32)
    pool, filled = run_kernel(
        "kv_append",
        f"{kind(call.kv_pages.dtype)}_{kind(summaries.dtype)}",
        tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (call.kv_pages, summaries)),
        (
            call.key_btkh.astype(jnp.float32),
            call.value_btkh.astype(jnp.float32),
            call.kv_pages,
            summaries,
            call.page_table_bp,
            call.lengths_b,
            call.new_tokens_b,
            call.rows_b,
        ),
        aliases={2: 0, 3: 1},
    )
    return pool, None if call.summaries_mkrph is None else filled, None
