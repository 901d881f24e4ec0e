"""`kv_append` for CPUs: rows are written where they belong; XLA sees the pool only as one piece of memory.

That keeps bf16 pools in place on jax 0.10, whose CPU compiler converts the whole of one to update a slice.
Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages · M rows of summaries.
"""

import jax
import jax.numpy as jnp

from pallas_kernels import _cpu
from pallas_kernels.kv_append.reference import Cache

KINDS = ("float32", "bfloat16")


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
    if _cpu.kind(kv_pages.dtype) not in KINDS:
        return f"it writes float32 and bfloat16 pages, not {kv_pages.dtype}"
    if summaries_mkrph is not None and _cpu.kind(summaries_mkrph.dtype) not in KINDS:
        return f"it writes float32 and bfloat16 summaries, not {summaries_mkrph.dtype}"
    return _cpu.refusal()


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
) -> Cache:
    """See `pallas_kernels.kv_append`."""
    summaries = summaries_mkrph
    if summaries is None:  # a kernel has all its operands; this one has room for nothing
        summaries = jnp.zeros((0, 1, 1, 1, 1), jnp.float32)
    pool, filled = _cpu.call(
        "kv_append.cpu_kernel",
        f"{_cpu.kind(kv_pages.dtype)}_{_cpu.kind(summaries.dtype)}",
        (
            jax.ShapeDtypeStruct(kv_pages.shape, kv_pages.dtype),
            jax.ShapeDtypeStruct(summaries.shape, summaries.dtype),
        ),
        (
            key_btkh.astype(jnp.float32),
            value_btkh.astype(jnp.float32),
            kv_pages,
            summaries,
            page_table_bp,
            lengths_b,
            new_tokens_b,
            rows_b,
        ),
        aliases={2: 0, 3: 1},
    )
    return pool, None if summaries_mkrph is None else filled, None
