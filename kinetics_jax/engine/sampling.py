"""The next token of every slot, on the device: filters, draw and log-probability.

A row's token depends on that row's logits, parameters and key alone, whatever its neighbours ask for.
Axis letters: B slots · V vocabulary · K the likeliest tokens, descending.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

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

TIERS = (32, 128)
"""So many of the likeliest tokens are looked at, if need be one tier after the other, before the whole
vocabulary is. The first always suffices with the published filters."""

_SMALL_VOCABULARY = 1024
"""Up to here the whole vocabulary follows the first tier: it is no dearer than the second."""


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

        columns: dict[str, Any] = {
            "key_b2": key_b2,
            "temperature_b": np.array(
                [0 if p.greedy else p.temperature for p in params], np.float32
            ),
            "top_k_b": np.array([p.top_k for p in params], np.int32),
            "top_p_b": np.array([p.top_p for p in params], np.float32),
            "min_p_b": np.array([p.min_p for p in params], np.float32),
        }
        return cls(**columns)

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
    token id), so it is the same whichever tokens are looked at: the 32 likeliest if top-k allows no more
    of them or if the 32nd is filtered out, else the 128 likeliest, else the whole vocabulary. More are
    looked at only in steps in which some row needs it, and change nothing in rows that do not.

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
    candidates = top_candidates(logits_bv, TIERS[0])
    top_b = candidates[0][:, 0]
    mass_b = jnp.exp(logits_bv - top_b[:, None]).sum(axis=-1)
    ok_b = jnp.isfinite(top_b) & jnp.isfinite(mass_b)
    rules = _Rules.of(state, V)
    token_key = fold_in(state.key_b2[:, 0], state.key_b2[:, 1], position_b.astype(jnp.uint32))
    hot_mass_b = _hot_mass(logits_bv, top_b, rules)

    def from_candidates(candidates: tuple[Array, Array]) -> _Drawn:
        return _draw_from_candidates(candidates, rules, hot_mass_b, token_key, V)

    def from_tier(count: int) -> Callable[[Array], _Drawn]:
        return lambda _: from_candidates(top_candidates(logits_bv, count))

    def from_all(done_b: Array) -> _Drawn:
        return _draw_from_all(logits_bv, top_b, rules, token_key, done_b)

    token_b, value_b, settled_b = from_candidates(candidates)
    drawn = token_b, value_b, settled_b | ~ok_b
    more = [from_tier(count) for count in TIERS[1:] if V > _SMALL_VOCABULARY]
    for draw in [*more, from_all] if min(TIERS) < V else []:
        drawn = _settle(drawn, draw)
    token_b, value_b, _ = drawn
    logprob_b = value_b - top_b - jnp.log(mass_b)
    return jnp.where(ok_b, token_b, 0), jnp.where(ok_b, logprob_b, -jnp.inf), ok_b


_Drawn = tuple[Array, Array, Array]
"""Tokens, their logits, and in which rows they are final."""


def _settle(drawn: _Drawn, draw_more: Callable[[Array], _Drawn]) -> _Drawn:
    """The rows that are final as they are, the others from ``draw_more``, which runs only for them."""
    token_b, value_b, settled_b = drawn

    def more() -> _Drawn:
        more_token_b, more_value_b, more_settled_b = draw_more(settled_b)
        return (
            jnp.where(settled_b, token_b, more_token_b),
            jnp.where(settled_b, value_b, more_value_b),
            settled_b | more_settled_b,
        )

    return lax.cond(settled_b.all(), lambda: drawn, more)


@dataclasses.dataclass(frozen=True)
class _Rules:
    """The filters of every row with special cases resolved: greedy is top-k 1, no top-k is V."""

    heat_b: Array
    top_k_b: Array
    top_p_b: Array
    min_p_b: Array

    @classmethod
    def of(cls, state: SamplerState, V: int) -> "_Rules":
        greedy_b = state.temperature_b < GREEDY_BELOW
        top_k_b = jnp.where((state.top_k_b <= 0) | (state.top_k_b > V), V, state.top_k_b)
        return cls(
            heat_b=jnp.where(greedy_b, 1, state.temperature_b),
            top_k_b=jnp.where(greedy_b, 1, top_k_b),
            top_p_b=state.top_p_b,
            min_p_b=state.min_p_b,
        )

    def nucleus_limit(self, mass_b: Array) -> Array:
        """What the tokens before one may weigh, if all together weigh this."""
        return jnp.where(self.top_p_b < 1, self.top_p_b * mass_b, jnp.inf)


def _hot_mass(logits_bv: Array, top_b: Array, rules: _Rules) -> Array:
    """Σ exp((logit − top)/T) over V, for the rows that need it: a nucleus without top-k. Else 0."""
    needed_b = (rules.top_k_b == logits_bv.shape[1]) & (rules.top_p_b < 1)

    def over_all() -> Array:
        scaled_bv = (logits_bv - top_b[:, None]) / rules.heat_b[:, None]
        return jnp.where(needed_b, jnp.exp(scaled_bv).sum(axis=-1), 0)

    return lax.cond(needed_b.any(), over_all, lambda: jnp.zeros_like(top_b))


def _draw_from_candidates(
    candidates: tuple[Array, Array], rules: _Rules, hot_mass_b: Array,
    token_key: tuple[Array, Array], V: int,
) -> _Drawn:  # fmt: skip
    """From the K likeliest tokens: final where top-k is at most K, or no top-k and the last is dropped."""
    value_bk, id_bk = candidates
    K = value_bk.shape[1]
    scaled_bk = (value_bk - value_bk[:, :1]) / rules.heat_b[:, None]
    allowed_bk = jnp.arange(K) < rules.top_k_b[:, None]
    weight_bk = jnp.where(allowed_bk, jnp.exp(scaled_bk), 0)
    mass_b = jnp.where(rules.top_k_b <= K, weight_bk.sum(axis=-1), hot_mass_b)
    sums_bk = jnp.cumsum(weight_bk, axis=-1)
    before_bk = jnp.concatenate([jnp.zeros_like(sums_bk[:, :1]), sums_bk[:, :-1]], axis=-1)
    kept_bk = allowed_bk & (before_bk <= rules.nucleus_limit(mass_b)[:, None])
    kept_bk &= weight_bk >= rules.min_p_b[:, None]

    noise_bk = token_gumbel((token_key[0][:, None], token_key[1][:, None]), id_bk)
    best_b = jnp.where(kept_bk, scaled_bk + noise_bk, -jnp.inf).argmax(axis=-1)[:, None]
    token_b, value_b = (jnp.take_along_axis(x, best_b, axis=1)[:, 0] for x in (id_bk, value_bk))
    return token_b, value_b, (rules.top_k_b <= K) | ((rules.top_k_b == V) & ~kept_bk[:, -1])


def _draw_from_all(
    logits_bv: Array, top_b: Array, rules: _Rules, token_key: tuple[Array, Array], done_b: Array
) -> _Drawn:
    """From the whole vocabulary; arbitrary in rows that are done."""
    V = logits_bv.shape[1]
    scaled_bv = (logits_bv - top_b[:, None]) / rules.heat_b[:, None]
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
