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

from pallas_kernels.page_scores.api import scoring_query
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
    B, _, H = query_bnh.shape
    _, K, R, P, stored = summaries_mkrph.shape
    side_by_side = 2 if R == 2 or K % 2 == 0 else 1
    heads = side_by_side // R if side_by_side == 2 else 1  # heads that share a matrix
    query_bkrh = jnp.pad(scoring_query(query_bnh, K, R), [(0, 0)] * 3 + [(0, stored - H)])
    lanes = side_by_side * stored
    query = query_bkrh.reshape(B, K // heads, heads, R * stored)
    if heads == 2:
        blank = jnp.zeros_like(query[:, :, :1])
        query = jnp.concatenate(
            [
                jnp.concatenate([query[:, :, :1], blank], axis=-1),
                jnp.concatenate([blank, query[:, :, 1:]], axis=-1),
            ],
            axis=2,
        )
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
                pl.BlockSpec((1, K // heads, heads, lanes), lambda b, i, *_: (b, 0, 0, 0)),
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
    )(lengths_b, rows_b, query, summaries_mkrph.reshape(-1, K * R, P, stored))


def _kernel(
    lengths: Any,
    rows: Any,
    query: Any,
    summaries: Any,
    out: Any,
    *,
    chunk: int,
    page_size: int,
    heads: int,
    kinds: int,
) -> None:
    del rows  # read by the index map
    b, i = pl.program_id(0), pl.program_id(1)
    start = i * (chunk * page_size)

    @pl.when(start >= lengths[b])
    def _() -> None:
        out[...] = jnp.full(out.shape, -jnp.inf, jnp.float32)

    @pl.when(start < lengths[b])
    def _() -> None:
        first_token = start + page_size * lax.broadcasted_iota(jnp.int32, (heads, chunk), 1)
        exists = first_token < lengths[b]
        for group in range(out.shape[1] // heads):
            vectors = range(group * heads * kinds, (group + 1) * heads * kinds)
            summary = jnp.concatenate([summaries[0, vector] for vector in vectors], axis=1)
            scores = _product(query[0, group], summary)
            out[0, group * heads : (group + 1) * heads] = jnp.where(exists, scores, -jnp.inf)


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
