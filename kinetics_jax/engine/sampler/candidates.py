"""The few likeliest tokens of a large vocabulary, exactly, without sorting it.

Axis letters: B slots · V vocabulary · C chunks · c chunk size · K candidates.
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
      Values [B, K] and ids int32 [B, K], K = min(count, V).
    """
    B, V = logits_bv.shape
    C = -(-V // CHUNK)
    if count * 2 >= C:
        return _top_k(logits_bv, min(count, V))
    if C * CHUNK > V:
        logits_bv = jnp.pad(logits_bv, ((0, 0), (0, C * CHUNK - V)), constant_values=-jnp.inf)
    logits_bcc = logits_bv.reshape(B, C, CHUNK)
    _, chunk_bk = _top_k(logits_bcc.max(axis=-1), count)
    chunk_bk = lax.sort(chunk_bk)  # by id, so that position breaks ties as id does
    kept_bkc = jnp.take_along_axis(logits_bcc, chunk_bk[:, :, None], axis=1)
    value_bk, at_bk = _top_k(kept_bkc.reshape(B, count * CHUNK), count)
    id_bk = jnp.take_along_axis(chunk_bk, at_bk // CHUNK, axis=1) * CHUNK + at_bk % CHUNK
    return value_bk, jnp.minimum(id_bk, V - 1)


def _top_k(x: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """``lax.top_k`` with −0 equal to 0, which it is not there."""
    # Behind barriers: where slices of its result are used, XLA would sort all of x instead. One for each
    # part: XLA's CPU compiler ends its process over a barrier on the pair, where x is split over devices.
    value, index = lax.top_k(jnp.where(x == 0, 0, x), count)
    return lax.optimization_barrier(value), lax.optimization_barrier(index)
