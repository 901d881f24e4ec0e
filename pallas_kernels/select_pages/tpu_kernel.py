"""Exact top-J on TPU without a sort: bisect for the J-th rank, then number the winners.

XLA sorts whole rows to take a few; here 32 halvings of the int32 range find the J-th largest key of a row,
a product with a triangle of ones numbers the winners, and J masked sums read off their places:

      keys  ▂▇▃▅▁▆▂▅ ── 32 × count(keys ≥ middle) ──► the J-th key ──► winners  0 1 0 1 0 1 0 0
                                                      (ties: oldest first)     · 3 · 2 · 1 · ·  backwards
Letters: R rows (sequence, KV head) · P pages · J listed pages.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES = 128
ROWS = 64  # of a grid step: fewer leave the vector unit idle


def top_pages(rank_rp: jax.Array, J: int, *, interpret: Any = False) -> jax.Array:
    """``[R, J]`` int32 places of the J largest numbers of each row, backwards; −inf is never chosen."""
    R, P = rank_rp.shape
    rows = min(ROWS, -(-R // 8) * 8)
    padded = jnp.pad(rank_rp, [(0, -R % rows), (0, -P % LANES)], constant_values=-jnp.inf)
    width = -(-J // LANES) * LANES
    places = pl.pallas_call(
        functools.partial(_kernel, J=J),
        grid=(padded.shape[0] // rows,),
        in_specs=[pl.BlockSpec((rows, padded.shape[1]), lambda i: (i, 0))],
        out_specs=pl.BlockSpec((rows, width), lambda i: (i, 0)),
        out_shape=jax.ShapeDtypeStruct((padded.shape[0], width), jnp.int32),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        interpret=interpret,
        name="select_pages",
    )(padded)
    return places[:R, :J]


def _kernel(rank_ref: Any, place_ref: Any, *, J: int) -> None:
    bits = lax.bitcast_convert_type(rank_ref[...], jnp.int32)
    # Negative floats order backwards as integers: flip all but their sign.
    key = jnp.where(bits < 0, bits ^ jnp.int32(0x7FFFFFFF), bits)
    rows, P = key.shape
    least = jnp.full((rows, 1), -(2**31), jnp.int32)

    def halve(_: jax.Array, span: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = span
        middle = (low >> 1) + (high >> 1) + ((low | high) & 1)  # rounded up, without overflow
        enough = _count(key >= middle) >= J
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle - 1)

    last, _ = lax.fori_loop(0, 32, halve, (least, jnp.full((rows, 1), 2**31 - 1, jnp.int32)))
    above = jnp.where(key > last, 1.0, 0.0)
    ties = jnp.where(key == last, 1.0, 0.0)
    room = J - above.sum(axis=1, keepdims=True)
    chosen = above + jnp.where(_running_count(ties) <= room, ties, 0.0)
    chosen = jnp.where(rank_ref[...] > -jnp.inf, chosen, 0.0)
    number = chosen.sum(axis=1, keepdims=True) + 1 - _running_count(chosen)
    number = jnp.where(chosen > 0, number, 0.0)
    place = lax.broadcasted_iota(jnp.int32, (rows, P), 1).astype(jnp.float32)
    column = lax.broadcasted_iota(jnp.int32, place_ref.shape, 1)

    def read_off(j: jax.Array, found: jax.Array) -> jax.Array:
        mine = number == (j + 1).astype(jnp.float32)
        at = jnp.where(mine, place, 0.0).sum(axis=1, keepdims=True)
        return jnp.where(column == j, at.astype(jnp.int32), found)

    place_ref[...] = lax.fori_loop(0, J, read_off, jnp.zeros(place_ref.shape, jnp.int32))


def _count(true: jax.Array) -> jax.Array:
    return jnp.where(true, 1.0, 0.0).sum(axis=1, keepdims=True)


def _running_count(ones: jax.Array) -> jax.Array:
    """Inclusive running sum along the lanes: per 128 a product with a triangle, exact in bf16."""
    shape = (LANES, LANES)
    triangle = jnp.where(
        lax.broadcasted_iota(jnp.int32, shape, 0) <= lax.broadcasted_iota(jnp.int32, shape, 1),
        1.0,
        0.0,
    ).astype(jnp.bfloat16)
    sums, before = [], jnp.zeros((ones.shape[0], 1), jnp.float32)
    for start in range(0, ones.shape[1], LANES):
        part = ones[:, start : start + LANES].astype(jnp.bfloat16)
        sums.append(lax.dot(part, triangle, preferred_element_type=jnp.float32) + before)
        before = sums[-1][:, LANES - 1 :]
    return jnp.concatenate(sums, axis=1)
