"""The meaning of `kv_append` in plain jnp: page by page, read it, merge the new tokens, write it back.

Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages of a sequence ·
R summary vectors of a page · c: 0 is K, 1 is V.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.kv_append.api import KvAppend, touched_pages
from pallas_kernels.quantize import largest_code, requantize
from pallas_kernels.stored import narrow, widen

Cache = tuple[jax.Array, jax.Array | None, jax.Array | None]


def kv_append(call: KvAppend) -> Cache:
    """See `pallas_kernels.kv_append`."""
    (_, T, _, H), (*_, p, stored) = call.key_btkh.shape, call.kv_pages.shape
    new_bkcth = jnp.stack([call.key_btkh, call.value_btkh], axis=1).transpose(0, 3, 1, 2, 4)
    new_bkcth = jnp.pad(new_bkcth, [(0, 0)] * 4 + [(0, stored - H)])
    cache: Cache = (call.kv_pages, call.summaries_mkrph, call.kv_scales)
    for i in range(touched_pages(T, p)):
        cache = _append_to_page(call, cache, new_bkcth, call.lengths_b // p + i)
    return cache


def _append_to_page(call: KvAppend, cache: Cache, new_bkcth: jax.Array, page_b: jax.Array) -> Cache:
    """Merge those of the new tokens that fall on page ``page_b`` of each sequence."""
    kv_pages, summaries, scales = cache
    page_table_bp, lengths_b, rows_b = call.page_table_bp, call.lengths_b, call.rows_b
    T, p = new_bkcth.shape[3], kv_pages.shape[3]
    token_bp = page_b[:, None] * p + jnp.arange(p) - lengths_b[:, None]
    fresh_bp = (token_bp >= 0) & (token_bp < jnp.minimum(call.new_tokens_b, T)[:, None])
    old_bp = token_bp < 0
    pick_bp = jnp.clip(token_bp, 0, T - 1)
    new_bkcph = jnp.take_along_axis(new_bkcth, pick_bp[:, None, None, :, None], axis=3)
    column_b = jnp.clip(page_b, 0, page_table_bp.shape[1] - 1)
    physical_b = jnp.take_along_axis(page_table_bp, column_b[:, None], axis=1)[:, 0]
    there_b = (page_b == column_b) & (physical_b >= 0) & (physical_b < kv_pages.shape[0])
    touched_b = fresh_bp.any(axis=1) & there_b
    # What is not touched is written out of bounds, which a scatter drops.
    target_b = jnp.where(touched_b, physical_b, kv_pages.shape[0])

    old_bkcph = kv_pages[physical_b]
    fresh, old = fresh_bp[:, None, None, :, None], old_bp[:, None, None, :, None]
    if scales is None:
        page_bkcph = jnp.where(fresh, narrow(new_bkcph, kv_pages.dtype), old_bkcph)
        stored_bkcph = widen(page_bkcph)
    else:
        page_bkcph, scale_bkc = requantize(
            old_bkcph, scales[physical_b], old, new_bkcph, fresh, largest_code(kv_pages.dtype)
        )
        scales = scales.at[target_b].set(scale_bkc, mode="drop")
        stored_bkcph = page_bkcph.astype(jnp.float32) * scale_bkc[..., None, None]
    kv_pages = kv_pages.at[target_b].set(page_bkcph, mode="drop")
    if summaries is not None:
        held_b1p1 = (fresh_bp | old_bp)[:, None, :, None]
        summary_bkrh = summarize(stored_bkcph[:, :, 0], held_b1p1, summaries.shape[2])
        row_b = jnp.where(touched_b & (rows_b >= 0), rows_b, summaries.shape[0])
        summaries = summaries.at[row_b, :, :, column_b].set(
            narrow(summary_bkrh, summaries.dtype), mode="drop"
        )
    return kv_pages, summaries, scales


def summarize(key_bkph: jax.Array, held_b1p1: jax.Array, kinds: int) -> jax.Array:
    """``[B, K, R, H]`` f32 mean, or minimum and maximum, of the keys that a page holds."""
    if kinds == 1:
        count_b111 = jnp.maximum(held_b1p1.sum(axis=2, keepdims=True), 1)
        return jnp.where(held_b1p1, key_bkph, 0.0).sum(axis=2, keepdims=True) / count_b111
    least_bkh = jnp.where(held_b1p1, key_bkph, jnp.inf).min(axis=2)
    most_bkh = jnp.where(held_b1p1, key_bkph, -jnp.inf).max(axis=2)
    return jnp.stack([least_bkh, most_bkh], axis=2)
