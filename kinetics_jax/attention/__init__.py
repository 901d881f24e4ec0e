"""Attention and the caches behind it: ``KVCache`` is all that a model knows of them."""

from kinetics_jax.attention.causal import WithinChunk, causal_attention
from kinetics_jax.attention.contiguous import CacheSharding, ContiguousCache
from kinetics_jax.attention.interface import KVCache
from kinetics_jax.attention.paged import PagedCache
from kinetics_jax.attention.paged_plan import PagedPlan
from kinetics_jax.attention.selective import SelectiveCache

__all__ = [
    "CacheSharding",
    "ContiguousCache",
    "KVCache",
    "PagedCache",
    "PagedPlan",
    "SelectiveCache",
    "WithinChunk",
    "causal_attention",
]
