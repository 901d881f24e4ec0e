"""The meaning of `paged_attention` in plain jnp: gather the listed pages, mask, softmax in f32.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J listed pages ·
t = J·p listed tokens.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.paged_attention.api import PagedAttention
from pallas_kernels.stored import widen


def paged_attention(call: PagedAttention) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.paged_attention`."""
    query_bnh, kv_pages, kv_scales = call.query_bnh, call.kv_pages, call.kv_scales
    B, N, H = query_bnh.shape
    K, J = call.page_ids_bkj.shape[1:]
    valid_bkt = _listed_tokens(call)
    listed_bkj = jnp.arange(J) < call.num_pages_bk[..., None]
    ids_bkj = jnp.where(listed_bkj, call.page_ids_bkj, 0)
    head_k = jnp.arange(K)[:, None]
    kv_bkjcph = widen(kv_pages[ids_bkj, head_k])[..., :H]
    if kv_scales is not None:
        kv_bkjcph = kv_bkjcph * kv_scales[ids_bkj, head_k][..., None, None]
    key_bkth, value_bkth = (kv_bkjcph[:, :, :, c].reshape(B, K, -1, H) for c in (0, 1))
    value_bkth = jnp.where(valid_bkt[..., None], value_bkth, 0.0)

    query_bkgh = query_bnh.reshape(B, K, N // K, H).astype(jnp.float32)
    scores_bkgt = call.scale * jnp.einsum("bkgh,bkth->bkgt", query_bkgh, key_bkth, precision="highest")
    scores_bkgt = jnp.where(valid_bkt[:, :, None], scores_bkgt, -jnp.inf)
    top_bkg1 = scores_bkgt.max(axis=-1, keepdims=True)
    weight_bkgt = jnp.exp(scores_bkgt - jnp.where(jnp.isneginf(top_bkg1), 0.0, top_bkg1))
    total_bkg = weight_bkgt.sum(axis=-1)
    out_bkgh = jnp.einsum("bkgt,bkth->bkgh", weight_bkgt, value_bkth, precision="highest")
    out_bkgh = out_bkgh / jnp.where(total_bkg == 0, 1.0, total_bkg)[..., None]
    lse_bkg = jnp.where(total_bkg == 0, -jnp.inf, top_bkg1[..., 0] + jnp.log(total_bkg))
    return out_bkgh.reshape(B, N, H).astype(query_bnh.dtype), lse_bkg.reshape(B, N)


def _listed_tokens(call: PagedAttention) -> jax.Array:
    """``[B, K, J·p]`` True where a row of a listed page holds a token."""
    page_size = call.kv_pages.shape[3]
    t = jnp.arange(call.page_ids_bkj.shape[2] * page_size)
    end_bk1 = call.num_pages_bk[..., None] * page_size
    fill_b11 = call.newest_fill()[:, None, None]
    in_list_bkt = (t < end_bk1) & (call.lengths_b > 0)[:, None, None]
    return in_list_bkt & ((t >= page_size) | (t < fill_b11))
