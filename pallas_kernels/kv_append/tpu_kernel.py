"""The TPU kernel of `kv_append`: read a touched page, merge the new tokens, write back the rows that changed.

      all sequences          a tile of the page table each → scalar memory, then page by page:

      unit u                 HBM → VMEM (ring slot)                      VMEM → HBM
      (sequence b, page)     keys of the page, all heads [K, p, H] ────► their changed slab [K, s, H]
                             values, changed slab only   [K, s, H] ────► the same slab
                             summaries, a slab of pages  [K, R, s', H]   the same slab, one row new

Decoding (one row a page) keeps reads of the next three units and writes of the last three in flight; a
prefill chunk walks its pages one by one. A slab is the tile that holds the row, or the page when many rows or
the scale change. Letters: K KV heads · p page size · s slab rows · H head dim · R summary vectors.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.quantize import largest_code

LANES = 128


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static shape of one call."""

    page_size: int
    touched: int
    slab: int
    summary_slab: int
    ring: int
    decode: bool
    scaled: bool


class Unit(NamedTuple):
    """A page of a sequence, as the kernel's scalars give it."""

    index: Any
    sequence: jax.Array
    place: jax.Array  # of the page in the text
    begin: jax.Array  # first new row
    end: jax.Array  # of the new rows
    active: jax.Array  # whether it has a token to write


class Refs:
    """The kernel's references by name."""

    def __init__(self, plan: Plan, refs: tuple[Any, ...], summarized: bool) -> None:
        rest = list(refs)
        self.lengths, self.ends, self.rows, self.table, *self.new = rest[:6]
        del rest[:6]
        self.old_scales: Any = rest.pop(0) if plan.scaled else None
        del rest[: 1 + summarized]  # the caches as inputs: the outputs are the same memory
        self.pool = rest.pop(0)
        self.summaries: Any = rest.pop(0) if summarized else None
        self.new_scales: Any = rest.pop(0) if plan.scaled else None
        self.ids, self.keys, self.values = rest.pop(0), rest.pop(0), rest.pop(0)
        self.summary: Any = rest.pop(0) if summarized else None
        self.id_sem, self.read_sems, self.write_sems = rest

    def unit(self, plan: Plan, index: Any) -> Unit:
        """What is to be done in a unit."""
        p, b = plan.page_size, lax.div(index, plan.touched)
        length = self.lengths[b]
        place = lax.div(length, p) + lax.rem(index, plan.touched)
        begin, end = (jnp.clip(tokens - place * p, 0, p) for tokens in (length, self.ends[b]))
        return Unit(index, b, place, begin, end, end > begin)


def slab_start(plan: Plan, unit: Unit) -> Any:
    """First row of the slab that changes."""
    if plan.slab == plan.page_size:
        return 0
    return pl.multiple_of(lax.div(unit.begin, plan.slab) * plan.slab, plan.slab)


def fetch_ids(plan: Plan, refs: Refs, sequences: int) -> None:
    """Bring the entries of the page table that the units ask for into scalar memory."""

    def copy(b: Any) -> Any:
        part = refs.table.at[b, pl.ds(_first_id(plan, refs, b), refs.ids.shape[1])]
        return pltpu.make_async_copy(part, refs.ids.at[b], refs.id_sem)

    lax.fori_loop(0, sequences, lambda b, _: copy(b).start(), None)
    lax.fori_loop(0, sequences, lambda b, _: copy(b).wait(), None)


def _first_id(plan: Plan, refs: Refs, b: Any) -> jax.Array:
    """Where the fetched part of a sequence's page table begins: at a tile, and inside the table."""
    place = lax.div(refs.lengths[b], plan.page_size)
    last = refs.table.shape[1] - refs.ids.shape[1]
    return pl.multiple_of(jnp.minimum(lax.div(place, LANES) * LANES, last), LANES)


def copies(plan: Plan, refs: Refs, unit: Unit, write: bool) -> list[Any]:
    """The copies of a unit, into its ring slot or out of it."""
    slot = lax.rem(unit.index, plan.ring)
    b = unit.sequence
    page = refs.ids[b, unit.place - _first_id(plan, refs, b)]
    rows = pl.ds(slab_start(plan, unit), plan.slab)
    keys, values = refs.keys.at[slot], refs.values.at[slot]
    pairs = [(refs.pool.at[page, :, 1, rows], values)]
    if write:
        pairs.append((refs.pool.at[page, :, 0, rows], keys.at[:, rows]))
    else:
        pairs.append((refs.pool.at[page, :, 0], keys))
    if refs.summaries is not None:
        size = plan.summary_slab
        first = pl.multiple_of(lax.div(unit.place, size) * size, size)
        place = refs.summaries.at[refs.rows[b], :, :, pl.ds(first, size)]
        pairs.append((place, refs.summary.at[slot]))
    if write:
        return [pltpu.make_async_copy(b, a, refs.write_sems.at[slot]) for a, b in pairs]
    return [pltpu.make_async_copy(a, b, refs.read_sems.at[slot]) for a, b in pairs]


def start(plan: Plan, refs: Refs, unit: Unit, write: bool) -> None:
    """Start the copies of a unit."""
    for copy in copies(plan, refs, unit, write):
        copy.start()


def wait(plan: Plan, refs: Refs, unit: Unit, write: bool) -> None:
    """Wait for the copies of a unit."""
    for copy in copies(plan, refs, unit, write):
        copy.wait()


def merge(plan: Plan, refs: Refs, unit: Unit, local: Any) -> None:
    """Put the new rows into the buffers of its slot and bring its summary up to date."""
    slot = lax.rem(unit.index, plan.ring)
    keys, values = refs.keys.at[slot], refs.values.at[slot]
    K, p, H = keys.shape
    begin, end = unit.begin, unit.end
    new_keys, new_values = (new[local].astype(jnp.float32) for new in refs.new)
    if plan.decode:
        new_keys, new_values = new_keys[:, None], new_values[:, None]
    first = slab_start(plan, unit)
    row = first + lax.broadcasted_iota(jnp.int32, (K, plan.slab, H), 1)
    if plan.scaled:  # the slab is the page
        stored = _merge_scaled(refs, local, keys, 0, new_keys, row, begin, end)
        _merge_scaled(refs, local, values, K, new_values, row, begin, end)
    else:
        changed = (slot, slice(None), pl.ds(first, plan.slab))
        _merge_rows(refs.keys, changed, new_keys, row, begin, end)
        _merge_rows(refs.values, slot, new_values, row, begin, end)
        stored = keys[...].astype(jnp.float32)
    if refs.summaries is not None:
        held = lax.broadcasted_iota(jnp.int32, (K, p, H), 1) < end
        column = lax.rem(unit.place, plan.summary_slab)
        _summarize(refs.summary.at[slot], stored, held, end, column)


def _merge_rows(
    ring: Any, place: Any, new: jax.Array, row: jax.Array, begin: jax.Array, end: jax.Array
) -> None:
    """Write the new ones of the rows at a place of the ring."""
    new = jnp.broadcast_to(new, row.shape).astype(ring.dtype).astype(jnp.float32)
    merged = jnp.where(_between(row, begin, end), new, ring[place].astype(jnp.float32))
    ring[place] = merged.astype(ring.dtype)


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


def _summarize(slab: Any, keys_kph: jax.Array, held: jax.Array, count: jax.Array, column: jax.Array) -> None:
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
    """Append the units of a block, with half the ring read ahead and the other half written behind."""
    names = Refs(plan, refs, summarized)
    first = pl.program_id(0) * block
    ahead = plan.ring // 2
    behind = plan.ring - ahead

    def if_active(unit: Unit, act: Any, write: bool) -> None:
        pl.when(unit.active)(lambda: act(plan, names, unit, write))

    def each(begin: Any, end: Any, act: Any, write: bool) -> None:
        """Act on the units from ``begin`` to ``end``."""
        lax.fori_loop(begin, end, lambda index, _: if_active(names.unit(plan, index), act, write), None)

    @pl.when(first == 0)
    def _() -> None:
        fetch_ids(plan, names, units // plan.touched)
        each(0, min(ahead, units), start, write=False)

    def append(local: jax.Array, nothing: None) -> None:
        unit = names.unit(plan, first + local)
        # The next read fills the slot that the oldest write leaves.
        oldest, next_one = unit.index - behind, unit.index + ahead
        pl.when(oldest >= 0)(lambda: if_active(names.unit(plan, oldest), wait, write=True))
        pl.when(next_one < units)(lambda: if_active(names.unit(plan, next_one), start, write=False))
        if_active(unit, wait, write=False)
        merge(plan, names, unit, local)  # without effect on a unit that is not written
        if_active(unit, start, write=True)

    lax.fori_loop(0, block, append, None)

    @pl.when(first + block == units)
    def _() -> None:
        each(max(0, units - behind), units, wait, write=True)
