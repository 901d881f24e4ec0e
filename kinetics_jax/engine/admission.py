"""Starting samples in slots: what the host says of them, and what the device does with it.

Axis letters: B slots of all lanes · L layers · P pages of a sequence.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kinetics_jax.attention import PagedCache, PagedPlan
from kinetics_jax.engine.requests import Request
from kinetics_jax.engine.sampler import SamplerState, ThinkingState, repetition, thinking
from kinetics_jax.engine.schedule import Admission
from kinetics_jax.engine.state import RUNNING, EngineState, Slots, StateSizes

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Start:
    """One admission with what its sample asks of the device."""

    slot: int
    """Of all B."""
    admission: Admission
    request: Request
    key: np.ndarray


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
    stop_ids: Any
    """[B, most stop ids]; −1 fills up."""
    streams_b: Any
    sampler: SamplerState
    thinking: ThinkingState


def nobody(slots: int, sizes: StateSizes) -> Admitted:
    """An admission of no sample, as NumPy arrays; ``slots`` of all lanes."""
    zero_b = np.zeros(slots, np.int32)
    return Admitted(
        start_b=zero_b.astype(bool),
        drop_b=zero_b.astype(bool),
        row_b=zero_b,
        page_table_bp=np.zeros((slots, sizes.pages_per_sequence), np.int32),
        copy_from_b=zero_b,
        copy_to_b=zero_b,
        max_tokens_b=zero_b,
        stop_ids=np.full((slots, sizes.stop_ids), -1, np.int32),
        streams_b=zero_b,
        sampler=jax.tree.map(np.asarray, SamplerState.init(slots)),
        thinking=thinking.rows([None] * slots),
    )


def write(new: Admitted, starts: Sequence[Start]) -> None:
    """Say of these samples' slots that they start; ``new`` is of arrays that can be written to."""
    slots, keys = [s.slot for s in starts], np.stack([s.key for s in starts])
    asked = [s.request.decoding for s in starts]
    _put(new.sampler, slots, SamplerState.of([a.sampling for a in asked], keys))
    if any(a.thinking_budget for a in asked):
        _put(new.thinking, slots, thinking.rows([a.thinking_budget for a in asked]))
    new.start_b[slots] = True
    # A stream is 31 bits of the key, so that random selection follows the sample, not its slot.
    new.streams_b[slots] = (keys[:, 0] ^ keys[:, 1]) & 0x7FFFFFFF
    for slot, s in zip(slots, starts, strict=True):
        taken, request = s.admission, s.request
        new.row_b[slot], new.max_tokens_b[slot] = taken.row, request.max_tokens
        new.copy_from_b[slot], new.copy_to_b[slot] = taken.copy_from, taken.copy_to
        new.page_table_bp[slot, : len(taken.pages)] = taken.pages
        new.stop_ids[slot, : len(request.stop_ids)] = request.stop_ids


def _put(arrays: Any, slots: list[int], rows: Any) -> None:
    """Write ``rows`` to these slots of a tree of arrays."""
    for array, new in zip(jax.tree.leaves(arrays), jax.tree.leaves(rows), strict=True):
        array[slots] = new


def admit(state: EngineState, new: Admitted) -> EngineState:
    """Start samples from their prompts: shared pages by table, the partly filled one copied."""
    plan, old = state.plan, state.slots
    lane_b = jnp.arange(old.lengths_b.shape[0]) // state.slots_per_lane
    kv_pages, summaries = _copy(plan, state, new)
    prompt_len_b = state.prompts.lengths[lane_b, new.row_b]

    def put(fresh: Array, kept: Array) -> Array:
        return jnp.where(new.start_b.reshape(-1, *[1] * (kept.ndim - 1)), fresh, kept)

    zero_b = jnp.zeros_like(old.lengths_b)
    slots = Slots(
        page_table_bp=put(new.page_table_bp, old.page_table_bp),
        lengths_b=put(prompt_len_b, old.lengths_b),
        hidden_bd=put(state.prompts.hidden[lane_b, new.row_b], old.hidden_bd),
        active_b=(old.active_b & ~new.drop_b) | new.start_b,
        finish_b=put(zero_b + RUNNING, old.finish_b),
        generated_b=put(zero_b, old.generated_b),
        max_tokens_b=put(new.max_tokens_b, old.max_tokens_b),
        prompt_len_b=put(prompt_len_b, old.prompt_len_b),
        stop_ids=put(new.stop_ids, old.stop_ids),
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
    specs = PagedCache.specs(plan)
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
