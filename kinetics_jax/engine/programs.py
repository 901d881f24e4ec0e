"""The two programs that the device runs: read a part of prompts; admit samples and decode a chunk.

Both are pure functions of (model, state, …) → state, compiled once per shape and donated their state.
Axis letters: B sequences (one prompt of each lane, or the slots of all lanes) · T new tokens of each ·
D model dim · P pages of a sequence · V vocabulary.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from kinetics_jax.engine import admission
from kinetics_jax.engine.packing import Packing
from kinetics_jax.engine.sampler import repetition, sample_tokens, thinking
from kinetics_jax.engine.state import ERROR, LENGTH, REPETITION, RUNNING, STOP, EngineState, Slots
from kinetics_jax.models import Transformer

Array = jax.Array


class Drawn(NamedTuple):
    """What a decode chunk brought, for the host: small, and the same on every process."""

    token_tb: Array
    """int32 tokens, one a step, in the order they were drawn; −1 where a slot was not running."""
    logprob_tb: Array
    """float32 log-probability of each under the model's unfiltered distribution."""
    finish_b: Array
    """Why a slot stopped, or ``RUNNING``."""
    active_b: Array
    generated_b: Array


def read_prompts(
    model: Transformer,
    state: EngineState,
    row_b: Array,
    token_bt: Array,
    count_b: Array,
    fresh_b: Array,
    page_table_bp: Array,
    *,
    view_pages: int,
) -> EngineState:
    """The next T tokens of one prompt per lane, of which the first ``count_b`` are real (0: none).

    ``row_b``: the prompt's row in its lane. ``fresh_b``: it begins here, in the pages of ``page_table_bp``.
    ``view_pages`` pages hold the whole prompt; it depends on the prompt alone, so that its state does not
    depend on others.
    """
    chex.assert_shape([row_b, count_b, fresh_b], (state.plan.lanes,))
    chex.assert_shape([token_bt, page_table_bp], (state.plan.lanes, None))
    at = jnp.arange(state.plan.lanes), row_b
    here = state.prompts
    table_bp = jnp.where(fresh_b[:, None], page_table_bp, here.page_tables[at])
    length_b = jnp.where(fresh_b, 0, here.lengths[at])
    here = dataclasses.replace(
        here, page_tables=here.page_tables.at[at].set(table_bp), lengths=here.lengths.at[at].set(length_b)
    )
    state = dataclasses.replace(state, prompts=here)
    x_btd, cache = model.hidden(token_bt, state.prompt_cache(row_b, view_pages), count_b)
    last = jnp.maximum(count_b - 1, 0)[:, None, None]
    newest_bd = jnp.take_along_axis(x_btd, last, axis=1)[:, 0]
    newest_bd = jnp.where((count_b > 0)[:, None], newest_bd, here.hidden[at])
    here = dataclasses.replace(
        here, lengths=here.lengths.at[at].set(length_b + count_b), hidden=here.hidden.at[at].set(newest_bd)
    )
    return dataclasses.replace(state.with_cache(cache), prompts=here)


def decode(
    model: Transformer, state: EngineState, words: Array, *, steps: int, packing: Packing
) -> tuple[EngineState, Drawn]:
    """Up to ``steps`` tokens for every running sample.

    ``words`` first starts and ends samples: a program of its own would cost the host a dispatch more,
    half a millisecond on a CPU.
    """
    B = state.slots.lengths_b.shape[0]
    chex.assert_shape(words, (B, None))
    state = admission.admit(state, packing.unpack(words))
    token_tb = jnp.full((steps, B), -1, jnp.int32)
    logprob_tb = jnp.zeros((steps, B), jnp.float32)

    def go_on(carry: tuple) -> Array:
        return (carry[0] < steps) & (carry[1].slots.active_b.any())

    def one(carry: tuple) -> tuple:
        step, state, token_tb, logprob_tb = carry
        state, token_b, logprob_b = _draw_and_feed(model, state)
        return (
            step + 1,
            state,
            lax.dynamic_update_slice(token_tb, token_b[None], (step, 0)),
            lax.dynamic_update_slice(logprob_tb, logprob_b[None], (step, 0)),
        )

    start = (jnp.int32(0), state, token_tb, logprob_tb)
    _, state, token_tb, logprob_tb = lax.while_loop(go_on, one, start)
    now = state.slots
    return state, Drawn(token_tb, logprob_tb, now.finish_b, now.active_b, now.generated_b)


def _draw_and_feed(model: Transformer, state: EngineState) -> tuple[EngineState, Array, Array]:
    """Draw a token for every running sample, stop those that are over, feed the others' tokens."""
    slots = state.slots
    logits_bv = model.logits(slots.hidden_bd[:, None])[:, 0]
    with jax.named_scope("sample"):
        # Idle slots are greedy, so that none of them asks for a look at the whole vocabulary.
        temperature_b = jnp.where(slots.active_b, slots.sampler.temperature_b, 0)
        sampler = dataclasses.replace(slots.sampler, temperature_b=temperature_b)
        drawn = sample_tokens(logits_bv, sampler, slots.generated_b)
        slots, token_b, logprob_b = _take(slots, logits_bv, *drawn)
    fed_b = jnp.where(slots.active_b, token_b, 0)
    counts_b = slots.active_b.astype(jnp.int32)
    state = dataclasses.replace(state, slots=slots)
    x_btd, cache = model.hidden(fed_b[:, None], state.slot_cache(), counts_b)
    slots = dataclasses.replace(slots, lengths_b=cache.lengths_b, hidden_bd=x_btd[:, 0])
    return dataclasses.replace(state.with_cache(cache), slots=slots), token_b, logprob_b


def _take(
    slots: Slots, logits_bv: Array, sampled_b: Array, logprob_b: Array, ok_b: Array
) -> tuple[Slots, Array, Array]:
    """The slots after this token, the token (−1: none) and its log-probability."""
    drawn_b = slots.active_b & ok_b
    generated_b = slots.generated_b + drawn_b
    token_b, thoughts = thinking.override(slots.thinking, sampled_b, generated_b, drawn_b)

    def logit(of_b: Array) -> Array:
        return jnp.take_along_axis(logits_bv, of_b[:, None], axis=1)[:, 0]

    forced_b = token_b != sampled_b
    logprob_b = jnp.where(forced_b, logprob_b + logit(token_b) - logit(sampled_b), logprob_b)
    repeats, repeated_b = repetition.update(
        slots.repetition, token_b, generated_b, slots.prompt_len_b, drawn_b
    )
    stops_b = (token_b[:, None] == slots.stop_ids).any(axis=1)
    finish_b = jnp.where(generated_b >= slots.max_tokens_b, LENGTH, RUNNING)
    finish_b = jnp.where(stops_b, STOP, finish_b)
    finish_b = jnp.where(repeated_b, REPETITION, finish_b)
    finish_b = jnp.where(ok_b, finish_b, ERROR)
    slots = dataclasses.replace(
        slots,
        active_b=slots.active_b & (finish_b == RUNNING),
        generated_b=generated_b,
        finish_b=jnp.where(slots.active_b, finish_b, slots.finish_b),
        repetition=repeats,
        thinking=thoughts,
    )
    return slots, jnp.where(drawn_b, token_b, -1), jnp.where(drawn_b, logprob_b, 0)
