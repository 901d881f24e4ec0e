"""`prefix_attention` from two calls of any back end's `paged_attention`.

Letters: B sequences · U prompts · m = B/U samples of a prompt · N query heads · K KV heads · H head dim.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels.lse import combine_partials
from pallas_kernels.paged_attention.api import PagedAttention
from pallas_kernels.prefix_attention.api import PrefixAttention, stack_samples, unstack_samples

Attend = Callable[..., tuple[jax.Array, jax.Array]]


def composed(back_end: ModuleType, max_rows: int | None = None) -> tuple[Callable[..., str | None], Attend]:
    """``check`` and ``prefix_attention`` of a back end, from those of its `paged_attention`.

    The second also takes what else the back end's `paged_attention` takes. ``max_rows``: as
    `attend_in_two_parts`.
    """

    def check(call: PrefixAttention) -> str | None:
        """Why the kernel cannot run one of the two parts, or None."""
        shared = jax.eval_shape(functools.partial(_shared, groups=_groups(call, max_rows)), call)
        return back_end.check(shared) or back_end.check(call.own())

    def prefix_attention(call: PrefixAttention, **options: Any) -> tuple[jax.Array, jax.Array]:
        """See `pallas_kernels.prefix_attention`."""
        attend = functools.partial(back_end.paged_attention, **options)
        return attend_in_two_parts(attend, call, max_rows)

    return check, prefix_attention


def attend_in_two_parts(
    attend: Attend, call: PrefixAttention, max_rows: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """Attend to the shared lists with stacked queries, to the own lists, and add up.

    At most ``max_rows`` queries of a KV head are stacked: samples beyond that read the prompt again,
    group by group, as if it were another prompt.
    """
    K, groups = call.kv_pages.shape[1], _groups(call, max_rows)
    samples = call.query_bnh.shape[0] // (call.prefix_lengths_u.shape[0] * groups)
    shared_out, shared_lse = attend(_shared(call, groups))
    own_out, own_lse = attend(call.own())
    out = jnp.stack([unstack_samples(shared_out, samples, K), own_out])
    lse = jnp.stack([unstack_samples(shared_lse, samples, K), own_lse])
    return combine_partials(out, lse)


def _groups(call: PrefixAttention, max_rows: int | None) -> int:
    prompts, kv_heads = call.prefix_lengths_u.shape[0], call.kv_pages.shape[1]
    return num_groups(call.query_bnh.shape, prompts, kv_heads, max_rows)


def _shared(call: PrefixAttention, groups: int) -> PagedAttention:
    """Attention of the stacked queries of each group of samples."""
    prompts, kv_heads = call.prefix_lengths_u.shape[0] * groups, call.kv_pages.shape[1]
    return call.shared(stack_samples(call.query_bnh, prompts, kv_heads), groups)


def num_groups(query_shape: tuple[int, ...], prompts: int, kv_heads: int, max_rows: int | None) -> int:
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
