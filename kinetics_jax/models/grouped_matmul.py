"""Rows sorted by expert × each row's own expert: y[row] = x[row] · weight[expert of the row].

Axis letters: E experts · D model dim (in) · F ffn dim (out), or the other way round.
Two ways to the same product:
``ragged`` is ``jax.lax.ragged_dot``, a grouped kernel on TPU and GPU. On CPU XLA expands that to every
expert times every row, so there ``tiled`` walks over tiles of rows that share one expert.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from kinetics_jax.errors import InputError

Array = jax.Array
Implementation = Literal["ragged", "tiled"]

_ROWS_PER_TILE = 16


def grouped_matmul(
    x: Array, weight_edf: Array, rows_e: Array, *, implementation: Implementation | None = None
) -> Array:
    """Product [rows, F] of ``x`` [rows, D], in its dtype; ``rows_e`` counts each expert's rows, in order.

    Rows beyond ``sum(rows_e)`` belong to nobody and come back as zeros. ``None`` picks by platform.
    """
    if implementation == "ragged":
        return _ragged(x, weight_edf, rows_e)
    if implementation == "tiled":
        return _tiled(x, weight_edf, rows_e)
    if implementation is not None:
        raise InputError(f"implementation={implementation!r} is not known; use 'ragged' or 'tiled'")
    return lax.platform_dependent(x, weight_edf, rows_e, cpu=_tiled, default=_ragged)


def _ragged(x: Array, weight_edf: Array, rows_e: Array) -> Array:
    y = lax.ragged_dot(x, weight_edf.astype(x.dtype), rows_e)
    owned = jnp.arange(x.shape[0]) < rows_e.sum()
    return jnp.where(owned[:, None], y, 0)


def _tiled(x: Array, weight_edf: Array, rows_e: Array) -> Array:
    """Experts' rows padded to whole tiles; at most rows/tile + E tiles, each one plain matmul.

    ```
    rows    a a a b | b b b b | c         experts a b c
    tiles   [a a a ·] [b b b b] [b · · ·] [c · · ·]
    ```
    """
    count, E = x.shape[0], weight_edf.shape[0]
    size = min(_ROWS_PER_TILE, max(1, -(-count // E)))
    tiles_e = -(-rows_e // size)
    first_tile_e = jnp.cumsum(tiles_e) - tiles_e
    first_row_e = jnp.cumsum(rows_e) - rows_e

    expert = jnp.searchsorted(jnp.cumsum(rows_e), jnp.arange(count), side="right")
    owned = expert < E
    expert = jnp.minimum(expert, E - 1)
    slot = first_tile_e[expert] * size + jnp.arange(count) - first_row_e[expert]

    most_tiles = -(-count // size) + min(E, count)
    padded = jnp.zeros((most_tiles * size, x.shape[1]), x.dtype)
    padded = padded.at[jnp.where(owned, slot, padded.shape[0])].set(x, mode="drop")
    expert_of_tile = jnp.searchsorted(jnp.cumsum(tiles_e), jnp.arange(most_tiles), side="right")

    def one_tile(tile: Array, y: Array) -> Array:
        rows = lax.dynamic_slice_in_dim(padded, tile * size, size)
        weight = lax.dynamic_index_in_dim(weight_edf, expert_of_tile[tile], keepdims=False)
        product = jnp.dot(rows, weight.astype(rows.dtype))
        return lax.dynamic_update_slice_in_dim(y, product, tile * size, 0)

    y = jnp.zeros((padded.shape[0], weight_edf.shape[2]), x.dtype)
    y = lax.fori_loop(0, tiles_e.sum(), one_tile, y)
    return jnp.where(owned[:, None], y[jnp.where(owned, slot, 0)], 0)
