"""`prefix_attention` on Hopper and Blackwell: paged attention twice, first with the samples' queries stacked.

Letters: B sequences · U prompts · N query heads · K KV heads · H head dim · J listed pages.
"""

import functools
from typing import Any

import jax

from pallas_kernels.paged_attention import gpu
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
    """Why the kernel cannot run one of the two parts, or None; how many queries are stacked is no matter."""
    prefix = (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    own = (page_ids_bkj, num_pages_bk, lengths_b)
    parts = (gpu.check(query_bnh, kv_pages, *x, kv_scales, scale=scale) for x in (prefix, own))
    return next(filter(None, parts), None)


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
    interpret: Any = False,
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.prefix_attention`."""
    attend = functools.partial(gpu.paged_attention, interpret=interpret)
    prefix = (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    own = (page_ids_bkj, num_pages_bk, lengths_b)
    return attend_in_two_parts(attend, query_bnh, kv_pages, prefix, own, kv_scales, scale)
