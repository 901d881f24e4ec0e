"""The two programs that the device runs: read a part of prompts; admit samples and decode a chunk.

All are pure functions of (model, state, …) → state, compiled once per shape and donated their state.
Axis letters: B slots of all lanes · D lanes · U prompt rows of a lane · C prompt tokens of a chunk ·
t decode steps of a chunk · P pages of a sequence · I stop ids.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kinetics_jax.attention import PagedPlan
from kinetics_jax.engine.packing import Packing
from kinetics_jax.engine.sampler import repetition, thinking
from kinetics_jax.engine.sampler.sampling import SamplerState, sample_tokens
from kinetics_jax.engine.sampler.thinking import ThinkingState
from kinetics_jax.engine.state import ERROR, LENGTH, REPETITION, RUNNING, STOP, EngineState, Slots
from kinetics_jax.models import Transformer

Array = jax.Array


class Drawn(NamedTuple):
    """What a decode chunk brought, for the host: small, and the same on every process."""

    token_tb: Array
    """int32 tokens in the order they were drawn; −1 where a slot was not running."""
    logprob_tb: Array
    """float32 log-probability of each under the model's unfiltered distribution."""
    finish_b: Array
    """Why a slot stopped, or ``RUNNING``."""
    active_b: Array
    generated_b: Array


def read_prompts(
    model: Transformer,
    state: EngineState,
    row_d: Array,
    token_dc: Array,
    count_d: Array,
    fresh_d: Array,
    page_table_dp: Array,
    *,
    view_pages: int,
) -> EngineState:
    """The next C tokens of one prompt per lane, of which the first ``count_d`` are real (0: none).

    ``fresh_d``: the lane's prompt begins here, in the pages of ``page_table_dp``. ``view_pages`` pages
    hold the whole prompt; it depends on the prompt alone, so that its state does not depend on others.
    """
    lane = jnp.arange(state.plan.lanes)
    here = state.prompts
    table = jnp.where(fresh_d[:, None], page_table_dp, here.page_table_dup[lane, row_d])
    length = jnp.where(fresh_d, 0, here.lengths_du[lane, row_d])
    here = dataclasses.replace(
        here,
        page_table_dup=here.page_table_dup.at[lane, row_d].set(table),
        lengths_du=here.lengths_du.at[lane, row_d].set(length),
    )
    state = dataclasses.replace(state, prompts=here)
    x_dcm, cache = model.hidden(token_dc, state.prompt_cache(row_d, view_pages), count_d)
    last = jnp.maximum(count_d - 1, 0)[:, None, None]
    newest = jnp.take_along_axis(x_dcm, last, axis=1)[:, 0]
    newest = jnp.where((count_d > 0)[:, None], newest, here.hidden_dum[lane, row_d])
    here = dataclasses.replace(
        here,
        lengths_du=here.lengths_du.at[lane, row_d].set(length + count_d),
        hidden_dum=here.hidden_dum.at[lane, row_d].set(newest),
    )
    return dataclasses.replace(state.with_cache(cache), prompts=here)


class Admitted(NamedTuple):
    """What the host says of slots that change, over all B slots; it travels as one array of words."""

    start_b: Any
    """bool: a sample begins here."""
    drop_b: Any
    """bool: the sample here ends without another."""
    row_b: Any
    page_table_bp: Any
    copy_from_b: Any
    copy_to_b: Any
    max_tokens_b: Any
    stop_ids_bi: Any
    streams_b: Any
    sampler: SamplerState
    thinking: ThinkingState


def _admit(state: EngineState, new: Admitted) -> EngineState:
    """Start samples from their prompts: shared pages by table, the partly filled one copied."""
    plan, old = state.plan, state.slots
    lane_b = jnp.arange(old.lengths_b.shape[0]) // state.slots_per_lane
    kv_pages, summaries = _copy(plan, state, new)

    def put(fresh: Array, kept: Array) -> Array:
        return jnp.where(new.start_b.reshape(-1, *[1] * (kept.ndim - 1)), fresh, kept)

    zero_b = jnp.zeros_like(old.lengths_b)
    slots = Slots(
        page_table_bp=put(new.page_table_bp, old.page_table_bp),
        lengths_b=put(state.prompts.lengths_du[lane_b, new.row_b], old.lengths_b),
        hidden_bm=put(state.prompts.hidden_dum[lane_b, new.row_b], old.hidden_bm),
        active_b=(old.active_b & ~new.drop_b) | new.start_b,
        finish_b=put(zero_b + RUNNING, old.finish_b),
        generated_b=put(zero_b, old.generated_b),
        max_tokens_b=put(new.max_tokens_b, old.max_tokens_b),
        stop_ids_bi=put(new.stop_ids_bi, old.stop_ids_bi),
        prompt_len_b=put(state.prompts.lengths_du[lane_b, new.row_b], old.prompt_len_b),
        streams_b=put(new.streams_b, old.streams_b),
        sampler=jax.tree.map(put, new.sampler, old.sampler),
        repetition=repetition.reset(old.repetition, new.start_b),
        thinking=jax.tree.map(put, new.thinking, old.thinking),
    )
    return dataclasses.replace(state, kv_pages=kv_pages, summaries=summaries, slots=slots)


def _copy(plan: PagedPlan, state: EngineState, new: Admitted) -> tuple[Array, Array | None]:
    """The pool and summaries once each new sample has its own copy of what its prompt half filled."""
    arguments = (state.kv_pages, state.summaries, new.start_b, new.row_b, new.copy_from_b, new.copy_to_b)
    local = functools.partial(_copy_local, plan)
    if plan.sharding is None:
        return local(*arguments)
    specs = plan.specs()
    row, out = specs.lengths_b, (specs.kv_pages, specs.summaries)
    return jax.shard_map(
        local, mesh=plan.sharding.mesh, in_specs=(*out, row, row, row, row), out_specs=out, check_vma=False
    )(*arguments)


def _copy_local(
    plan: PagedPlan,
    pool: Array,
    summaries: Array | None,
    start_b: Array,
    row_b: Array,
    from_b: Array,
    to_b: Array,
) -> tuple[Array, Array | None]:
    """One lane: slot by slot and layer by layer, in place, of those that start.

    Rows of axis 0 only: a slice over a layer axis makes XLA copy the pool to another layout.
    """
    order_b = jnp.argsort(~start_b)
    L, slots = plan.num_layers, start_b.shape[0]

    def one(i: Array, arrays: tuple[Array, Array | None]) -> tuple[Array, Array | None]:
        pool, summaries = arrays
        b, layer = order_b[i // L], i % L
        first = layer * plan.pool_pages
        pool = _copy_row(pool, first + from_b[b], first + to_b[b])
        if summaries is not None:
            first = layer * plan.rows
            summaries = _copy_row(summaries, first + slots + row_b[b], first + b)
        return pool, summaries

    return lax.fori_loop(0, start_b.sum() * L, one, (pool, summaries))


def _copy_row(array: Array, source: Array, target: Array) -> Array:
    """``array`` with row ``source`` copied to row ``target``."""
    row = lax.dynamic_slice_in_dim(array, source, 1)
    return lax.dynamic_update_slice_in_dim(array, row, target, axis=0)


def decode(
    model: Transformer,
    state: EngineState,
    words_bw: Array,
    min_active: Array,
    *,
    steps: int,
    packing: Packing,
) -> tuple[EngineState, Drawn]:
    """Up to ``steps`` tokens for every running sample, while at least ``min_active`` are running.

    ``words_bw`` first starts and ends samples: a program of its own would cost the host a dispatch more,
    half a millisecond on a CPU.
    """
    state = _admit(state, packing.unpack(words_bw))
    B = state.slots.lengths_b.shape[0]
    token_tb = jnp.full((steps, B), -1, jnp.int32)
    logprob_tb = jnp.zeros((steps, B), jnp.float32)

    def go_on(carry: tuple) -> Array:
        return (carry[0] < steps) & (carry[1].slots.active_b.sum() >= min_active)

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
    logits_bv = model.logits(slots.hidden_bm[:, None])[:, 0]
    with jax.named_scope("sample"):
        # Idle slots are greedy, so that none of them asks for a look at the whole vocabulary.
        heat_b = jnp.where(slots.active_b, slots.sampler.temperature_b, 0)
        sampler = dataclasses.replace(slots.sampler, temperature_b=heat_b)
        drawn = sample_tokens(logits_bv, sampler, slots.generated_b)
        slots, token_b, logprob_b = _take(slots, logits_bv, *drawn)
    fed_b = jnp.where(slots.active_b, token_b, 0)
    counts_b = slots.active_b.astype(jnp.int32)
    state = dataclasses.replace(state, slots=slots)
    x_btm, cache = model.hidden(fed_b[:, None], state.slot_cache(), counts_b)
    slots = dataclasses.replace(slots, lengths_b=cache.lengths_b, hidden_bm=x_btm[:, 0])
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
    stops_b = (token_b[:, None] == slots.stop_ids_bi).any(axis=1)
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
