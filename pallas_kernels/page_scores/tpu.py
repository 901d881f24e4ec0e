"""`page_scores` on TPU: the summaries of a sequence stream past its group-mean query.

One grid step scores one sequence, in chunks of pages for all KV heads, from a ring in VMEM into which the
next chunks, of this sequence and those after it, are on their way:

      summaries[row b] in HBM, one head: ████████████████░░░░░░░░   ░ pages that do not exist
      chunks (b, 0) (b, 1) (b, 2) …      └ chunk ┘└ chunk ┘└ −inf   (nothing read)
      ring   [b, 0][b, 1][b + 1, 0]      scored · on its way · on its way

      two heads (or minimum and maximum) side by side in the lanes: [chunk, 2H]
      [q₀ 0; 0 q₁] as high and low bf16 halves [4, 2H] · [chunk, 2H]ᵀ → scores [2, chunk]

The halves share the weight tile, so pages rank as if the query were f32, at no cost. Letters: B sequences ·
K KV heads · H head dim · P pages of a sequence · R summary vectors of a page.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.page_scores.api import PageScores
from pallas_kernels.tuning import tuned

LANES = 128
TILE_ROWS = {4: 8, 2: 16}  # by bytes of a number


def check(call: PageScores) -> str | None:
    """Why the kernel cannot run this call, or None."""
    summaries_mkrph = call.summaries_mkrph
    P, stored = summaries_mkrph.shape[3:]
    rows = TILE_ROWS[summaries_mkrph.dtype.itemsize]
    if stored % LANES:
        return f"summaries must store a multiple of {LANES} numbers a head, not {stored} (pad with zeros)"
    if P % rows and _chunk(summaries_mkrph, tuned("page_scores")["chunk_kib"]) < P:
        return f"so many pages of {summaries_mkrph.dtype} summaries must be a multiple of {rows}, not {P}"
    return None


def page_scores(call: PageScores, *, interpret: Any = False, **tuning: int) -> jax.Array:
    """See `pallas_kernels.page_scores`; ``tuning`` overrides constants of the tuning table."""
    query_bnh, summaries_mkrph = call.query_bnh, call.summaries_mkrph
    B, N, H = query_bnh.shape
    _, K, R, P, stored = summaries_mkrph.shape
    heads = 2 if R == 1 and K % 2 == 0 else 1  # that share a matrix
    query_bkgh = query_bnh.reshape(B, K, N // K, H)
    if stored > H:
        query_bkgh = jnp.pad(query_bkgh, [(0, 0)] * 3 + [(0, stored - H)])
    constants = {**tuned("page_scores"), **tuning}
    chunk = _chunk(summaries_mkrph, constants["chunk_kib"])
    chunks, ring = pl.cdiv(P, chunk), constants["ring"]
    cores = math.gcd(B, constants["cores"])
    each = B // cores  # sequences of a core
    summaries = summaries_mkrph.reshape(-1, K * R, P, stored)
    if not interpret:  # else XLA may move a small cache to VMEM and back
        summaries = pltpu.with_memory_space_constraint(summaries, pltpu.HBM)
    scores = pl.pallas_call(
        functools.partial(
            _kernel, page_size=call.page_size, heads=heads, kinds=R, assume_full=constants["assume_full"]
        ),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=(cores, each),
            in_specs=[
                pl.BlockSpec((1, *query_bkgh.shape[1:]), lambda c, s, *_: (c * each + s, 0, 0, 0)),
                pl.BlockSpec(memory_space=pl.ANY),
            ],
            out_specs=pl.BlockSpec((1, K, chunks * chunk), lambda c, s, *_: (c * each + s, 0, 0)),
            scratch_shapes=[
                pltpu.VMEM((ring, K * R, chunk, stored), summaries.dtype),
                pltpu.SemaphoreType.DMA((ring,)),
            ],
        ),
        out_shape=jax.ShapeDtypeStruct((B, K, chunks * chunk), jnp.float32),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary"), disable_bounds_checks=True
        ),
        cost_estimate=pl.CostEstimate(
            flops=2 * B * K * R * P * stored,
            transcendentals=0,
            bytes_accessed=B * K * P * (R * stored * summaries_mkrph.dtype.itemsize + 4),
        ),
        interpret=interpret,
        name="page_scores",
    )(call.lengths_b, call.rows_b, query_bkgh, summaries)
    return scores[..., :P]


def _chunk(summaries: jax.Array, kib: int) -> int:
    """Pages of a chunk: all of a sequence, or as many lanes as fit ``kib``."""
    _, K, R, P, stored = summaries.shape
    fits = (kib << 10) // (K * R * stored * summaries.dtype.itemsize)
    return P if fits >= P else max(LANES, fits // LANES * LANES)


class _Refs(NamedTuple):
    """The kernel's arguments, result and buffers."""

    lengths: Any
    rows: Any
    query: Any
    source: Any
    out: Any
    ring: Any
    sems: Any


class _Copies:
    """The copies of the chunks of a core's sequences, one after another, into the ring."""

    def __init__(self, refs: _Refs, page_size: int) -> None:
        self.lengths, self.rows, self.source = refs.lengths, refs.rows, refs.source
        self.ring, self.sems = refs.ring, refs.sems
        self.page_size = page_size
        self.sequences = pl.num_programs(1)
        self.first = pl.program_id(0) * self.sequences
        self.chunks = pl.cdiv(self.source.shape[2], self.ring.shape[2])

    def start(self, step: jax.Array) -> None:
        """Start to copy the chunk of a step."""
        self._copy(step, lambda copy: copy.start())

    def wait(self, step: jax.Array) -> None:
        """Wait for the chunk of a step."""
        self._copy(step, lambda copy: copy.wait())

    def _copy(self, step: jax.Array, act: Callable[[Any], None]) -> None:
        """Act on the copy of a chunk if it holds a page that exists."""
        s, i = lax.div(step, self.chunks), lax.rem(step, self.chunks)
        b = self.first + jnp.minimum(s, self.sequences - 1)
        slots, _, chunk, _ = self.ring.shape
        slot = lax.rem(step, slots)
        exists = (s < self.sequences) & (i * (chunk * self.page_size) < self.lengths[b])

        def copy(pages: int) -> None:
            place = pl.ds(pl.multiple_of(i * chunk, chunk), pages)
            source, target = self.source.at[self.rows[b], :, place], self.ring.at[slot, :, :pages]
            act(pltpu.make_async_copy(source, target, self.sems.at[slot]))

        last = self.chunks - 1
        rest = self.source.shape[2] - last * chunk
        if rest == chunk:
            pl.when(exists)(lambda: copy(chunk))
        else:
            pl.when(exists & (i < last))(lambda: copy(chunk))
            pl.when(exists & (i == last))(lambda: copy(rest))


def _kernel(*arguments: Any, page_size: int, heads: int, kinds: int, assume_full: bool) -> None:
    """Score the pages of one sequence, with the next chunks, of this or the next one, on their way."""
    refs = _Refs(*arguments)
    out, ring = refs.out, refs.ring
    copies = _Copies(refs, page_size)
    s = pl.program_id(1)
    length = refs.lengths[copies.first + s]
    slots, chunk = ring.shape[0], ring.shape[2]

    @pl.when(s == 0)
    def _() -> None:
        for step in range(slots - 1):
            copies.start(jnp.int32(step))

    query_rows = _scoring_rows(refs.query[0].astype(jnp.float32), kinds, heads)

    def score(i: Any, nothing: None) -> None:
        step = s * copies.chunks + i
        copies.wait(step)
        copies.start(step + slots - 1)
        summaries = ring.at[lax.rem(step, slots)]
        page = i * chunk + lax.broadcasted_iota(jnp.int32, (heads, chunk), 1)
        lanes = pl.ds(pl.multiple_of(i * chunk, chunk), chunk)
        out[0, :, lanes] = jnp.full((out.shape[1], chunk), -jnp.inf, jnp.float32)

        @pl.when(assume_full or i * (chunk * page_size) < length)
        def _() -> None:
            for head in range(0, out.shape[1], heads):
                vectors = range(head * kinds, (head + heads) * kinds)
                summary = jnp.concatenate([summaries[vector] for vector in vectors], axis=1)
                found = _product(query_rows[head : head + heads], summary)
                found = jnp.where(page * page_size < length, found, -jnp.inf)
                out[0, head : head + heads, lanes] = found

    lax.fori_loop(0, copies.chunks, score, None)


def _scoring_rows(query_kgh: jax.Array, kinds: int, heads: int) -> jax.Array:
    """``[K, R·H]`` or ``[K, 2H]`` group means on the lanes of their summaries; see `scoring_query`."""
    if kinds == 2:
        parts = (jnp.minimum(query_kgh, 0.0), jnp.maximum(query_kgh, 0.0))
        return jnp.concatenate([part.mean(axis=1) for part in parts], axis=1)
    mean_kh = query_kgh.mean(axis=1)
    if heads == 1:
        return mean_kh
    wide = jnp.concatenate([mean_kh, mean_kh], axis=1)
    row, lane = (lax.broadcasted_iota(jnp.int32, wide.shape, axis) for axis in (0, 1))
    return jnp.where((lane >= mean_kh.shape[1]) == (row & 1 == 1), wide, 0.0)


def _product(query: jax.Array, summary: jax.Array) -> jax.Array:
    """``query · summaryᵀ`` to f32 accuracy, whatever the summaries' dtype."""
    dims = (((1,), (1,)), ((), ()))
    if summary.dtype == jnp.float32:
        return lax.dot_general(
            query, summary, dims, precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32
        )
    high = query.astype(jnp.bfloat16).astype(jnp.float32)
    halves = jnp.concatenate([high, query - high], axis=0).astype(jnp.bfloat16)
    both = lax.dot_general(halves, summary, dims, preferred_element_type=jnp.float32)
    return both[: query.shape[0]] + both[query.shape[0] :]
