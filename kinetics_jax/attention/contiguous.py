"""The plain KV cache: S tokens per sequence, contiguous, dense attention in XLA.

Axis letters: L layers · B sequences · T new tokens · S context · N query heads · K KV heads · H head dim.
"""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from kinetics_jax.attention.causal import causal_attention
from kinetics_jax.attention.interface import Counts, Layer, NewKeys, Queries, check_new
from kinetics_jax.shapes import ModelConfig

_SLAB = 16
"""Rows (tokens) stored at a time: a whole tile of a bfloat16 array on TPU."""


@dataclasses.dataclass(frozen=True)
class CacheSharding:
    """How a cache is split: sequences over some mesh axes, heads over others."""

    mesh: jax.sharding.Mesh
    batch_axes: tuple[str, ...] = ()
    head_axes: tuple[str, ...] = ()
    """Mesh axes of the query heads, and of the KV heads."""
    kv_copies: int = 1
    """How often each of the model's K heads is held, so that each device has those of its queries."""

    def kv_spec(self) -> PartitionSpec:
        """Partition of key_lbksh and value_lbksh."""
        return PartitionSpec(None, self.batch_axes or None, self.head_axes or None)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ContiguousCache:
    """A ``KVCache`` with S slots per sequence. A token beyond S is dropped and attends to NaN."""

    key_lbksh: Float[Array, "L B K S H"]
    value_lbksh: Float[Array, "L B K S H"]
    lengths_b: Counts
    sharding: CacheSharding | None = dataclasses.field(default=None, metadata={"static": True})

    @classmethod
    def describe(
        cls,
        config: ModelConfig,
        batch: int,
        capacity: int,
        *,
        dtype: jax.typing.DTypeLike = jnp.bfloat16,
        sharding: CacheSharding | None = None,
    ) -> Self:
        """The cache as ``ShapeDtypeStruct``s: for ``eval_shape`` and ahead-of-time compilation."""
        heads, place, rows = config.num_kv_heads, None, None
        if sharding:
            heads *= sharding.kv_copies
            place = jax.NamedSharding(sharding.mesh, sharding.kv_spec())
            rows = jax.NamedSharding(sharding.mesh, PartitionSpec(sharding.batch_axes or None))
        shape = (config.num_layers, batch, heads, capacity, config.head_dim)
        kv: Any = jax.ShapeDtypeStruct(shape, dtype, sharding=place)
        lengths: Any = jax.ShapeDtypeStruct((batch,), jnp.int32, sharding=rows)
        return cls(kv, kv, lengths, sharding)

    @classmethod
    def zeros(cls, config: ModelConfig, batch: int, capacity: int, **options: Any) -> Self:
        """An empty cache for ``batch`` sequences of up to ``capacity`` tokens; options as ``describe``."""
        described = cls.describe(config, batch, capacity, **options)
        return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype, device=a.sharding), described)

    def attend(
        self, layer: Layer, query_btnh: Queries, key_btkh: NewKeys, value_btkh: NewKeys, counts_b: Counts
    ) -> tuple[Queries, Self]:
        """See ``KVCache.attend``."""
        check_new(self.lengths_b, query_btnh, key_btkh, value_btkh, counts_b, self.key_lbksh.shape[2])
        arrays = (
            self.key_lbksh,
            self.value_lbksh,
            jnp.asarray(layer),
            query_btnh,
            key_btkh,
            value_btkh,
            self.lengths_b,
            counts_b,
        )
        if self.sharding is None:
            out, key, value = _attend_local(*arrays)
        else:
            out, key, value = _attend_sharded(self.sharding, arrays)
        return out, dataclasses.replace(self, key_lbksh=key, value_lbksh=value)

    def advance(self, counts_b: Counts) -> Self:
        """See ``KVCache.advance``."""
        return dataclasses.replace(self, lengths_b=self.lengths_b + counts_b)


def _attend_sharded(split: CacheSharding, arrays: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    batch, kv = split.batch_axes or None, split.kv_spec()
    row, new = PartitionSpec(batch), PartitionSpec(batch, None, split.head_axes or None)
    return jax.shard_map(
        _attend_local,
        mesh=split.mesh,
        in_specs=(kv, kv, PartitionSpec(), new, new, new, row, row),
        out_specs=(new, kv, kv),
        check_vma=False,
    )(*arrays)


def _attend_local(
    key_lbksh: Array,
    value_lbksh: Array,
    layer: Array,
    query_btnh: Array,
    key_btkh: Array,
    value_btkh: Array,
    lengths_b: Array,
    counts_b: Array,
) -> tuple[Array, Array, Array]:
    """One device's sequences and heads."""
    key_lbksh = store_new(key_lbksh, layer, key_btkh, lengths_b, counts_b)
    value_lbksh = store_new(value_lbksh, layer, value_btkh, lengths_b, counts_b)
    key_bksh = lax.dynamic_index_in_dim(key_lbksh, layer, keepdims=False)
    value_bksh = lax.dynamic_index_in_dim(value_lbksh, layer, keepdims=False)
    T, S = query_btnh.shape[1], key_lbksh.shape[3]
    position_bt = lengths_b[:, None] + jnp.arange(T)
    out = causal_attention(query_btnh, key_bksh, value_bksh, position_bt)
    return jnp.where((position_bt < S)[..., None, None], out, jnp.nan), key_lbksh, value_lbksh


def store_new(cache_lbksh: Array, layer: Array, new_btkh: Array, lengths_b: Array, counts_b: Array) -> Array:
    """The cache with each sequence's first ``counts_b`` new rows after its ``lengths_b`` old ones.

    A dynamic_update_slice per sequence, of whole slabs of rows, keeps the update in place. With one
    scatter for all, or a slice of a single row, the TPU compiler copies the cache to another layout.
    """
    new_bkth = jnp.swapaxes(new_btkh, 1, 2).astype(cache_lbksh.dtype)
    K, T, H = new_bkth.shape[1:]
    S = cache_lbksh.shape[3]
    window = min(-(-(T - 1 + _SLAB) // _SLAB) * _SLAB, S)

    def one_sequence(b: Array, cache: Array) -> Array:
        # Rows of the window that are not new keep what they hold, so it may be pushed back at the end.
        start = jnp.minimum(lengths_b[b] // _SLAB * _SLAB, S - window)
        source = jnp.arange(window) + start - lengths_b[b]
        at = (layer, b, 0, start, 0)
        old = lax.dynamic_slice(cache, at, (1, 1, K, window, H))
        rows = jnp.take(new_bkth[b], source, axis=1, mode="clip")[None, None]
        fresh = (source >= 0) & (source < counts_b[b])
        return lax.dynamic_update_slice(cache, jnp.where(fresh[:, None], rows, old), at)

    return lax.fori_loop(0, new_bkth.shape[0], one_sequence, cache_lbksh)
