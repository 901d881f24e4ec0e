"""What is fixed when a paged cache is made, and the pool that it is made with.

Axis letters: L layers · K KV heads · H head dim · P pages of a sequence ·
p page size · R summaries of a page.
"""

import dataclasses
import math
from typing import Self

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

import pallas_kernels as pk
from kinetics_jax.attention.contiguous import CacheSharding
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
    """Sequences of a lane that have page summaries."""
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
        return math.prod(split.mesh.shape[axis] for axis in split.batch_axes) if split else 1

    def kv_heads(self, config: ModelConfig) -> int:
        """KV heads stored over all devices, copies included."""
        return config.num_kv_heads * (self.sharding.kv_copies if self.sharding else 1)

    @property
    def row_spec(self) -> PartitionSpec:
        """The partition of an array with a row a sequence."""
        return PartitionSpec((self.sharding and self.sharding.batch_axes) or None)

    @property
    def kv_spec(self) -> PartitionSpec:
        """The partition of the pool and of the page summaries."""
        return PartitionSpec(*self.row_spec, (self.sharding and self.sharding.head_axes) or None)

    def make_pool(
        self, config: ModelConfig, pages_per_sequence: int, dtype: jax.typing.DTypeLike, head_dim: int
    ) -> tuple[Array, Array | None]:
        """An empty pool and its page summaries, made where they will live; ``head_dim`` as stored."""
        K, L = self.kv_heads(config), self.lanes * self.num_layers
        place = self.sharding and jax.NamedSharding(self.sharding.mesh, self.kv_spec)
        shape = (L * self.pool_pages, K, 2, self.page_size, head_dim)
        pool = jnp.zeros(shape, dtype, device=place)
        if not self.summaries:
            return pool, None
        wide = dtype if jnp.dtype(dtype) in (jnp.float32, pk.BF16_BITS) else jnp.bfloat16
        shape = (L * self.rows, K, self.summaries, pages_per_sequence, head_dim)
        return pool, jnp.zeros(shape, wide, device=place)
