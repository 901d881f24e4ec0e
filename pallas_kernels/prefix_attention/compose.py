"""`prefix_attention` from two calls of any back end's `paged_attention`.

Letters: B sequences · U prompts · m = B/U samples of a prompt · N query heads · K KV heads · H head dim.
"""

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels.lse import combine_partials
from pallas_kernels.prefix_attention.api import stack_samples, unstack_samples

Attend = Callable[..., tuple[jax.Array, jax.Array]]
Lists = tuple[jax.Array, jax.Array, jax.Array]  # page ids, number of pages, lengths


def composed(back_end: ModuleType, max_rows: int | None = None) -> tuple[Callable[..., str | None], Attend]:
    """``check`` and ``prefix_attention`` of a back end, from those of its `paged_attention`.

    Both take the arguments of `pallas_kernels.prefix_attention` by name, without ``implementation``; the
    second also what else the back end's `paged_attention` takes. ``max_rows``: as `attend_in_two_parts`.
    """

    def check(**call: Any) -> str | None:
        """Why the kernel cannot run one of the two parts, or None."""
        query, pool, prefix, own, scales = _parts(**call)
        U, K = prefix[2].shape[0], pool.shape[1]
        groups = num_groups(query.shape, U, K, max_rows)
        stack = functools.partial(stack_samples, prompts=U * groups, kv_heads=K)
        repeat = functools.partial(jnp.repeat, repeats=groups, axis=0)
        shared = (jax.eval_shape(stack, query), pool, *(jax.eval_shape(repeat, x) for x in prefix))
        asked = (shared, (query, pool, *own))
        reasons = (back_end.check(*part, scales, scale=call["scale"]) for part in asked)
        return next(filter(None, reasons), None)

    def prefix_attention(**call: Any) -> tuple[jax.Array, jax.Array]:
        """See `pallas_kernels.prefix_attention`."""
        options = {name: call.pop(name) for name in set(call) - ARGUMENTS}
        attend = functools.partial(back_end.paged_attention, **options)
        return attend_in_two_parts(attend, *_parts(**call), call["scale"], max_rows=max_rows)

    return check, prefix_attention


def _parts(
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
) -> tuple[jax.Array, jax.Array, Lists, Lists, jax.Array | None]:
    """A call's query and pool, its shared and its own lists, its scales."""
    prefix = (prefix_ids_ukj, prefix_num_pages_uk, prefix_lengths_u)
    return query_bnh, kv_pages, prefix, (page_ids_bkj, num_pages_bk, lengths_b), kv_scales


ARGUMENTS = frozenset(inspect.signature(_parts).parameters)


def attend_in_two_parts(
    attend: Attend,
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    prefix: Lists,
    own: Lists,
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
