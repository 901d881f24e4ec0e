"""The next token of every slot, on the device: filters, draw and log-probability.

A row's token depends on that row's logits, parameters and key alone, whatever its neighbours ask for.
Axis letters: B slots · V vocabulary.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kinetics_jax.engine.sampler import filters
from kinetics_jax.engine.sampler.candidates import top_candidates
from kinetics_jax.engine.sampler.filters import Drawn
from kinetics_jax.engine.sampler.threefry import fold_in
from kinetics_jax.errors import InputError
from kinetics_jax.records import SamplingParams

Array = jax.Array

TIERS = (32, 128)
"""So many of the likeliest tokens are looked at, if need be one tier after the other, before the whole
vocabulary is. The first always suffices with the published filters."""

_SMALL_VOCABULARY = 1024
"""Up to here the whole vocabulary follows the first tier: it costs no more than the second."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SamplerState:
    """What each slot's sample asks of the sampler. See ``SamplingParams``."""

    key_b2: Array
    """uint32, from ``sample_keys``."""
    temperature_b: Array
    """float32; 0 is greedy."""
    top_k_b: Array
    """int32."""
    top_p_b: Array
    """float32."""
    min_p_b: Array
    """float32."""

    @classmethod
    def init(cls, slots: int) -> "SamplerState":
        """B idle slots: greedy, which asks least of the device."""
        zero = jnp.zeros(slots, jnp.float32)
        return cls(
            key_b2=jnp.zeros((slots, 2), jnp.uint32),
            temperature_b=zero,
            top_k_b=jnp.zeros(slots, jnp.int32),
            top_p_b=zero + 1,
            min_p_b=jnp.copy(zero),
        )

    @classmethod
    def of(cls, params: Sequence[SamplingParams], key_b2: np.ndarray) -> "SamplerState":
        """Rows for these samples, as NumPy arrays.

        Raises:
          InputError: as many keys as parameters are needed.
        """
        if key_b2.shape != (len(params), 2):
            raise InputError(f"{len(params)} samples need keys [{len(params)}, 2], got {key_b2.shape}")

        columns: dict[str, Any] = {
            "key_b2": key_b2,
            "temperature_b": np.array([0 if p.greedy else p.temperature for p in params], np.float32),
            "top_k_b": np.array([p.top_k for p in params], np.int32),
            "top_p_b": np.array([p.top_p for p in params], np.float32),
            "min_p_b": np.array([p.min_p for p in params], np.float32),
        }
        return cls(**columns)


def sample_tokens(logits_bv: Array, state: SamplerState, position_b: Array) -> tuple[Array, Array, Array]:
    """Draws the token at ``position_b`` of every slot.

    Filters as in the reference (docs/paper_facts.md, "Sampling"): top-k, softmax of logits/T, nucleus (in
    descending order, drop a token if those before it hold more than p), then min-p (drop a token less than
    min_p times as likely as the likeliest; the nucleus is measured before that), renormalise, draw. Equal
    logits are ordered by id, in every filter and for greedy. The draw is Gumbel-max with noise of (key,
    position, token id), so it is the same whichever tokens are looked at: the 32 likeliest if top-k allows
    no more of them or if the 32nd is filtered out, else the 128 likeliest, else the whole vocabulary. More
    are looked at only in steps in which some row needs it, and change nothing in rows that do not.

    Args:
      logits_bv: any float type; worked on in float32. −inf is a token that cannot be drawn.
      state: the slots' parameters and keys.
      position_b: index of the token that is drawn, in its own sequence, int32 ≥ 0.

    Returns:
      token_b int32; logprob_b float32, of the unfiltered distribution at temperature 1; ok_b, False
      where a row holds NaN or +inf or nothing finite (then the token is 0 and the logprob −inf).
    """
    B, V = logits_bv.shape
    chex.assert_shape(state.key_b2, (B, 2))
    chex.assert_shape([state.temperature_b, state.top_k_b, state.top_p_b, state.min_p_b, position_b], (B,))
    logits_bv = logits_bv.astype(jnp.float32)
    candidates = top_candidates(logits_bv, TIERS[0])
    top_b = candidates[0][:, 0]
    mass_b = jnp.exp(logits_bv - top_b[:, None]).sum(axis=-1)
    ok_b = jnp.isfinite(top_b) & jnp.isfinite(mass_b)
    rules = filters.Rules.of(state.temperature_b, state.top_k_b, state.top_p_b, state.min_p_b, V)
    token_key = fold_in(state.key_b2[:, 0], state.key_b2[:, 1], position_b.astype(jnp.uint32))
    nucleus_mass_b = filters.nucleus_mass(logits_bv, top_b, rules)

    def from_candidates(candidates: tuple[Array, Array]) -> Drawn:
        return filters.draw_from_candidates(candidates, rules, nucleus_mass_b, token_key, V)

    def from_tier(count: int) -> Callable[[Array], Drawn]:
        return lambda _: from_candidates(top_candidates(logits_bv, count))

    def from_all(done_b: Array) -> Drawn:
        return filters.draw_from_all(logits_bv, top_b, rules, token_key, done_b)

    token_b, value_b, settled_b = from_candidates(candidates)
    drawn = token_b, value_b, settled_b | ~ok_b
    more = [from_tier(count) for count in TIERS[1:] if V > _SMALL_VOCABULARY]
    for draw in [*more, from_all] if min(TIERS) < V else []:
        drawn = _settle(drawn, draw)
    token_b, value_b, _ = drawn
    logprob_b = value_b - top_b - jnp.log(mass_b)
    return jnp.where(ok_b, token_b, 0), jnp.where(ok_b, logprob_b, -jnp.inf), ok_b


def _settle(drawn: Drawn, draw_more: Callable[[Array], Drawn]) -> Drawn:
    """The rows that are final as they are, the others from ``draw_more``, which runs only for them."""
    token_b, value_b, settled_b = drawn

    def more() -> Drawn:
        more_token_b, more_value_b, more_settled_b = draw_more(settled_b)
        return (
            jnp.where(settled_b, token_b, more_token_b),
            jnp.where(settled_b, value_b, more_value_b),
            settled_b | more_settled_b,
        )

    return lax.cond(settled_b.all(), lambda: drawn, more)
