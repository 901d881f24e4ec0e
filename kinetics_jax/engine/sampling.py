"""The next token of every slot, on the device: filters, draw and log-probability.

A row's token depends on that row's logits, parameters and key alone, whatever its neighbours ask for.
Axis letters: B slots · V vocabulary · K candidates (the likeliest tokens, descending).
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kinetics_jax.engine import whole_vocabulary
from kinetics_jax.engine.candidates import top_candidates
from kinetics_jax.engine.threefry import fold_in, token_gumbel
from kinetics_jax.spec import InputError, SamplingParams
from kinetics_jax.spec.sampling import GREEDY_BELOW

Array = jax.Array

CANDIDATES = 128
"""Tokens looked at before the whole vocabulary is. With the published filters they always suffice."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["key_b2", "temperature_b", "top_k_b", "top_p_b", "min_p_b"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class SamplerState:
    """What each slot's sample asks of the sampler. See ``SamplingParams``."""

    key_b2: Array
    """uint32, from ``sample_key``."""
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
        """Rows for these samples, as NumPy arrays: a whole state, or rows for ``put``.

        Raises:
          InputError: as many keys as parameters are needed.
        """
        if key_b2.shape != (len(params), 2):
            raise InputError(
                f"{len(params)} samples need keys [{len(params)}, 2], got {key_b2.shape}"
            )

        return cls(
            key_b2=key_b2,  # type: ignore[arg-type]
            temperature_b=np.array([0 if p.greedy else p.temperature for p in params], np.float32),
            top_k_b=np.array([p.top_k for p in params], np.int32),
            top_p_b=np.array([p.top_p for p in params], np.float32),
            min_p_b=np.array([p.min_p for p in params], np.float32),
        )

    def put(self, slots: Array, rows: "SamplerState") -> "SamplerState":
        """This state with ``rows`` in these slots (int32); a slot ≥ B is dropped."""
        return jax.tree.map(lambda old, new: old.at[slots].set(new, mode="drop"), self, rows)


def sample_tokens(
    logits_bv: Array, state: SamplerState, position_b: Array
) -> tuple[Array, Array, Array]:
    """Draws the token at ``position_b`` of every slot.

    Filters as in the reference (facts §4.1): top-k, softmax of logits/T, nucleus (in descending order,
    drop a token if those before it hold more than p), then min-p (drop a token less than min_p times as
    likely as the likeliest; the nucleus is measured before that), renormalise, draw. Equal logits are
    ordered by id, in every filter and for greedy. The draw is Gumbel-max with noise of (key, position,
    token id), so it is the same whichever path finds the tokens to keep:

    - the 128 likeliest tokens, if top-k ≤ 128, or without top-k if the 128th is filtered out;
    - else the whole vocabulary. This runs only in steps in which some row needs it.

    Args:
      logits_bv: any float type; worked on in float32. −inf is a token that cannot be drawn.
      state: the slots' parameters and keys.
      position_b: index of the token that is drawn, in its own sequence, int32 ≥ 0.

    Returns:
      token_b int32; logprob_b float32, of the unfiltered distribution at temperature 1; ok_b, False
      where a row holds NaN or +inf or nothing finite (then the token is 0 and the logprob −inf).
    """
    logits_bv = logits_bv.astype(jnp.float32)
    V = logits_bv.shape[1]
    value_bk, id_bk = top_candidates(logits_bv, CANDIDATES)
    top_b = value_bk[:, 0]
    mass_b = jnp.exp(logits_bv - top_b[:, None]).sum(axis=-1)
    ok_b = jnp.isfinite(top_b) & jnp.isfinite(mass_b)

    greedy_b = state.temperature_b < GREEDY_BELOW
    rules = _Rules(
        heat_b=jnp.where(greedy_b, 1, state.temperature_b),
        top_k_b=jnp.where((state.top_k_b <= 0) | (state.top_k_b > V), V, state.top_k_b),
        top_p_b=state.top_p_b,
        min_p_b=state.min_p_b,
    )
    token_key = fold_in(state.key_b2[:, 0], state.key_b2[:, 1], position_b.astype(jnp.uint32))
    scaled_bk, kept_bk = _keep_candidates(logits_bv, value_bk, rules)
    noise_bk = token_gumbel((token_key[0][:, None], token_key[1][:, None]), id_bk)
    best_b = jnp.where(kept_bk, scaled_bk + noise_bk, -jnp.inf).argmax(axis=-1)
    best_b = jnp.where(greedy_b, 0, best_b)[:, None]
    token_b = jnp.take_along_axis(id_bk, best_b, axis=1)[:, 0]
    value_b = jnp.take_along_axis(value_bk, best_b, axis=1)[:, 0]

    if V > CANDIDATES:
        enough_b = (rules.top_k_b <= CANDIDATES) | ((rules.top_k_b == V) & ~kept_bk[:, -1])
        settled_b = ~ok_b | greedy_b | enough_b

        def from_all() -> tuple[Array, Array]:
            drawn_b = _draw_from_all(logits_bv, top_b, rules, token_key, settled_b)
            drawn_value_b = jnp.take_along_axis(logits_bv, drawn_b[:, None], axis=1)[:, 0]
            return (
                jnp.where(settled_b, token_b, drawn_b),
                jnp.where(settled_b, value_b, drawn_value_b),
            )

        token_b, value_b = lax.cond(settled_b.all(), lambda: (token_b, value_b), from_all)
    logprob_b = value_b - top_b - jnp.log(mass_b)
    return jnp.where(ok_b, token_b, 0), jnp.where(ok_b, logprob_b, -jnp.inf), ok_b


@dataclasses.dataclass(frozen=True)
class _Rules:
    """The filters of every row, with "off" resolved: a greedy row's heat is 1, no top-k is V."""

    heat_b: Array
    top_k_b: Array
    top_p_b: Array
    min_p_b: Array


def _keep_candidates(logits_bv: Array, value_bk: Array, rules: _Rules) -> tuple[Array, Array]:
    """Scaled logits of the candidates, and which of them the filters keep.

    Exact where a row's top-k is at most K, or all of V; meaningless in between.
    """
    K, V = value_bk.shape[1], logits_bv.shape[1]
    scaled_bk = (value_bk - value_bk[:, :1]) / rules.heat_b[:, None]
    allowed_bk = jnp.arange(K) < rules.top_k_b[:, None]
    weight_bk = jnp.where(allowed_bk, jnp.exp(scaled_bk), 0)
    mass_b = weight_bk.sum(axis=-1)
    if V > K:
        wide_b = (rules.top_k_b == V) & (rules.top_p_b < 1)

        def over_all() -> Array:
            scaled_bv = (logits_bv - value_bk[:, :1]) / rules.heat_b[:, None]
            return jnp.where(wide_b, jnp.exp(scaled_bv).sum(axis=-1), mass_b)

        mass_b = lax.cond(wide_b.any(), over_all, lambda: mass_b)
    sums_bk = jnp.cumsum(weight_bk, axis=-1)
    before_bk = jnp.concatenate([jnp.zeros_like(sums_bk[:, :1]), sums_bk[:, :-1]], axis=-1)
    in_nucleus_bk = before_bk <= _nucleus_limit(rules, mass_b)[:, None]
    return scaled_bk, allowed_bk & in_nucleus_bk & (weight_bk >= rules.min_p_b[:, None])


def _draw_from_all(
    logits_bv: Array, top_b: Array, rules: _Rules, token_key: tuple[Array, Array], settled_b: Array
) -> Array:
    """The token of each row that is not settled, from the whole vocabulary; arbitrary in the others."""
    V = logits_bv.shape[1]
    scaled_bv = (logits_bv - top_b[:, None]) / rules.heat_b[:, None]
    needs_top_k_b = ~settled_b & (rules.top_k_b < V)
    needs_nucleus_b = ~settled_b & (rules.top_p_b < 1)

    def top_k() -> Array:
        limit_b = jnp.where(needs_top_k_b, rules.top_k_b - 1, V).astype(jnp.float32)
        return whole_vocabulary.keep_prefix(logits_bv, jnp.ones_like(scaled_bv), limit_b)

    allowed_bv = lax.cond(needs_top_k_b.any(), top_k, lambda: jnp.full(logits_bv.shape, True))

    def nucleus() -> Array:
        weight_bv = jnp.where(allowed_bv, jnp.exp(scaled_bv), 0)
        limit_b = jnp.where(needs_nucleus_b, _nucleus_limit(rules, weight_bv.sum(axis=-1)), jnp.inf)
        return allowed_bv & whole_vocabulary.keep_prefix(logits_bv, weight_bv, limit_b)

    kept_bv = lax.cond(needs_nucleus_b.any(), nucleus, lambda: allowed_bv)
    kept_bv &= jnp.exp(scaled_bv) >= rules.min_p_b[:, None]
    return whole_vocabulary.draw(jnp.where(kept_bv, scaled_bv, -jnp.inf), token_key)


def _nucleus_limit(rules: _Rules, mass_b: Array) -> Array:
    return jnp.where(rules.top_p_b < 1, rules.top_p_b * mass_b, jnp.inf)
