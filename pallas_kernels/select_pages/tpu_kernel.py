"""Page selection on TPU without a sort: bisect for the J-th rank, number the winners, read off their ids.

XLA sorts whole rows to take a few and then gathers the page table one id at a time; here 32 halvings of the
int32 range find the J-th largest key of a row, a product with a triangle of ones numbers the winners, and J
masked sums read the physical ids off the page table:

      scores ▂▇▃▅▁▆▂▅ ──► keys ── 32 × count(keys ≥ middle) ──► the J-th key ──► winners  0 1 0 1 0 1 0 0
                                                      (ties: oldest first)     · 3 · 2 · 1 · ·  backwards
      table  9 4 7 2 8 0 1 5 ── Σ table where number = j + 1 ──────────────────► ids      0 2 4
Letters: r rows (sequence, KV head) · P pages · J listed pages · h rows that share a row of the table.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.select_pages.api import SelectPages
from pallas_kernels.tuning import tuned

LANES = 128
SUBLANES = 8
# What hides the waits for the cross-lane unit:
BLOCK = 1 << 19  # scores of a grid step, 2 MiB: other rows
SMALL = 1 << 16  # keys of a step, at most, of which two bits are taken at once
UNROLL = 16  # ids read off at once


def top_pages(
    call: SelectPages, scores_rp: jax.Array, pages_b: jax.Array, table_qp: jax.Array, interpret: Any
) -> jax.Array:
    """``[r, J]`` int32: the table's entries at the J best pages of each row, newest first; 0 past the last.

    Args:
        call: says J and which pages are always listed.
        scores_rp: ``[r, P]`` f32.
        pages_b: ``[B]`` int32 pages that exist; each is that of r / B rows.
        table_qp: ``[r / h, P]`` int32 below 2²⁴; row q belongs to the rows q·h … q·h + h − 1 of the scores,
            where h is 1 or a multiple of 8.
        interpret: as `pl.pallas_call` takes it.

    """
    J = call.top_k
    count, P = scores_rp.shape
    share = count // table_qp.shape[0]
    cores = tuned("select_pages")["cores"]
    # A block is whole tiles of the scores and of the table, or a core's part of all there is.
    step = share * SUBLANES
    rows = -(-count // SUBLANES) * SUBLANES
    whole_table = rows * P <= BLOCK
    if not whole_table:
        rows = min(max(1, BLOCK // (P * step)), -(-count // step)) * step
    elif count % (cores * math.lcm(share, SUBLANES)) == 0:
        rows = count // cores
    above = [(0, -count % rows), (0, -P % LANES)]
    scores = jnp.pad(scores_rp, above)
    table = jnp.pad(table_qp, [(0, (-count % rows) // share), above[1]])
    width = -(-J // LANES) * LANES

    def block(height: int, across: int) -> pl.BlockSpec:
        return pl.BlockSpec((height, across), lambda i: (i, 0))

    def whole(array: jax.Array) -> pl.BlockSpec:
        return pl.BlockSpec(array.shape, lambda i: (0, 0))

    ids = pl.pallas_call(
        functools.partial(_kernel, J=J, share=share, heads=count // pages_b.shape[0], rank=call.rank),
        grid=(scores.shape[0] // rows,),
        in_specs=[
            block(rows, scores.shape[1]),
            whole(pages_b[None]),
            whole(table) if whole_table else block(rows // share, scores.shape[1]),
        ],
        out_specs=block(rows, width),
        out_shape=jax.ShapeDtypeStruct((scores.shape[0], width), jnp.int32),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",), vmem_limit_bytes=32 << 20),
        cost_estimate=pl.CostEstimate(
            flops=count * P * 2 * (32 + J + 4 * LANES),
            transcendentals=0,
            bytes_accessed=4 * (count * (P + J) + table_qp.size),
        ),
        interpret=interpret,
        name="select_pages",
    )(scores, pages_b[None], table)
    return ids[:count, :J]


def _kernel(
    scores_ref: Any,
    pages_ref: Any,
    table_ref: Any,
    ids_ref: Any,
    *,
    J: int,
    share: int,
    heads: int,
    rank: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
) -> None:
    rows, P = scores_ref.shape
    page = lax.broadcasted_iota(jnp.int32, (rows, P), 1)
    pages = _of_rows(pages_ref[...], rows, heads)
    ranks = rank(scores_ref[...], page, pages - 1)
    exists = page < pages
    bits = lax.bitcast_convert_type(ranks, jnp.int32)
    # Negative floats order backwards as integers: flip all but their sign.
    key = jnp.where(bits < 0, bits ^ jnp.int32(0x7FFFFFFF), bits)
    last = _jth_key(key, J)
    above = jnp.where(key > last, 1.0, 0.0)
    ties = jnp.where(key == last, 1.0, 0.0)
    room = J - above.sum(axis=1, keepdims=True)
    chosen = above + jnp.where(_running_count(ties) <= room, ties, 0.0)
    chosen = jnp.where(exists, chosen, 0.0)
    number = chosen.sum(axis=1, keepdims=True) + 1 - _running_count(chosen)
    number = jnp.where(chosen > 0, number, 0.0)
    own = rows // share  # of the table's rows: of a whole table those of this step
    table = table_ref[:own]
    for part in range(1, table_ref.shape[0] // own):
        here = pl.program_id(0) == part
        table = jnp.where(here, table_ref[part * own : (part + 1) * own], table)
    table = table.astype(jnp.float32)  # exact below 2²⁴, and the cross-lane unit sums floats
    if share > 1:
        table = jnp.broadcast_to(table[:, None], (rows // share, share, P)).reshape(rows, P)
    column = lax.broadcasted_iota(jnp.int32, ids_ref.shape, 1)

    def read_off(j: jax.Array, found: jax.Array) -> jax.Array:
        entry = jnp.zeros((rows, LANES), jnp.float32)
        for start in range(0, P, LANES):  # one lane of one tile holds it
            tile = slice(start, start + LANES)
            entry = jnp.where(number[:, tile] == (j + 1).astype(jnp.float32), table[:, tile], entry)
        entry = entry.sum(axis=1, keepdims=True)
        return jnp.where(column == j, entry.astype(jnp.int32), found)

    nothing = jnp.zeros(ids_ref.shape, jnp.int32)
    ids_ref[...] = lax.fori_loop(0, J, read_off, nothing, unroll=min(UNROLL, J))


def _of_rows(pages_1b: jax.Array, rows: int, heads: int) -> jax.Array:
    """``[rows, 1]`` the pages of each row's sequence; 0 for rows past the last."""
    shape = (rows, pages_1b.shape[1])
    row = pl.program_id(0) * rows + lax.broadcasted_iota(jnp.int32, shape, 0)
    first = heads * lax.broadcasted_iota(jnp.int32, shape, 1)
    mine = jnp.where((row >= first) & (row < first + heads), pages_1b.astype(jnp.float32), 0.0)
    return mine.sum(axis=1, keepdims=True).astype(jnp.int32)


def _jth_key(key: jax.Array, J: int) -> jax.Array:
    """``[r, 1]`` the largest number that at least J of the row's keys reach, from its first bits on."""
    bits = 2 if key.size <= SMALL else 1  # several at once, where sums would only be waited for

    def narrow(i: jax.Array, found: jax.Array) -> jax.Array:
        unit = jnp.int32(1) << (32 - bits * (i + 1))
        reached = jnp.zeros_like(found)
        for digit in range(1, 1 << bits):
            count = jnp.where(key >= found + digit * unit, 1.0, 0.0).sum(axis=1, keepdims=True)
            reached += jnp.where(count >= J, 1, 0)
        return found + reached * unit

    least = jnp.full((key.shape[0], 1), -(2**31), jnp.int32)
    return lax.fori_loop(0, 32 // bits, narrow, least, unroll=4)


def _running_count(ones: jax.Array) -> jax.Array:
    """Inclusive running sum along the lanes: per 128 a product with a triangle, exact in one bf16 pass."""
    shape = (LANES, LANES)
    row, column = (lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    triangle = jnp.where(row <= column, 1.0, 0.0)
    sums, before = [], jnp.zeros((ones.shape[0], 1), jnp.float32)
    for start in range(0, ones.shape[1], LANES):
        part = ones[:, start : start + LANES]
        sums.append(lax.dot(part, triangle, preferred_element_type=jnp.float32) + before)
        before = sums[-1][:, LANES - 1 :]
    return jnp.concatenate(sums, axis=1)
