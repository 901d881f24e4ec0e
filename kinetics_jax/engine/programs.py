"""The three programs that the device runs: read a part of prompts, admit samples, decode a chunk.

All are pure functions of (model, state, …) → state, compiled once per shape and donated their state.
Axis letters: B slots of all lanes · D lanes · U prompt rows of a lane · C prompt tokens of a chunk ·
t decode steps of a chunk · P pages of a sequence · I stop ids.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kinetics_jax.attention import PagedPlan
from kinetics_jax.engine.sampling import SamplerState, sample_tokens
from kinetics_jax.engine.state import (
    ERROR,
    LENGTH,
    RUNNING,
    STOP,
    EngineState,
    Slots,
)
from kinetics_jax.models import Qwen3

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
    model: Qwen3, state: EngineState, row_d: Array, token_dc: Array, count_d: Array,
    fresh_d: Array, page_table_dp: Array, *, view_pages: int,
) -> EngineState:  # fmt: skip
    """The next C tokens of one prompt per lane, of which the first ``count_d`` are real (0: none).

    ``fresh_d``: the lane's prompt begins here, in the pages of ``page_table_dp``. ``view_pages`` pages
    hold the whole prompt; it depends on the prompt alone, so that its state does not depend on others.
    """
    lane = jnp.arange(state.plan.lanes)
    here = state.prompts
    table = jnp.where(fresh_d[:, None], page_table_dp, here.page_table_dup[lane, row_d])
    length = jnp.where(fresh_d, 0, here.lengths_du[lane, row_d])
    here = dataclasses.replace(
        here, page_table_dup=here.page_table_dup.at[lane, row_d].set(table),
        lengths_du=here.lengths_du.at[lane, row_d].set(length),
    )  # fmt: skip
    state = dataclasses.replace(state, prompts=here)
    x_dcm, cache = model.hidden(token_dc, state.prompt_cache(row_d, view_pages), count_d)
    last = jnp.maximum(count_d - 1, 0)[:, None, None]
    newest = jnp.take_along_axis(x_dcm, last, axis=1)[:, 0]
    newest = jnp.where((count_d > 0)[:, None], newest, here.hidden_dum[lane, row_d])
    here = dataclasses.replace(
        here, lengths_du=here.lengths_du.at[lane, row_d].set(length + count_d),
        hidden_dum=here.hidden_dum.at[lane, row_d].set(newest),
    )  # fmt: skip
    return dataclasses.replace(state.with_cache(cache), prompts=here)


class Admitted(NamedTuple):
    """What the host says of slots that change: NumPy arrays over all B slots."""

    start_b: Array
    """bool: a sample begins here."""
    drop_b: Array
    """bool: the sample here ends without another."""
    row_b: Array
    page_table_bp: Array
    copy_from_b: Array
    copy_to_b: Array
    max_tokens_b: Array
    stop_ids_bi: Array
    streams_b: Array
    sampler: SamplerState


def admit(state: EngineState, new: Admitted) -> EngineState:
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
        finish_b=put(zero_b + RUNNING, old.finish_b), generated_b=put(zero_b, old.generated_b),
        max_tokens_b=put(new.max_tokens_b, old.max_tokens_b),
        stop_ids_bi=put(new.stop_ids_bi, old.stop_ids_bi),
        streams_b=put(new.streams_b, old.streams_b),
        sampler=jax.tree.map(put, new.sampler, old.sampler),
    )  # fmt: skip
    return dataclasses.replace(state, kv_pages=kv_pages, summaries=summaries, slots=slots)


def _copy(plan: PagedPlan, state: EngineState, new: Admitted) -> tuple[Array, Array | None]:
    """The pool and summaries once each new sample has its own copy of what its prompt half filled."""
    arguments = (state.kv_pages, state.summaries, new.start_b, new.row_b, new.copy_from_b,
                 new.copy_to_b)  # fmt: skip
    local = functools.partial(_copy_local, plan)
    if plan.sharding is None:
        return local(*arguments)
    specs = plan.specs()
    row, out = specs.lengths_b, (specs.kv_pages, specs.summaries)
    return jax.shard_map(
        local, mesh=plan.sharding.mesh, in_specs=(*out, row, row, row, row), out_specs=out,
        check_vma=False,
    )(*arguments)  # fmt: skip


def _copy_local(
    plan: PagedPlan, pool: Array, summaries: Array | None, start_b: Array, row_b: Array,
    from_b: Array, to_b: Array,
) -> tuple[Array, Array | None]:  # fmt: skip
    """One lane: slot by slot, in place, of those that start."""
    order_b = jnp.argsort(~start_b)
    L, slots = plan.num_layers, start_b.shape[0]

    def one(i: Array, arrays: tuple[Array, Array | None]) -> tuple[Array, Array | None]:
        pool, summaries = arrays
        b = order_b[i]
        pool = _copy_row(pool, L, from_b[b], to_b[b])
        if summaries is not None:
            summaries = _copy_row(summaries, L, slots + row_b[b], b)
        return pool, summaries

    return lax.fori_loop(0, start_b.sum(), one, (pool, summaries))


def _copy_row(stacked: Array, layers: int, source: Array, target: Array) -> Array:
    """``stacked`` [L·rows, …] with row ``source`` of every layer copied to row ``target``."""
    by_layer = stacked.reshape(layers, -1, *stacked.shape[1:])
    row = lax.dynamic_slice_in_dim(by_layer, source, 1, axis=1)
    return lax.dynamic_update_slice_in_dim(by_layer, row, target, axis=1).reshape(stacked.shape)


def decode(
    model: Qwen3, state: EngineState, min_active: Array, *, steps: int
) -> tuple[EngineState, Drawn]:
    """Up to ``steps`` tokens for every running sample, while at least ``min_active`` are running."""
    B = state.slots.lengths_b.shape[0]
    token_tb = jnp.full((steps, B), -1, jnp.int32)
    logprob_tb = jnp.zeros((steps, B), jnp.float32)

    def go_on(carry: tuple) -> Array:
        return (carry[0] < steps) & (carry[1].slots.active_b.sum() >= min_active)

    def one(carry: tuple) -> tuple:
        step, state, token_tb, logprob_tb = carry
        state, token_b, logprob_b = _draw_and_feed(model, state)
        return (
            step + 1, state, lax.dynamic_update_slice(token_tb, token_b[None], (step, 0)),
            lax.dynamic_update_slice(logprob_tb, logprob_b[None], (step, 0)),
        )  # fmt: skip

    start = (jnp.int32(0), state, token_tb, logprob_tb)
    _, state, token_tb, logprob_tb = lax.while_loop(go_on, one, start)
    now = state.slots
    return state, Drawn(token_tb, logprob_tb, now.finish_b, now.active_b, now.generated_b)


def _draw_and_feed(model: Qwen3, state: EngineState) -> tuple[EngineState, Array, Array]:
    """Draw a token for every running sample, stop those that are over, feed the others' tokens."""
    slots = state.slots
    logits_bv = model.logits(slots.hidden_bm[:, None])[:, 0]
    with jax.named_scope("sample"):
        token_b, logprob_b, ok_b = sample_tokens(logits_bv, slots.sampler, slots.generated_b)
        drawn_b = slots.active_b & ok_b
        generated_b = slots.generated_b + drawn_b
        finish_b = _finish(slots, token_b, ok_b, generated_b)
    going_b = slots.active_b & (finish_b == RUNNING)
    fed_b = jnp.where(going_b, token_b, 0)
    x_btm, cache = model.hidden(fed_b[:, None], state.slot_cache(), going_b.astype(jnp.int32))
    slots = dataclasses.replace(
        slots, lengths_b=cache.lengths_b, hidden_bm=x_btm[:, 0], active_b=going_b,
        finish_b=jnp.where(slots.active_b, finish_b, slots.finish_b), generated_b=generated_b,
    )  # fmt: skip
    state = dataclasses.replace(state.with_cache(cache), slots=slots)
    return state, jnp.where(drawn_b, token_b, -1), jnp.where(drawn_b, logprob_b, 0)


def _finish(slots: Slots, token_b: Array, ok_b: Array, generated_b: Array) -> Array:
    """Why each slot is over with this token, or ``RUNNING``."""
    stops_b = (token_b[:, None] == slots.stop_ids_bi).any(axis=1)
    finish_b = jnp.where(generated_b >= slots.max_tokens_b, LENGTH, RUNNING)
    finish_b = jnp.where(stops_b, STOP, finish_b)
    return jnp.where(ok_b, finish_b, ERROR)
