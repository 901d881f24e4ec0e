"""The few likeliest tokens of a large vocabulary, exactly, without sorting it.

Axis letters: B slots · V vocabulary.
"""

import jax
import jax.numpy as jnp
from jax import lax

CHUNK = 16
"""Tokens of a chunk. Divides each device's share of Qwen's 151,936 tokens on up to 8 devices."""


def top_candidates(logits_bv: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The ``count`` largest logits of each row, descending, and their ids; equal ones by lower id.

    In two stages: the largest of each chunk of consecutive ids, then only the chunks that can matter.
    The count best tokens lie in the count best chunks: a token outside them loses to one token of each.
    With NaN in a row that row's result is arbitrary, its ids still in range.

    Returns:
      Values and ids (int32), both [B, min(count, V)].
    """
    B, V = logits_bv.shape
    chunks = -(-V // CHUNK)
    if count * 2 >= chunks:
        return _top_k(logits_bv, min(count, V))
    if chunks * CHUNK > V:
        logits_bv = jnp.pad(logits_bv, ((0, 0), (0, chunks * CHUNK - V)), constant_values=-jnp.inf)
    chunked = logits_bv.reshape(B, chunks, CHUNK)
    _, chunk = _top_k(chunked.max(axis=-1), count)
    chunk = lax.sort(chunk)  # by id, so that position breaks ties as id does
    kept = jnp.take_along_axis(chunked, chunk[:, :, None], axis=1)
    values, at = _top_k(kept.reshape(B, count * CHUNK), count)
    ids = jnp.take_along_axis(chunk, at // CHUNK, axis=1) * CHUNK + at % CHUNK
    return values, jnp.minimum(ids, V - 1)


def _top_k(x: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """``lax.top_k`` with −0 equal to 0, which it is not there."""
    # Behind barriers: where slices of its result are used, XLA would sort all of x instead. One for each
    # part: XLA's CPU compiler ends its process over a barrier on the pair, where x is split over devices.
    value, index = lax.top_k(jnp.where(x == 0, 0, x), count)
    return lax.optimization_barrier(value), lax.optimization_barrier(index)
