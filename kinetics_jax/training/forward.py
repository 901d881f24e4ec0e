"""The model's own layers over rows whose positions are given, and what its attention looked at.

Axis letters: B rows · T queries · S context · N query heads · K KV heads · G = N/K · H head dim.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from kinetics_jax.errors import InputError
from kinetics_jax.models import Transformer, rope

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RowAttention:
    """A ``KVCache`` that keeps no keys: causal attention within a row, by order in the row.

    Scores are whole (T×T), which is faster to differentiate than chunks at these lengths.
    """

    lengths_b: Array
    entry_bts: Array | None
    mass_lbt: tuple[Array, ...] = ()
    """Each layer's mean attention on the entries asked for, where they are."""

    def attend(
        self, layer: Array | int, query_btnh: Array, key_btkh: Array, value_btkh: Array, counts_b: Array
    ) -> tuple[Array, "RowAttention"]:
        """As ``KVCache.attend``."""
        del layer, counts_b
        B, T, N, H = query_btnh.shape
        K = key_btkh.shape[2]
        query = query_btnh.reshape(B, T, K, N // K, H)
        scores = jnp.einsum("btkgh,bskh->bkgts", query, key_btkh) / math.sqrt(H)
        scores = jnp.where(jnp.tri(T, dtype=bool), scores, jnp.finfo(scores.dtype).min)
        share = jax.nn.softmax(scores, axis=-1)
        out = jnp.einsum("bkgts,bskh->btkgh", share, value_btkh).reshape(B, T, N, H)
        if self.entry_bts is None:
            return out, self
        mass = jnp.sum(share.mean((1, 2)) * self.entry_bts, axis=-1)
        return out, dataclasses.replace(self, mass_lbt=(*self.mass_lbt, mass))

    def advance(self, counts_b: Array) -> "RowAttention":
        """Unchanged: nothing is kept."""
        del counts_b
        return self


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a forward pass over rows gives."""

    logits_btv: Array
    first_btd: Array
    """The stream after layer 0."""
    mass_lbt: Sequence[Array]
    """Per layer; empty without entries."""


def forward(
    model: Transformer, token_bt: Array, position_bt: Array, entry_bts: Array | None = None
) -> Outlook:
    """The full forward pass at given positions. At positions 0…T−1 its logits are ``model(tokens)``.

    Raises:
        InputError: a model whose layers are stacked.
    """
    if not isinstance(model.layers, nnx.List):
        raise InputError("training takes a model with unrolled layers (unroll=True)")
    counts = jnp.full(token_bt.shape[0], token_bt.shape[1])
    entries = None if entry_bts is None else entry_bts.astype(jnp.float32)
    cache = RowAttention(jnp.zeros_like(counts), entries)
    rotary = rope.angles(model.config, position_bt)
    x_btd = first_btd = model.embed.look_up(token_bt)
    for layer, block in enumerate(model.layers):
        x_btd, cache = block(x_btd, rotary, cache, layer, counts)
        if layer == 0:
            first_btd = x_btd
    return Outlook(model.logits(model.final_norm(x_btd)), first_btd, cache.mass_lbt)
