"""The TPU kernel of `kv_append`: read a touched page, merge the new tokens, write back the rows that changed.

      unit u                 HBM → VMEM (ring slot)                      VMEM → HBM
      (sequence b, page)     keys of the page, all heads [K, p, H] ────► their changed slab [K, s, H]
                             values, changed slab only   [K, s, H] ────► the same slab
                             summaries, a slab of pages  [K, R, s', H]   the same slab, one row new

Decoding (one row a page) keeps reads of the next two units and writes of the last two in flight; a prefill
chunk walks its pages one by one. A slab is the tile that holds the row, or the page when many rows or
the scale change. Letters: K KV heads · p page size · s slab rows · H head dim · R summary vectors.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.quantize import largest_code

FIELDS = 5  # page, place in the text, first new row, end of the new rows, row of summaries


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static shape of one call."""

    page_size: int
    slab: int
    summary_slab: int
    ring: int
    decode: bool
    scaled: bool


class Refs:
    """The kernel's references by name."""

    def __init__(self, plan: Plan, refs: tuple[Any, ...], summarized: bool) -> None:
        rest = list(refs)
        self.table, self.new = rest.pop(0), rest.pop(0)
        self.old_scales: Any = rest.pop(0) if plan.scaled else None
        del rest[: 1 + summarized]  # the caches as inputs: the outputs are the same memory
        self.pool = rest.pop(0)
        self.summaries: Any = rest.pop(0) if summarized else None
        self.new_scales: Any = rest.pop(0) if plan.scaled else None
        self.keys, self.values = rest.pop(0), rest.pop(0)
        self.summary: Any = rest.pop(0) if summarized else None
        self.read_sems, self.write_sems = rest

    def field(self, unit: Any, index: int) -> jax.Array:
        """A number of a unit's row in the table."""
        return self.table[unit * FIELDS + index]

    def active(self, unit: Any) -> jax.Array:
        """Whether a unit has a token to write."""
        return self.field(unit, 3) > self.field(unit, 2)


def slab_start(plan: Plan, refs: Refs, unit: Any) -> jax.Array:
    """First row of the slab that changes."""
    if plan.slab == plan.page_size:
        return jnp.int32(0)
    return pl.multiple_of(lax.div(refs.field(unit, 2), plan.slab) * plan.slab, plan.slab)


def copies(plan: Plan, refs: Refs, unit: Any, slot: Any, write: bool) -> list[Any]:
    """The copies of a unit, into its ring slot or out of it."""
    page = refs.field(unit, 0)
    rows = pl.ds(slab_start(plan, refs, unit), plan.slab)
    keys, values = refs.keys.at[slot], refs.values.at[slot]
    pairs = [(refs.pool.at[page, :, 1, rows], values)]
    if write:
        pairs.append((refs.pool.at[page, :, 0, rows], keys.at[:, rows]))
    else:
        pairs.append((refs.pool.at[page, :, 0], keys))
    if refs.summaries is not None:
        size = plan.summary_slab
        first = pl.multiple_of(lax.div(refs.field(unit, 1), size) * size, size)
        place = refs.summaries.at[refs.field(unit, 4), :, :, pl.ds(first, size)]
        pairs.append((place, refs.summary.at[slot]))
    if write:
        return [pltpu.make_async_copy(b, a, refs.write_sems.at[slot]) for a, b in pairs]
    return [pltpu.make_async_copy(a, b, refs.read_sems.at[slot]) for a, b in pairs]


def start(plan: Plan, refs: Refs, unit: Any, slot: Any, write: bool) -> None:
    """Start the copies of a unit."""
    for copy in copies(plan, refs, unit, slot, write):
        copy.start()


def wait(plan: Plan, refs: Refs, unit: Any, slot: Any, write: bool) -> None:
    """Wait for the copies of a unit."""
    for copy in copies(plan, refs, unit, slot, write):
        copy.wait()


def merge(plan: Plan, refs: Refs, unit: Any, local: Any, slot: Any) -> None:
    """Put the new rows into the buffers of ``slot`` and bring its summary up to date."""
    keys, values = refs.keys.at[slot], refs.values.at[slot]
    K, p, H = keys.shape
    begin, end = refs.field(unit, 2), refs.field(unit, 3)
    new_keys, new_values = refs.new[local, :K], refs.new[local, K:]
    row_k = lax.broadcasted_iota(jnp.int32, (K, p, H), 1)
    shape = (K, plan.slab, H)
    row_v = lax.broadcasted_iota(jnp.int32, shape, 1) + slab_start(plan, refs, unit)
    if plan.scaled:
        stored = _merge_scaled(refs, local, keys, 0, new_keys, row_k, begin, end)
        _merge_scaled(refs, local, values, K, new_values, row_v, begin, end)
    else:
        stored = _merge_rows(keys, new_keys, row_k, begin, end)
        _merge_rows(values, new_values, row_v, begin, end)
    if refs.summaries is not None:
        column = lax.rem(refs.field(unit, 1), plan.summary_slab)
        _summarize(refs.summary.at[slot], stored, row_k < end, end, column)


def _merge_rows(
    buffer: Any, new: jax.Array, row: jax.Array, begin: jax.Array, end: jax.Array
) -> jax.Array:
    """Write the new rows into the buffer; what it then holds, in f32."""
    fresh = _between(row, begin, end)
    new = jnp.broadcast_to(new, row.shape).astype(buffer.dtype).astype(jnp.float32)
    merged = jnp.where(fresh, new, buffer[...].astype(jnp.float32))
    buffer[...] = merged.astype(buffer.dtype)
    return merged


def _merge_scaled(
    refs: Refs,
    local: Any,
    buffer: Any,
    first: int,
    new: jax.Array,
    row: jax.Array,
    begin: jax.Array,
    end: jax.Array,
) -> jax.Array:
    """`quantize.requantize` of one page, in the buffer; the numbers it then stands for, in f32."""
    largest = largest_code(buffer.dtype)
    K = row.shape[0]
    fresh = _between(row, begin, end)
    new = jnp.where(fresh, jnp.broadcast_to(new, row.shape), 0.0)
    magnitude = jnp.max(jnp.max(jnp.abs(new), axis=2, keepdims=True), axis=1, keepdims=True)
    old_scale = refs.old_scales[local, first : first + K][:, None, :]  # the same in all lanes
    had = jnp.where(begin > 0, old_scale, 0.0)
    scale = jnp.maximum(had, jnp.broadcast_to(magnitude / largest, had.shape))
    safe = jnp.where(scale == 0, 1.0, scale)
    kept = jnp.where(row < begin, buffer[...].astype(jnp.float32), 0.0) * (had / safe)
    code = jnp.clip(jnp.where(fresh, new / safe, kept), -largest, largest)
    if buffer.dtype == jnp.int8:
        buffer[...] = jnp.round(code).astype(jnp.int32).astype(jnp.int8)
    else:
        buffer[...] = code.astype(buffer.dtype)
    refs.new_scales[local, first : first + K] = scale[:, 0]
    return buffer[...].astype(jnp.float32) * scale


def _between(row: jax.Array, begin: jax.Array, end: jax.Array) -> jax.Array:
    return (row >= begin) & (row < end)


def _summarize(
    slab: Any, keys_kph: jax.Array, held: jax.Array, count: jax.Array, column: jax.Array
) -> None:
    """Replace one row of a slab of summaries ``[K, R, s', H]`` by that of the page's keys."""
    if slab.shape[1] == 1:
        total = jnp.where(held, keys_kph, 0.0).sum(axis=1, keepdims=True)
        vectors = [total / count.astype(jnp.float32)]
    else:
        vectors = [
            jnp.where(held, keys_kph, jnp.inf).min(axis=1, keepdims=True),
            jnp.where(held, keys_kph, -jnp.inf).max(axis=1, keepdims=True),
        ]
    for r, vector in enumerate(vectors):
        old = slab[:, r].astype(jnp.float32)
        here = lax.broadcasted_iota(jnp.int32, old.shape, 1) == column
        slab[:, r] = jnp.where(here, vector, old).astype(slab.dtype)


def kernel(*refs: Any, plan: Plan, units: int, block: int, summarized: bool) -> None:
    """Append the units of a block."""
    names = Refs(plan, refs, summarized)
    first = pl.program_id(0) * block
    body = _piped if plan.ring > 1 else _one_by_one

    def append(local: jax.Array, nothing: int) -> int:
        body(plan, names, first + local, local, units)
        return nothing

    lax.fori_loop(0, block, append, 0)


def _one_by_one(plan: Plan, refs: Refs, unit: jax.Array, local: jax.Array, units: int) -> None:
    del units

    @pl.when(refs.active(unit))
    def _() -> None:
        start(plan, refs, unit, 0, write=False)
        wait(plan, refs, unit, 0, write=False)
        merge(plan, refs, unit, local, 0)
        start(plan, refs, unit, 0, write=True)
        wait(plan, refs, unit, 0, write=True)


def _piped(plan: Plan, refs: Refs, unit: jax.Array, local: jax.Array, units: int) -> None:
    """Half the ring is being read ahead, the other half written behind."""
    ahead = plan.ring // 2

    def when(index: Any, exists: Any, action: Any, write: bool) -> None:
        safe = jnp.where(exists, index, 0)

        @pl.when(exists & refs.active(safe))
        def _() -> None:
            action(plan, refs, safe, lax.rem(safe, plan.ring), write)

    @pl.when(unit == 0)
    def _() -> None:
        for index in range(min(ahead, units)):
            when(jnp.int32(index), True, start, False)

    behind = unit + ahead - plan.ring  # it used the slot that the read ahead will fill
    when(behind, behind >= 0, wait, True)
    when(unit + ahead, unit + ahead < units, start, False)
    when(unit, unit >= 0, wait, False)

    @pl.when(refs.active(unit))
    def _() -> None:
        merge(plan, refs, unit, local, lax.rem(unit, plan.ring))

    when(unit, unit >= 0, start, True)

    @pl.when(unit == units - 1)
    def _() -> None:
        for back in range(plan.ring - ahead):
            index = jnp.int32(units - 1 - back)
            when(index, index >= 0, wait, True)
