"""`prefix_attention` on TPU: the paged attention kernel twice, first with the samples' queries as one matrix.

Letters: B sequences · U prompts · N query heads · K KV heads · H head dim · J listed pages.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels.paged_attention import tpu
from pallas_kernels.prefix_attention.api import stack_samples
from pallas_kernels.prefix_attention.compose import attend_in_two_parts, num_groups

MAX_ROWS = 256
"""Queries of a KV head in one matrix: enough to keep any TPU's matrix unit busy while pages stream, and
2,048 of them do not fit v4's 16 MiB of vector memory."""


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
    """Why the kernel cannot run one of the two parts, or None."""
    U, K = prefix_lengths_u.shape[0], kv_pages.shape[1]
    groups = num_groups(query_bnh.shape, U, K, MAX_ROWS)
    stack = functools.partial(stack_samples, prompts=U * groups, kv_heads=K)
    stacked = jax.eval_shape(stack, query_bnh)
    repeat = functools.partial(jnp.repeat, repeats=groups, axis=0)
    lists, counts, lengths = (
        jax.eval_shape(repeat, x) for x in (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    )
    own = (page_ids_bkj, num_pages_bk, lengths_b)
    return tpu.check(
        stacked, kv_pages, lists, counts, lengths, kv_scales, scale=scale
    ) or tpu.check(query_bnh, kv_pages, *own, kv_scales, scale=scale)


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
    attend = functools.partial(tpu.paged_attention, interpret=interpret)
    prefix = (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    own = (page_ids_bkj, num_pages_bk, lengths_b)
    return attend_in_two_parts(
        attend, query_bnh, kv_pages, prefix, own, kv_scales, scale, max_rows=MAX_ROWS
    )
