"""`prefix_attention` for XLA: the XLA `paged_attention` twice.

Letters: B sequences · U prompts · N query heads · K KV heads · H head dim · J listed pages.
"""

import jax

from pallas_kernels.paged_attention.xla import paged_attention
from pallas_kernels.prefix_attention.compose import attend_in_two_parts


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
    prefix = (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    own = (page_ids_bkj, num_pages_bk, lengths_b)
    return attend_in_two_parts(paged_attention, query_bnh, kv_pages, prefix, own, kv_scales, scale)
