"""`prefix_attention` for CPUs: the CPU's `paged_attention` twice.

Letters: B sequences · U prompts · N query heads · K KV heads · H head dim · J listed pages.
"""

import jax

from pallas_kernels.paged_attention import cpu
from pallas_kernels.prefix_attention.compose import attend_in_two_parts


def check(
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
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    own = (page_ids_bkj, num_pages_bk, lengths_b)
    return cpu.check(query_bnh, kv_pages, *own, kv_scales, scale=scale)


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
    attend = cpu.paged_attention
    return attend_in_two_parts(attend, query_bnh, kv_pages, prefix, own, kv_scales, scale)
