"""The meaning of `prefix_attention`: every sample attends to the shared list, then to its own.

Letters: B sequences · U prompts · N query heads · K KV heads · H head dim · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.lse import combine_partials
from pallas_kernels.paged_attention.reference import paged_attention


def prefix_attention(
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    prefix_ids_ukj: jax.Array,
    prefix_num_pages_uk: jax.Array,
    prefix_lengths_u: jax.Array,
    page_ids_bkj: jax.Array,
    num_pages_bk: jax.Array,
    lengths_b: jax.Array,
    kv_scales: jax.Array | None = None,
    *,
    scale: float,
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.prefix_attention`."""
    samples = query_bnh.shape[0] // prefix_lengths_u.shape[0]
    prefix = (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    shared_ids, shared_num, shared_lengths = (jnp.repeat(a, samples, axis=0) for a in prefix)
    parts = [
        paged_attention(query_bnh.astype(jnp.float32), kv_pages, ids, num, lengths, kv_scales, scale=scale)
        for ids, num, lengths in (
            (shared_ids, shared_num, shared_lengths),
            (page_ids_bkj, num_pages_bk, lengths_b),
        )
    ]
    out_bnh, lse_bn = combine_partials(*(jnp.stack(part) for part in zip(*parts, strict=True)))
    return out_bnh.astype(query_bnh.dtype), lse_bn
