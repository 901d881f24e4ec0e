"""`paged_attention` for XLA: the CPU's fast path, and every platform's when its kernel cannot run.

One (sequence, KV head) at a time, but many on a GPU (see `_xla`).
Keep bf16 pools as `stored.BF16_BITS` on CPUs: jax 0.10 converts the whole of a bf16 one on every call.
Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J pages · t tokens.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from pallas_kernels._xla import map_rows
from pallas_kernels.paged_attention.api import PagedAttention
from pallas_kernels.stored import widen

CHUNK_TOKENS = 1024


def paged_attention(call: PagedAttention) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.paged_attention`."""
    B, N, H = call.query_bnh.shape
    _, K, _, p, stored = call.kv_pages.shape
    J = call.page_ids_bkj.shape[2]
    chunk = max(1, min(J, CHUNK_TOKENS // p))
    query_bkgh = call.scaled_query()
    ids_bkj = jnp.pad(call.page_ids_bkj, [(0, 0), (0, 0), (0, -J % chunk)])
    fill_b, pages_bk = call.newest_fill(), call.listed()

    def attend_row(row: jax.Array) -> tuple[jax.Array, jax.Array]:
        b, k = lax.div(row, K), lax.rem(row, K)
        pages = pages_bk[b, k]

        def step(i: jax.Array, state: _Softmax) -> _Softmax:
            j = i * chunk + jnp.arange(chunk)
            ids = jnp.where(j < pages, lax.dynamic_slice_in_dim(ids_bkj[b, k], i * chunk, chunk), 0)
            rows = jnp.where(j < pages, jnp.where(j == 0, fill_b[b], p), 0)
            key_th, value_th = _read(call.kv_pages, call.kv_scales, ids, k, rows)
            valid_t = (jnp.arange(p) < rows[:, None]).reshape(-1)
            return _fold(state, query_bkgh[b, k], key_th, value_th, valid_t)

        G = N // K
        state = (jnp.full((G,), -jnp.inf), jnp.zeros((G,)), jnp.zeros((G, stored)))
        if chunk == J:
            state = step(jnp.int32(0), state)
        else:
            state = lax.fori_loop(0, (pages + chunk - 1) // chunk, step, state)
        top_g, total_g, out_gh = state
        lse_g = jnp.where(total_g == 0, -jnp.inf, top_g + jnp.log(total_g))
        return out_gh / jnp.where(total_g == 0, 1.0, total_g)[:, None], lse_g

    out_rgh, lse_rg = map_rows(attend_row, B * K)
    out_bnh = out_rgh.reshape(B, N, stored)[..., :H]
    return out_bnh.astype(call.query_bnh.dtype), lse_rg.reshape(B, N)


_Softmax = tuple[jax.Array, jax.Array, jax.Array]  # top_g, total_g, out_gh: not yet divided


def _read(
    kv_pages: jax.Array, kv_scales: jax.Array | None, ids: jax.Array, k: jax.Array, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Keys and values ``[t, H]`` f32 of the chunk's pages; rows without a token are zero values."""
    p, stored = kv_pages.shape[3:]
    page_jcph = widen(kv_pages[ids, k])
    if kv_scales is not None:
        page_jcph = page_jcph * kv_scales[ids, k][..., None, None]
    held_jp1 = jnp.arange(p)[None, :, None] < rows[:, None, None]
    value_jph = jnp.where(held_jp1, page_jcph[:, 1], 0.0)
    return page_jcph[:, 0].reshape(-1, stored), value_jph.reshape(-1, stored)


def _fold(
    state: _Softmax, query_gh: jax.Array, key_th: jax.Array, value_th: jax.Array, valid_t: jax.Array
) -> _Softmax:
    """Add a chunk of tokens to the running softmax."""
    top_g, total_g, out_gh = state
    scores_gt = jnp.where(valid_t, _product(query_gh, key_th.T), -jnp.inf)
    new_top_g = jnp.maximum(top_g, scores_gt.max(axis=1))
    shift_g = jnp.where(jnp.isneginf(new_top_g), 0.0, new_top_g)
    weight_gt = jnp.exp(scores_gt - shift_g[:, None])
    kept_g = jnp.exp(top_g - shift_g)
    total_g = total_g * kept_g + weight_gt.sum(axis=1)
    return new_top_g, total_g, out_gh * kept_g[:, None] + _product(weight_gt, value_th)


# Accelerators would round f32 operands to fewer bits.
_product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
