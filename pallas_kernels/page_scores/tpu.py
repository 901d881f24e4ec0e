"""`page_scores` on TPU: the summaries of a sequence stream past its group-mean query.

One grid step scores a chunk of C pages for all KV heads of one sequence while Pallas fetches the next chunk.
Chunks past the sequence's end name the last chunk again, which is not fetched twice:

      summaries[row b] in HBM, one head: ████████████████░░░░░░░░   ░ pages that do not exist
      grid (b, 0) (b, 1) (b, 2) …        └─ C ──┘└─ C ──┘└ −inf ┘   (nothing read)

      two heads (or minimum and maximum) side by side in the lanes: [C, 2H]
      [q₀ 0; 0 q₁] as high and low bf16 halves [4, 2H] · [C, 2H]ᵀ → scores [2, C]

The halves share the weight tile, so pages rank as if the query were f32, at no cost. Letters: B sequences ·
K KV heads · H head dim · P pages of a sequence · C pages of a chunk · R summary vectors of a page.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.tuning import tuned

LANES = 128


def check(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    rows_b: jax.Array,
    *,
    page_size: int,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    stored = summaries_mkrph.shape[4]
    if stored % LANES:
        return f"summaries must store a multiple of {LANES} numbers a head, not {stored} (pad with zeros)"
    return None


def page_scores(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    rows_b: jax.Array,
    *,
    page_size: int,
    interpret: Any = False,
    **tuning: int,
) -> jax.Array:
    """See `pallas_kernels.page_scores`; ``tuning`` overrides constants of the tuning table."""
    B, N, H = query_bnh.shape
    _, K, R, P, stored = summaries_mkrph.shape
    heads = 2 if R == 1 and K % 2 == 0 else 1  # that share a matrix
    query_bkgh = query_bnh.reshape(B, K, N // K, H)
    if stored > H:
        query_bkgh = jnp.pad(query_bkgh, [(0, 0)] * 3 + [(0, stored - H)])
    constants = {**tuned("page_scores"), **tuning}
    fits = (constants["chunk_kib"] << 10) // (K * R * stored * summaries_mkrph.dtype.itemsize)
    chunk = P if fits >= P else max(LANES, fits // LANES * LANES)

    def summaries_at(b: jax.Array, i: jax.Array, lengths: Any, rows: Any) -> tuple[Any, ...]:
        pages = lax.div(lengths[b] + (page_size - 1), page_size)
        last = jnp.maximum(lax.div(pages - 1, chunk), 0)
        return rows[b], 0, jnp.minimum(i, last), 0

    return pl.pallas_call(
        functools.partial(_kernel, chunk=chunk, page_size=page_size, heads=heads, kinds=R),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=(B, pl.cdiv(P, chunk)),
            in_specs=[
                pl.BlockSpec((1, *query_bkgh.shape[1:]), lambda b, i, *_: (b, 0, 0, 0)),
                pl.BlockSpec((1, K * R, chunk, stored), summaries_at),
            ],
            out_specs=pl.BlockSpec((1, K, chunk), lambda b, i, *_: (b, 0, i)),
        ),
        out_shape=jax.ShapeDtypeStruct((B, K, P), jnp.float32),
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
    )(lengths_b, rows_b, query_bkgh, summaries_mkrph.reshape(-1, K * R, P, stored))


def _kernel(
    lengths: Any,
    rows_b: Any,
    query: Any,
    summaries: Any,
    out: Any,
    *,
    chunk: int,
    page_size: int,
    heads: int,
    kinds: int,
) -> None:
    del rows_b  # read by the index map
    b, i = pl.program_id(0), pl.program_id(1)
    start = i * (chunk * page_size)

    @pl.when(start >= lengths[b])
    def _() -> None:
        out[...] = jnp.full(out.shape, -jnp.inf, jnp.float32)

    @pl.when(start < lengths[b])
    def _() -> None:
        first_token = start + page_size * lax.broadcasted_iota(jnp.int32, (heads, chunk), 1)
        exists = first_token < lengths[b]
        rows = _scoring_rows(query[0].astype(jnp.float32), kinds, heads)
        side_by_side = heads * kinds
        for first in range(0, out.shape[1], heads):
            vectors = range(first * kinds, first * kinds + side_by_side)
            summary = jnp.concatenate([summaries[0, vector] for vector in vectors], axis=1)
            scores = _product(rows[first : first + heads], summary)
            out[0, first : first + heads] = jnp.where(exists, scores, -jnp.inf)


def _scoring_rows(query_kgh: jax.Array, kinds: int, heads: int) -> jax.Array:
    """``[K, R·H]`` or ``[K, 2H]`` group means on the lanes of their summaries; see `api.scoring_query`."""
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
            query, summary, dims,
            precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32,
        )  # fmt: skip
    high = query.astype(jnp.bfloat16).astype(jnp.float32)
    halves = jnp.concatenate([high, query - high], axis=0).astype(jnp.bfloat16)
    both = lax.dot_general(halves, summary, dims, preferred_element_type=jnp.float32)
    return both[: query.shape[0]] + both[query.shape[0] :]
