"""A cache for studying policies: many tokens at once, each reading what it would read as a decode step.

Dense tokens are gathered and masked, so it saves no traffic; what it saves is the steps. The engine's
``PagedCache`` does one step at a time and is what the tests hold this to.
Axis letters: B sequences · T new tokens · S context · N query heads · K KV heads · G = N/K · H head dim ·
P pages · p page size.
"""

import dataclasses
import functools
import math
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kinetics_jax.attention.causal import causal_attention
from kinetics_jax.attention.contiguous import ContiguousCache, store_new
from kinetics_jax.attention.interface import Counts, Layer, NewKeys, Queries, check_new
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SelectiveCache:
    """A ``KVCache`` in which every token is a decode step of ``policy``, even one of many.

    Scores of all B·T·N·S pairs are held at once. A token beyond S is dropped and attends to NaN.
    """

    held: ContiguousCache
    policies: tuple[Policy, ...] = dataclasses.field(metadata={"static": True})
    """The distinct policies of the layers."""
    policy_of_layer: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    """For each layer its index in ``policies``."""

    @classmethod
    def of(cls, held: ContiguousCache, policy: Policy) -> Self:
        """``held`` with what it holds, read by ``policy`` from now on.

        Raises ``InputError`` for a policy of another number of layers, one that would choose pages by
        summaries of keys but is not aligned to pages, or a cache that is split over devices.
        """
        layers = held.key_lbksh.shape[0]
        policy.check_layers(layers)
        if held.sharding is not None:
            raise InputError("a SelectiveCache lies on one device")
        by_layer = [policy.at_layer(layer) for layer in range(layers)]
        for rule in by_layer:
            if rule.summaries_per_block > 1 and rule.pages is None:
                raise InputError(f"{rule.label}: bounds are of pages; give it aligned=True")
        distinct = tuple(dict.fromkeys(by_layer))
        return cls(held, distinct, tuple(distinct.index(rule) for rule in by_layer))

    @property
    def lengths_b(self) -> Counts:
        """See ``KVCache.lengths_b``."""
        return self.held.lengths_b

    def attend(
        self, layer: Layer, query_btnh: Queries, key_btkh: NewKeys, value_btkh: NewKeys, counts_b: Counts
    ) -> tuple[Queries, Self]:
        """See ``KVCache.attend``; token t reads what the policy keeps of its own context."""
        held = self.held
        check_new(held.lengths_b, query_btnh, key_btkh, value_btkh, counts_b, held.key_lbksh.shape[2])
        key_lbksh, value_lbksh = (
            store_new(old, jnp.asarray(layer), new, held.lengths_b, counts_b)
            for old, new in ((held.key_lbksh, key_btkh), (held.value_lbksh, value_btkh))
        )
        key_bksh, value_bksh = (
            lax.dynamic_index_in_dim(x, layer, keepdims=False) for x in (key_lbksh, value_lbksh)
        )
        position_bt = held.lengths_b[:, None] + jnp.arange(query_btnh.shape[1])
        branches = [functools.partial(_attend, rule) for rule in self.policies]
        chosen = jnp.asarray(self.policy_of_layer)[layer]
        out = lax.switch(chosen, branches, query_btnh, key_bksh, value_bksh, position_bt, layer)
        out = jnp.where((position_bt < key_bksh.shape[2])[..., None, None], out, jnp.nan)
        held = dataclasses.replace(held, key_lbksh=key_lbksh, value_lbksh=value_lbksh)
        return out, dataclasses.replace(self, held=held)

    def advance(self, counts_b: Counts) -> Self:
        """See ``KVCache.advance``."""
        return dataclasses.replace(self, held=self.held.advance(counts_b))


def _attend(
    policy: Policy,
    query_btnh: Array,
    key_bksh: Array,
    value_bksh: Array,
    position_bt: Array,
    layer: Array | int,
) -> Array:
    if policy.kv_budget is None:  # everything, in the blocks of queries that dense attention uses
        return causal_attention(query_btnh, key_bksh, value_bksh, position_bt)
    B, T, N, H = query_btnh.shape
    K, S = key_bksh.shape[1:3]
    query_btkgh = query_btnh.reshape(B, T, K, N // K, H)
    logits = jnp.einsum(
        "btkgh,bksh->btkgs", query_btkgh, key_bksh, preferred_element_type=jnp.float32
    ) / math.sqrt(H)
    lengths = position_bt.reshape(-1) + 1
    if policy.pages is not None:
        scores = _page_scores(policy, query_btkgh, key_bksh).reshape(B * T, K, -1)
        keep = policy.pages.keep(scores, lengths, S)
    else:
        scores = logits.mean(axis=3).reshape(B * T, K, S)
        keep = _keep_on_host(policy, scores, lengths, jnp.repeat(jnp.arange(B), T) + layer)
    keep_btk1s = jnp.broadcast_to(keep, (B * T, K, S)).reshape(B, T, K, 1, S)
    logits = jnp.where(keep_btk1s, logits, jnp.finfo(jnp.float32).min)
    share = jax.nn.softmax(logits, axis=-1).astype(value_bksh.dtype)
    return jnp.einsum("btkgs,bksh->btkgh", share, value_bksh).reshape(B, T, N, H)


def _page_scores(policy: Policy, query_btkgh: Array, key_bksh: Array) -> Array:
    """Scores_btkp of all pages from their mean key, or the bound from their minima and maxima.

    The sum over H of max(q·min, q·max) is q⁺·max + q⁻·min: two products instead of one per page and
    element. A page's later tokens would count too, but a page that has any is the newest of its token,
    which is read whatever its score.
    """
    size = policy.pages.page_size  # type: ignore[union-attr]
    B, K, S, H = key_bksh.shape
    filled = jnp.pad(key_bksh, ((0, 0), (0, 0), (0, -S % size), (0, 0)))
    pages = filled.reshape(B, K, -1, size, H).astype(jnp.float32)
    query = query_btkgh.astype(jnp.float32)
    if policy.summaries_per_block == 1:
        scores = jnp.einsum("btkgh,bkph->btkgp", query, pages.mean(axis=3))
    else:
        scores = jnp.einsum("btkgh,bkph->btkgp", jnp.maximum(query, 0), pages.max(axis=3))
        scores += jnp.einsum("btkgh,bkph->btkgp", jnp.minimum(query, 0), pages.min(axis=3))
    return scores.mean(axis=3)


def _keep_on_host(policy: Policy, scores: Array, lengths: Array, streams: Array) -> Array:
    """``policy.keep`` by NumPy: XLA sorts whole contexts on a CPU some fifty times slower."""

    def keep(scores: Array, lengths: Array, streams: Array) -> np.ndarray:
        kept = policy.keep(np.asarray(scores), np.asarray(lengths), np.asarray(streams))
        return np.broadcast_to(kept, scores.shape)

    shape = jax.ShapeDtypeStruct(scores.shape, jnp.bool_)
    return jax.pure_callback(keep, shape, scores, lengths, streams)
