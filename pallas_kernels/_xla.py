"""What the XLA paths share: how many rows, each a (sequence, KV head), XLA works on at once."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

AT_ONCE = {"cuda": 64}
"""Rows at once, by JAX's name of the platform. A GPU launches each of a row's few operations; elsewhere it is
one row: a CPU's gathers keep memory speed only while their result fits the cache."""


def map_rows(function: Callable[[jax.Array], Any], rows: int) -> Any:
    """``function(row)`` of every row number, stacked, as the platform that it is lowered for likes it."""
    one_by_one = functools.partial(lax.map, function)
    together = {
        platform: functools.partial(lax.map, function, batch_size=size) for platform, size in AT_ONCE.items()
    }
    return lax.platform_dependent(jnp.arange(rows), default=one_by_one, **together)
