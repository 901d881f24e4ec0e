"""The meaning of `prefix_attention`: every sample attends to the shared list, then to its own.

Letters: B sequences · N query heads · H head dim.
"""

import dataclasses

import jax
import jax.numpy as jnp

from pallas_kernels.lse import combine_partials
from pallas_kernels.paged_attention.reference import paged_attention
from pallas_kernels.prefix_attention.api import PrefixAttention


def prefix_attention(call: PrefixAttention) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.prefix_attention`."""
    samples = call.query_bnh.shape[0] // call.prefix_lengths_u.shape[0]
    both = (call.shared(call.query_bnh, samples), call.own())
    parts = [
        paged_attention(dataclasses.replace(part, query_bnh=part.query_bnh.astype(jnp.float32)))
        for part in both
    ]
    out_bnh, lse_bn = combine_partials(*(jnp.stack(part) for part in zip(*parts, strict=True)))
    return out_bnh.astype(call.query_bnh.dtype), lse_bn
