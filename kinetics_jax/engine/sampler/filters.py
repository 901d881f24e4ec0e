"""Which tokens the sampling filters keep, and the draw among them, for some of the tokens or all.

Axis letters: B slots · V vocabulary. Arrays of candidates are [B, count], the likeliest first.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from kinetics_jax.engine.sampler import whole_vocabulary
from kinetics_jax.engine.sampler.threefry import token_gumbel
from kinetics_jax.records.sampling import GREEDY_BELOW

Array = jax.Array

Drawn = tuple[Array, Array, Array]
"""Tokens, their logits, and in which rows they are final."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """The parameters of every row with special cases resolved: greedy is top-k 1, no top-k is V."""

    temperature_b: Array
    top_k_b: Array
    top_p_b: Array
    min_p_b: Array

    @classmethod
    def of(cls, temperature_b: Array, top_k_b: Array, top_p_b: Array, min_p_b: Array, V: int) -> "Rules":
        """From ``SamplerState``'s parameters and the size of the vocabulary."""
        greedy_b = temperature_b < GREEDY_BELOW
        top_k_b = jnp.where((top_k_b <= 0) | (top_k_b > V), V, top_k_b)
        return cls(
            temperature_b=jnp.where(greedy_b, 1, temperature_b),
            top_k_b=jnp.where(greedy_b, 1, top_k_b),
            top_p_b=top_p_b,
            min_p_b=min_p_b,
        )

    def nucleus_limit(self, mass_b: Array) -> Array:
        """What the tokens before one may weigh, if all together weigh this."""
        return jnp.where(self.top_p_b < 1, self.top_p_b * mass_b, jnp.inf)


def nucleus_mass(logits_bv: Array, top_b: Array, rules: Rules) -> Array:
    """Σ exp((logit − top)/T) over V, for the rows that need it: a nucleus without top-k. Else 0."""
    needed_b = (rules.top_k_b == logits_bv.shape[1]) & (rules.top_p_b < 1)

    def over_all() -> Array:
        scaled_bv = (logits_bv - top_b[:, None]) / rules.temperature_b[:, None]
        return jnp.where(needed_b, jnp.exp(scaled_bv).sum(axis=-1), 0)

    return lax.cond(needed_b.any(), over_all, lambda: jnp.zeros_like(top_b))


def draw_from_candidates(
    candidates: tuple[Array, Array],
    rules: Rules,
    nucleus_mass_b: Array,
    token_key: tuple[Array, Array],
    V: int,
) -> Drawn:
    """From the likeliest tokens: final where top-k allows no more, or without top-k the last is dropped."""
    values, ids = candidates
    count = values.shape[1]
    scaled = (values - values[:, :1]) / rules.temperature_b[:, None]
    allowed = jnp.arange(count) < rules.top_k_b[:, None]
    weights = jnp.where(allowed, jnp.exp(scaled), 0)
    mass_b = jnp.where(rules.top_k_b <= count, weights.sum(axis=-1), nucleus_mass_b)
    sums = jnp.cumsum(weights, axis=-1)
    before = jnp.concatenate([jnp.zeros_like(sums[:, :1]), sums[:, :-1]], axis=-1)
    kept = allowed & (before <= rules.nucleus_limit(mass_b)[:, None])
    kept &= weights >= rules.min_p_b[:, None]

    noise = token_gumbel((token_key[0][:, None], token_key[1][:, None]), ids)
    best_b = jnp.where(kept, scaled + noise, -jnp.inf).argmax(axis=-1)[:, None]
    token_b, value_b = (jnp.take_along_axis(x, best_b, axis=1)[:, 0] for x in (ids, values))
    return token_b, value_b, (rules.top_k_b <= count) | ((rules.top_k_b == V) & ~kept[:, -1])


def draw_from_all(
    logits_bv: Array, top_b: Array, rules: Rules, token_key: tuple[Array, Array], done_b: Array
) -> Drawn:
    """From the whole vocabulary; arbitrary in rows that are done."""
    V = logits_bv.shape[1]
    scaled_bv = (logits_bv - top_b[:, None]) / rules.temperature_b[:, None]
    needs_top_k_b = ~done_b & (rules.top_k_b < V)
    needs_nucleus_b = ~done_b & (rules.top_p_b < 1)

    def top_k() -> Array:
        limit_b = jnp.where(needs_top_k_b, rules.top_k_b - 1, V).astype(jnp.float32)
        return whole_vocabulary.keep_prefix(logits_bv, jnp.ones_like(scaled_bv), limit_b)

    allowed_bv = lax.cond(needs_top_k_b.any(), top_k, lambda: jnp.full(logits_bv.shape, True))

    def nucleus() -> Array:
        weight_bv = jnp.where(allowed_bv, jnp.exp(scaled_bv), 0)
        limit_b = jnp.where(needs_nucleus_b, rules.nucleus_limit(weight_bv.sum(axis=-1)), jnp.inf)
        return allowed_bv & whole_vocabulary.keep_prefix(logits_bv, weight_bv, limit_b)

    kept_bv = lax.cond(needs_nucleus_b.any(), nucleus, lambda: allowed_bv)
    kept_bv &= jnp.exp(scaled_bv) >= rules.min_p_b[:, None]
    token_b = whole_vocabulary.draw(jnp.where(kept_bv, scaled_bv, -jnp.inf), token_key)
    value_b = jnp.take_along_axis(logits_bv, token_b[:, None], axis=1)[:, 0]
    return token_b, value_b, jnp.ones_like(done_b)
