"""Sampling filters and the draw over the whole vocabulary, for rows that their best tokens do not settle.

No sort: a filter keeps a prefix of the tokens in descending order, and where a prefix ends is found by
bisection over the bits of the logits, a sum over V each (experiments/benchmarks/sampler_cpu.py times it
against a sort). Axis letters: B slots · V vocabulary.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kinetics_jax.engine.sampler.candidates import CHUNK
from kinetics_jax.engine.sampler.threefry import token_gumbel

Array = jax.Array


def keep_prefix(logits_bv: Array, weight_bv: Array, limit_b: Array) -> Array:
    """Tokens kept when those before them, likeliest first and equal ones by id, weigh at most the limit.

    With weight 1 and limit k − 1 this is top-k, with probabilities and limit p the nucleus: the token
    that crosses p stays. The first token stays for any limit ≥ 0.

    Args:
      logits_bv: what the tokens are ordered by, float32; −0 equals 0.
      weight_bv: ≥ 0, float32.
      limit_b: float32; +inf keeps everything.

    Returns:
      bool [B, V].
    """
    order_bv = _order(logits_bv)
    id_v = jnp.arange(logits_bv.shape[1], dtype=jnp.uint32)

    def fits(order_b: Array, id_b: Array) -> Array:
        """Whether a token at this place of the order would be kept. A fixed sum is monotone in it."""
        first = (order_bv > order_b[:, None]) | ((order_bv == order_b[:, None]) & (id_v < id_b[:, None]))
        return jnp.where(first, weight_bv, 0).sum(axis=-1) <= limit_b

    zero_b = jnp.zeros(limit_b.shape, jnp.uint32)
    # The lowest value of which at least the first token fits, then the last id that fits at that value.
    value_b = ~_last_true(lambda flipped_b: fits(~flipped_b, zero_b), zero_b, bits=32)
    bits = int(logits_bv.shape[1]).bit_length()
    id_b = _last_true(lambda id_b: fits(value_b, id_b), zero_b, bits=bits)
    return (order_bv > value_b[:, None]) | ((order_bv == value_b[:, None]) & (id_v <= id_b[:, None]))


def draw(scaled_bv: Array, token_key: tuple[Array, Array]) -> Array:
    """One token id of each row, int32, with probability ∝ exp(scaled): Gumbel-max over the vocabulary.

    The largest of each chunk first, then within the best chunk: XLA's argmax over a computed array of
    V costs a CPU 20 times what the maximum does.
    """
    B, V = scaled_bv.shape
    chunks = -(-V // CHUNK)
    if chunks * CHUNK > V:
        scaled_bv = jnp.pad(scaled_bv, ((0, 0), (0, chunks * CHUNK - V)), constant_values=-jnp.inf)
    key0, key1 = (word[:, None] for word in token_key)
    score_bv = scaled_bv + token_gumbel((key0, key1), jnp.arange(chunks * CHUNK))
    chunk_b = score_bv.reshape(B, chunks, CHUNK).max(axis=-1).argmax(axis=-1)
    inside = scaled_bv.reshape(B, chunks, CHUNK)[jnp.arange(B), chunk_b]
    ids = chunk_b[:, None] * CHUNK + jnp.arange(CHUNK)
    best_b = (inside + token_gumbel((key0, key1), ids)).argmax(axis=-1)
    return (chunk_b * CHUNK + best_b).astype(jnp.int32)


def _order(logits_bv: Array) -> Array:
    """uint32 that order as the floats do."""
    bits = lax.bitcast_convert_type(jnp.where(logits_bv == 0, 0.0, logits_bv), jnp.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return lax.bitcast_convert_type(ordered, jnp.uint32) ^ np.uint32(1 << 31)


def _last_true(test: Callable[[Array], Array], zero_b: Array, *, bits: int) -> Array:
    """The largest number below 2**bits for which a test that is true, then false, holds (0 if none)."""

    def one_bit(i: Array, found_b: Array) -> Array:
        tried_b = found_b | (np.uint32(1) << (np.uint32(bits - 1) - i.astype(jnp.uint32)))
        return jnp.where(test(tried_b), tried_b, found_b)

    return lax.fori_loop(0, bits, one_bit, zero_b)
