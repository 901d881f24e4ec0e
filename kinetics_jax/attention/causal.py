"""Masked softmax attention in plain XLA, and the cacheless ``KVCache`` of a full forward pass.

Axis letters: B sequences · T queries · S context · N query heads · K KV heads · G = N/K · H head dim.
"""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from kinetics_jax.attention.interface import Counts, Keys, Layer, NewKeys, Positions, Queries, check_new

Array = jax.Array

QUERY_CHUNK = 256
"""Queries scored at a time: bounds the B·N·T·S scores in memory."""


def causal_attention(
    query_btnh: Queries, key_bksh: Keys, value_bksh: Keys, position_bt: Positions
) -> Queries:
    """out_btnh: query t of sequence b sees keys 0…``position_bt``. Softmax in float32."""
    B, T, N, H = query_btnh.shape
    chex.assert_equal_shape([key_bksh, value_bksh])
    chex.assert_shape(key_bksh, (B, None, None, H))
    chex.assert_is_divisible(N, key_bksh.shape[1])
    chex.assert_shape(position_bt, (B, T))
    if T <= QUERY_CHUNK:
        return _attend(query_btnh, key_bksh, value_bksh, position_bt)
    chunks = -(-T // QUERY_CHUNK)

    def split(x: Array) -> Array:
        """[B, T, …] → [chunks, B, QUERY_CHUNK, …], padded at the end."""
        pad = [(0, 0), (0, chunks * QUERY_CHUNK - T)] + [(0, 0)] * (x.ndim - 2)
        parts = jnp.pad(x, pad).reshape(x.shape[0], chunks, QUERY_CHUNK, *x.shape[2:])
        return jnp.moveaxis(parts, 1, 0)

    out = lax.map(
        lambda part: _attend(part[0], key_bksh, value_bksh, part[1]), (split(query_btnh), split(position_bt))
    )
    return jnp.moveaxis(out, 0, 1).reshape(out.shape[1], -1, *out.shape[3:])[:, :T]


def _attend(query_btnh: Array, key_bksh: Array, value_bksh: Array, position_bt: Array) -> Array:
    B, T, N, H = query_btnh.shape
    K, S = key_bksh.shape[1:3]
    query = query_btnh.reshape(B, T, K, N // K, H)
    scores = jnp.einsum("btkgh,bksh->bkgts", query, key_bksh, preferred_element_type=jnp.float32)
    seen = jnp.arange(S) <= position_bt[:, None, None, :, None]
    scores = jnp.where(seen, scores / math.sqrt(H), jnp.finfo(jnp.float32).min)
    share = jax.nn.softmax(scores, axis=-1).astype(value_bksh.dtype)
    return jnp.einsum("bkgts,bksh->btkgh", share, value_bksh).reshape(B, T, N, H)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WithinChunk:
    """A ``KVCache`` that keeps nothing: each sequence attends to the tokens given with it."""

    lengths_b: Counts

    def attend(
        self, layer: Layer, query_btnh: Queries, key_btkh: NewKeys, value_btkh: NewKeys, counts_b: Counts
    ) -> tuple[Queries, "WithinChunk"]:
        """As ``KVCache.attend``; ``layer`` and ``counts_b`` make no difference without a memory."""
        del layer
        check_new(self.lengths_b, query_btnh, key_btkh, value_btkh, counts_b)
        B, T = query_btnh.shape[:2]
        key_bksh, value_bksh = jnp.swapaxes(key_btkh, 1, 2), jnp.swapaxes(value_btkh, 1, 2)
        position_bt = jnp.broadcast_to(jnp.arange(T), (B, T))
        return causal_attention(query_btnh, key_bksh, value_bksh, position_bt), self

    def advance(self, counts_b: Counts) -> "WithinChunk":
        """Unchanged: nothing is kept."""
        del counts_b
        return self
