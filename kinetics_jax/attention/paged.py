"""The paged KV cache: pages of a shared pool, read through page lists that a policy chooses.

A page holds ``p`` tokens of one layer, K and V of a head side by side. All layers share one pool array, the
layer folded into the page id, so that a scan over layers carries it and copies nothing.
Axis letters: L layers · B sequences · T new tokens · N query heads · K KV heads · H head dim ·
P pages of a sequence · p page size · R summaries of a page · M rows of summaries.
"""

import dataclasses
import functools
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

import pallas_kernels as pk
from kinetics_jax.attention.causal import causal_attention
from kinetics_jax.attention.contiguous import CacheSharding
from kinetics_jax.attention.sparse_step import Step, attend_step
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.shapes import ModelConfig

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class PagedPlan:
    """What is fixed when a paged cache is made: sizes, each layer's policy, how it is split.

    Hashable, so it may be a static argument. Counts are those of one lane: one share of the mesh axes
    that sequences are split over, with a pool, page ids and rows of its own.
    """

    num_layers: int
    page_size: int
    pool_pages: int
    """Pages of a lane's pool per layer. Page 0 is never given out: empty places of tables point at it."""
    rows: int
    """M: sequences of a lane that have page summaries."""
    policies: tuple[Policy, ...]
    """The distinct policies of the layers."""
    policy_of_layer: tuple[int, ...]
    """For each layer its index in ``policies``."""
    summaries: int
    """R: 0 where no policy scores pages, 1 mean key, 2 minimum and maximum."""
    sharding: CacheSharding | None = None
    implementation: str | None = None
    """Back end of ``pallas_kernels``; None picks by the platform."""

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        policy: Policy,
        *,
        page_size: int,
        pool_pages: int,
        rows: int,
        sharding: CacheSharding | None = None,
        implementation: str | None = None,
    ) -> Self:
        """The plan for one model and policy.

        Raises ``InputError`` for a policy of another model, or layers whose page summaries differ in kind.
        """
        policy.check_layers(config.num_layers)
        by_layer = [policy.at_layer(layer) for layer in range(config.num_layers)]
        distinct = tuple(dict.fromkeys(by_layer))
        kinds = {rule.summaries_per_block for rule in distinct if rule.pages and rule.pages.top}
        if len(kinds) > 1:
            raise InputError(
                f"{policy.label}: its layers score pages by mean keys and by minima and maxima; a "
                "cache keeps one kind of summary"
            )
        return cls(
            num_layers=config.num_layers,
            page_size=page_size,
            pool_pages=pool_pages,
            rows=rows,
            policies=distinct,
            policy_of_layer=tuple(distinct.index(rule) for rule in by_layer),
            summaries=kinds.pop() if kinds else 0,
            sharding=sharding,
            implementation=implementation,
        )

    @property
    def lanes(self) -> int:
        """Shares of the mesh axes that sequences are split over."""
        split = self.sharding
        return _ways(split.mesh, split.batch_axes) if split else 1

    def kv_heads(self, config: ModelConfig) -> int:
        """KV heads stored over all devices, copies included."""
        return config.num_kv_heads * (self.sharding.kv_copies if self.sharding else 1)

    def specs(self, view_pages: int | None = None) -> "PagedCache":
        """The partition of each array of a cache, as a cache of those."""
        split = self.sharding
        batch = (split.batch_axes or None) if split else None
        heads = (split.head_axes or None) if split else None
        row = PartitionSpec(batch)
        kv = PartitionSpec(batch, heads)
        fields: Any = (kv, kv if self.summaries else None, row, row, row, row, self, view_pages)
        return PagedCache(*fields)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["kv_pages", "summaries", "page_table_bp", "lengths_b", "rows_b", "streams_b"],
    meta_fields=["plan", "view_pages"],
)
@dataclasses.dataclass(frozen=True)
class PagedCache:
    """A ``KVCache`` whose sequences are lists of pages. Sequences of a lane share that lane's pool."""

    kv_pages: Array
    """[lanes·L·pool_pages, K, 2, p, H]; a head dim stored wider than the model's is filled with zeros."""
    summaries: Array | None
    """[lanes·L·M, K, R, P, H] of the pages of each sequence, in the order of its text."""
    page_table_bp: Array
    """int32 page of each place of a sequence, the same in every layer."""
    lengths_b: Array
    rows_b: Array
    """int32 row of summaries that is a sequence's, below M."""
    streams_b: Array
    """int32 that makes a sequence's random draws its own (policies that draw at random)."""
    plan: PagedPlan
    view_pages: int | None = None
    """Places of the table that can hold anything when many tokens are read at once; None: all."""

    def attend(
        self, layer: Array | int, query_btnh: Array, key_btkh: Array, value_btkh: Array, counts_b: Array
    ) -> tuple[Array, Self]:
        """See ``KVCache.attend``. One token each is sparse as the policy says; more are dense."""
        split = self.plan.sharding
        if split is None:
            out, kv, summaries = _attend_local(layer, self, query_btnh, key_btkh, value_btkh, counts_b)
            return out, dataclasses.replace(self, kv_pages=kv, summaries=summaries)
        batch, heads = split.batch_axes or None, split.head_axes or None
        specs = self.plan.specs(self.view_pages)
        new = PartitionSpec(batch, None, heads)
        # A layer known when tracing stays known inside, where it picks that layer's policy.
        known = isinstance(layer, int)
        run = functools.partial(_attend_local, layer) if known else _attend_local
        arguments = (self, query_btnh, key_btkh, value_btkh, counts_b)
        in_specs = (specs, new, new, new, PartitionSpec(batch))
        out, kv, summaries = jax.shard_map(
            run,
            mesh=split.mesh,
            in_specs=in_specs if known else (PartitionSpec(), *in_specs),
            out_specs=(new, specs.kv_pages, specs.summaries),
            check_vma=False,
        )(*(arguments if known else (layer, *arguments)))
        return out, dataclasses.replace(self, kv_pages=kv, summaries=summaries)

    def advance(self, counts_b: Array) -> Self:
        """See ``KVCache.advance``."""
        return dataclasses.replace(self, lengths_b=self.lengths_b + counts_b)


def make_pool(
    plan: PagedPlan, config: ModelConfig, pages_per_sequence: int, dtype: jax.typing.DTypeLike, head_dim: int
) -> tuple[Array, Array | None]:
    """An empty pool and its page summaries, made where they will live; ``head_dim`` as stored."""
    K, L = plan.kv_heads(config), plan.lanes * plan.num_layers
    shape = (L * plan.pool_pages, K, 2, plan.page_size, head_dim)
    wide = dtype if jnp.dtype(dtype) in (jnp.float32, pk.BF16_BITS) else jnp.bfloat16
    specs = plan.specs()

    def zeros(shape: tuple[int, ...], dtype: jax.typing.DTypeLike, spec: Any) -> Array:
        place = plan.sharding and jax.NamedSharding(plan.sharding.mesh, spec)
        return jnp.zeros(shape, dtype, device=place)

    pool = zeros(shape, dtype, specs.kv_pages)
    if not plan.summaries:
        return pool, None
    rows = (L * plan.rows, K, plan.summaries, pages_per_sequence, head_dim)
    return pool, zeros(rows, wide, specs.summaries)


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


def _ways(mesh: jax.sharding.Mesh, axes: tuple[str, ...]) -> int:
    ways = 1
    for axis in axes:
        ways *= mesh.shape[axis]
    return ways
