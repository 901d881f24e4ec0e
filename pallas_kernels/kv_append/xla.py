"""`kv_append` for XLA: a row update per sequence when decoding, whole pages when prefilling or on a GPU.

Both stay in place on a donated pool; a scatter of single rows would make XLA's TPU compiler copy it.
Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · c: 0 is K, 1 is V.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pallas_kernels.kv_append import reference
from pallas_kernels.kv_append.api import KvAppend
from pallas_kernels.kv_append.reference import Cache, summarize
from pallas_kernels.stored import narrow, widen


def kv_append(call: KvAppend) -> Cache:
    """See `pallas_kernels.kv_append`."""
    if call.key_btkh.shape[1] > 1 or call.kv_scales is not None:
        return reference.kv_append(call)
    # A GPU launches a loop's every operation; whole pages of all sequences at once are few and in place.
    return lax.platform_dependent(call, cuda=reference.kv_append, default=_append_rows)


def _append_rows(call: KvAppend) -> Cache:
    """One token of each sequence."""
    page_table_bp, lengths_b, rows_b = call.page_table_bp, call.lengths_b, call.rows_b
    p, stored = call.kv_pages.shape[3:]
    new_bkch = jnp.stack([call.key_btkh[:, 0], call.value_btkh[:, 0]], axis=2)
    new_bkch = narrow(new_bkch, call.kv_pages.dtype)
    new_bkch = jnp.pad(new_bkch, [(0, 0)] * 3 + [(0, stored - call.key_btkh.shape[3])])

    def append_one(
        b: jax.Array, cache: tuple[jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, jax.Array | None]:
        pool, summaries = cache
        active = (call.new_tokens_b[b] > 0) & (lengths_b[b] < page_table_bp.shape[1] * p)
        # An inactive sequence may be full: look at its last page, and write back what is there.
        position = jnp.where(active, lengths_b[b], jnp.maximum(lengths_b[b] - 1, 0))
        column, row = lax.div(position, p), lax.rem(position, p)
        page = page_table_bp[b, column]
        active &= (page >= 0) & (page < pool.shape[0])  # a slice would move to the nearest page
        at = (page, 0, 0, row, 0)
        old = lax.dynamic_slice(pool, at, (1, *new_bkch.shape[1:3], 1, stored))
        new = jnp.where(active, new_bkch[b][None, :, :, None], old)
        pool = lax.dynamic_update_slice(pool, new, at)
        if summaries is not None:
            rows, K, R, _, _ = summaries.shape
            key_kph = lax.dynamic_slice(pool, (page, 0, 0, 0, 0), (1, K, 1, p, stored))[:, :, 0]
            held = (jnp.arange(p) <= row)[None, None, :, None]
            fresh = summarize(widen(key_kph), held, R)[:, :, :, None]
            spot = (rows_b[b], 0, 0, column, 0)
            kept = lax.dynamic_slice(summaries, spot, fresh.shape)
            known = active & (rows_b[b] >= 0) & (rows_b[b] < rows)
            fresh = jnp.where(known, narrow(fresh, summaries.dtype), kept)
            summaries = lax.dynamic_update_slice(summaries, fresh, spot)
        return pool, summaries

    cache = lax.fori_loop(0, lengths_b.shape[0], append_one, (call.kv_pages, call.summaries_mkrph))
    return (*cache, None)
