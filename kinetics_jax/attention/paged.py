"""The paged KV cache: pages of a shared pool, read through page lists that a policy chooses.

A page holds ``p`` tokens of one layer, K and V of a head side by side. All layers share one pool array, the
layer folded into the page id, so that a scan over layers carries it and copies nothing.
Axis letters: L layers · B sequences · T new tokens · S context · N query heads · K KV heads · H head dim ·
P pages of a sequence · p page size · R summaries of a page.
"""

import dataclasses
import functools
from typing import Any, Self

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Int, Shaped

import pallas_kernels as pk
from kinetics_jax.attention.causal import causal_attention
from kinetics_jax.attention.contiguous import CacheSharding
from kinetics_jax.attention.interface import Counts, Layer, NewKeys, Queries, check_new
from kinetics_jax.attention.paged_plan import PagedPlan
from kinetics_jax.attention.sparse_step import Step, attend_step


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PagedCache:
    """A ``KVCache`` whose sequences are lists of pages. Sequences of a lane share that lane's pool."""

    kv_pages: Shaped[Array, "pages K 2 p H"]
    """Of all lanes, in each of all layers; a head dim stored wider than the model's is filled with zeros."""
    summaries: Shaped[Array, "rows K R P H"] | None
    """Of the pages of each sequence, in the order of its text; rows of all lanes, in each of all layers."""
    page_table_bp: Int[Array, "B P"]
    """Page of each place of a sequence, the same in every layer."""
    lengths_b: Counts
    rows_b: Int[Array, " B"]
    """Row of summaries that is a sequence's, below ``plan.rows``."""
    streams_b: Int[Array, " B"]
    """What makes a sequence's random draws its own (policies that draw at random)."""
    plan: PagedPlan = dataclasses.field(metadata={"static": True})
    view_pages: int | None = dataclasses.field(default=None, metadata={"static": True})
    """Places of the table that can hold anything when many tokens are read at once; None: all."""

    @classmethod
    def specs(cls, plan: PagedPlan, view_pages: int | None = None) -> Self:
        """The partition of each array of a cache, as a cache of those."""
        rows, kv = plan.row_spec, plan.kv_spec
        fields: Any = (kv, kv if plan.summaries else None, rows, rows, rows, rows, plan, view_pages)
        return cls(*fields)

    def attend(
        self, layer: Layer, query_btnh: Queries, key_btkh: NewKeys, value_btkh: NewKeys, counts_b: Counts
    ) -> tuple[Queries, Self]:
        """See ``KVCache.attend``. One token each is sparse as the policy says; more are dense."""
        check_new(self.lengths_b, query_btnh, key_btkh, value_btkh, counts_b, self.kv_pages.shape[1])
        chex.assert_equal_shape([self.lengths_b, self.rows_b, self.streams_b])
        chex.assert_shape(self.page_table_bp, (*self.lengths_b.shape, None))
        split = self.plan.sharding
        if split is None:
            out, kv, summaries = _attend_local(layer, self, query_btnh, key_btkh, value_btkh, counts_b)
            return out, dataclasses.replace(self, kv_pages=kv, summaries=summaries)
        specs = self.specs(self.plan, self.view_pages)
        new = PartitionSpec(split.batch_axes or None, None, split.head_axes or None)
        # A layer known when tracing stays known inside, where it picks that layer's policy.
        known = isinstance(layer, int)
        run = functools.partial(_attend_local, layer) if known else _attend_local
        arguments = (self, query_btnh, key_btkh, value_btkh, counts_b)
        in_specs = (specs, new, new, new, self.plan.row_spec)
        out, kv, summaries = jax.shard_map(
            run,
            mesh=split.mesh,
            in_specs=in_specs if known else (PartitionSpec(), *in_specs),
            out_specs=(new, specs.kv_pages, specs.summaries),
            check_vma=False,
        )(*(arguments if known else (layer, *arguments)))
        return out, dataclasses.replace(self, kv_pages=kv, summaries=summaries)

    def advance(self, counts_b: Counts) -> Self:
        """See ``KVCache.advance``."""
        return dataclasses.replace(self, lengths_b=self.lengths_b + counts_b)


def _attend_local(
    layer: Array | int,
    cache: PagedCache,
    query_btnh: Array,
    key_btkh: Array,
    value_btkh: Array,
    counts_b: Array,
) -> tuple[Array, Array, Array | None]:
    """One device's sequences and heads: append, then attend."""
    plan = cache.plan
    table_bp = cache.page_table_bp + layer * plan.pool_pages
    rows_b = cache.rows_b + layer * plan.rows
    appended = pk.kv_append(
        cache.kv_pages,
        key_btkh,
        value_btkh,
        table_bp,
        cache.lengths_b,
        new_tokens_b=counts_b,
        summaries_mkrph=cache.summaries,
        rows_b=rows_b,
        implementation=plan.implementation,
    )
    pool, summaries = appended.kv_pages, appended.summaries
    if query_btnh.shape[1] > 1:
        position_bt = cache.lengths_b[:, None] + jnp.arange(query_btnh.shape[1])
        seen_bp = table_bp[:, : cache.view_pages]
        key_bksh, value_bksh = gather_pages(pool, seen_bp, cache.lengths_b + counts_b)
        H = query_btnh.shape[-1]
        out = causal_attention(query_btnh, key_bksh[..., :H], value_bksh[..., :H], position_bt)
        return out.astype(query_btnh.dtype), pool, summaries
    step = Step(
        query_bnh=query_btnh[:, 0],
        kv_pages=pool,
        summaries=summaries,
        page_table_bp=table_bp,
        lengths_b=jnp.where(counts_b > 0, cache.lengths_b + counts_b, 0),  # idle ones read nothing
        rows_b=rows_b,
        streams_b=cache.streams_b + layer,
        page_size=plan.page_size,
        implementation=plan.implementation,
        shared_heads=_shared_heads(plan.sharding),
    )
    return _by_layer(plan, layer, step)[:, None], pool, summaries


def _by_layer(plan: PagedPlan, layer: Array | int, step: Step) -> Array:
    """One layer's attention, by its policy; one branch of several where the layer is data."""
    if len(plan.policies) == 1 or isinstance(layer, int):
        known = plan.policy_of_layer[layer] if isinstance(layer, int) else 0
        return attend_step(plan.policies[known], step)
    branches = [functools.partial(attend_step, policy) for policy in plan.policies]
    return lax.switch(jnp.asarray(plan.policy_of_layer)[layer], branches, step)


def gather_pages(pool: Array, table_bp: Array, lengths_b: Array) -> tuple[Array, Array]:
    """Keys and values [B, K, S, H] of whole sequences, S = P·p; places past a length hold zeros."""
    B, P = table_bp.shape
    K, _, p, H = pool.shape[1:]
    pages = pool[table_bp]
    pages = pk.widen(pages) if pool.dtype == pk.BF16_BITS else pages
    pages = jnp.moveaxis(pages, (2, 3), (1, 0))  # [2, K, B, P, p, H] after both moves
    key, value = (x.swapaxes(0, 1).reshape(B, K, P * p, H) for x in pages)
    held = (jnp.arange(P * p) < lengths_b[:, None])[:, None, :, None]
    return jnp.where(held, key, 0), jnp.where(held, value, 0)


def _shared_heads(split: CacheSharding | None) -> tuple[tuple[str, ...], int] | None:
    """The axes of the heads and the devices that share a KV head, where any do: see ``Step``."""
    if split is None or split.kv_copies == 1:
        return None
    return split.head_axes, split.kv_copies
