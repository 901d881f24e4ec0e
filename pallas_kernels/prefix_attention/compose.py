"""`prefix_attention` from two calls of any back end's `paged_attention`.

Letters: B sequences · U prompts · m = B/U samples of a prompt · N query heads · K KV heads · H head dim.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from pallas_kernels.lse import combine_partials
from pallas_kernels.prefix_attention.api import stack_samples, unstack_samples

Attend = Callable[..., tuple[jax.Array, jax.Array]]


def attend_in_two_parts(
    attend: Attend,
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    prefix: tuple[jax.Array, jax.Array, jax.Array],
    own: tuple[jax.Array, jax.Array, jax.Array],
    kv_scales: jax.Array | None,
    scale: float,
    max_rows: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Attend to the shared lists with stacked queries, to the own lists, and add up.

    ``prefix`` and ``own`` are (page ids, number of pages, lengths) as `paged_attention` takes them.
    At most ``max_rows`` queries of a KV head are stacked: samples beyond that read the prompt again,
    group by group, as if it were another prompt.
    """
    prompts, K = prefix[2].shape[0], kv_pages.shape[1]
    groups = num_groups(query_bnh.shape, prompts, K, max_rows)
    prompts, samples = prompts * groups, query_bnh.shape[0] // (prompts * groups)
    prefix = tuple(jnp.repeat(x, groups, axis=0) for x in prefix)  # type: ignore[assignment]
    stacked = stack_samples(query_bnh, prompts, K)
    shared_out, shared_lse = attend(stacked, kv_pages, *prefix, kv_scales, scale=scale)
    own_out, own_lse = attend(query_bnh, kv_pages, *own, kv_scales, scale=scale)
    out = jnp.stack([unstack_samples(shared_out, samples, K), own_out])
    lse = jnp.stack([unstack_samples(shared_lse, samples, K), own_lse])
    return combine_partials(out, lse)


def num_groups(
    query_shape: tuple[int, ...], prompts: int, kv_heads: int, max_rows: int | None
) -> int:
    """The fewest equal groups of a prompt's m samples of which none stacks more than ``max_rows`` queries."""
    B, N, _ = query_shape
    samples, per_sample = B // prompts, N // kv_heads
    if max_rows is None:
        return 1
    fitting = (
        groups
        for groups in range(1, samples + 1)
        if samples % groups == 0 and samples // groups * per_sample <= max_rows
    )
    return next(fitting, samples)
