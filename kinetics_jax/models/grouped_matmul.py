"""Rows sorted by expert × each row's own expert: y_mf = x_md · w_edf[expert of row m].

Axis letters: M rows, sorted by expert · D in · F out · E experts. Two ways to the same product:
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
    x_md: Array, weight_edf: Array, rows_e: Array, *, implementation: Implementation | None = None
) -> Array:
    """Product in the dtype of ``x_md`` [M, F]; ``rows_e`` counts the rows of each expert, in order.

    Rows beyond ``sum(rows_e)`` belong to nobody and come back as zeros. ``None`` picks by platform.
    """
    if implementation == "ragged":
        return _ragged(x_md, weight_edf, rows_e)
    if implementation == "tiled":
        return _tiled(x_md, weight_edf, rows_e)
    if implementation is not None:
        raise InputError(f"implementation={implementation!r} is not known; use 'ragged' or 'tiled'")
    return lax.platform_dependent(x_md, weight_edf, rows_e, cpu=_tiled, default=_ragged)


def _ragged(x_md: Array, weight_edf: Array, rows_e: Array) -> Array:
    y_mf = lax.ragged_dot(x_md, weight_edf.astype(x_md.dtype), rows_e)
    owned = jnp.arange(x_md.shape[0]) < rows_e.sum()
    return jnp.where(owned[:, None], y_mf, 0)


def _tiled(x_md: Array, weight_edf: Array, rows_e: Array) -> Array:
    """Experts' rows padded to whole tiles; at most M/tile + E tiles, each one plain matmul.

    ```
    rows    a a a b | b b b b | c         experts a b c
    tiles   [a a a ·] [b b b b] [b · · ·] [c · · ·]
    ```
    """
    M, E = x_md.shape[0], weight_edf.shape[0]
    size = min(_ROWS_PER_TILE, max(1, -(-M // E)))
    tiles_e = -(-rows_e // size)
    first_tile_e = jnp.cumsum(tiles_e) - tiles_e
    first_row_e = jnp.cumsum(rows_e) - rows_e

    expert_m = jnp.searchsorted(jnp.cumsum(rows_e), jnp.arange(M), side="right")
    owned_m = expert_m < E
    expert_m = jnp.minimum(expert_m, E - 1)
    slot_m = first_tile_e[expert_m] * size + jnp.arange(M) - first_row_e[expert_m]

    most_tiles = -(-M // size) + min(E, M)
    padded = jnp.zeros((most_tiles * size, x_md.shape[1]), x_md.dtype)
    padded = padded.at[jnp.where(owned_m, slot_m, padded.shape[0])].set(x_md, mode="drop")
    expert_of_tile = jnp.searchsorted(jnp.cumsum(tiles_e), jnp.arange(most_tiles), side="right")

    def one_tile(tile: Array, y: Array) -> Array:
        rows = lax.dynamic_slice_in_dim(padded, tile * size, size)
        weight = lax.dynamic_index_in_dim(weight_edf, expert_of_tile[tile], keepdims=False)
        product = jnp.dot(rows, weight.astype(rows.dtype))
        return lax.dynamic_update_slice_in_dim(y, product, tile * size, 0)

    y = jnp.zeros((padded.shape[0], weight_edf.shape[2]), x_md.dtype)
    y = lax.fori_loop(0, tiles_e.sum(), one_tile, y)
    return jnp.where(owned_m[:, None], y[jnp.where(owned_m, slot_m, 0)], 0)
