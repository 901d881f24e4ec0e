"""`page_scores` for Hopper and Blackwell (Mosaic GPU): multiply-add in f32, every summary read once.

Letters: B sequences · N query heads · K KV heads · H head dim · P pages of a sequence · R summary vectors of
a page · T = TILE pages of a tile · S tiles of a block.
"""

#   HBM  summaries[row, k, r, pages] = [S·T, H], R times   one block (128 threads) = (b, k, S·T pages)
#            │ TMA, all S tiles at once; tiles of pages that do not exist are not read
#            ▼
#   SMEM  tiles[S, R, T, H] ─► regs: Σ_r Σ_h tile · query ─► scores [S·T], −inf past the end ─► HBM

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from pallas_kernels import _gpu
from pallas_kernels._gpu import plgpu
from pallas_kernels.page_scores.api import scoring_query

TILE = 64
BLOCK_BYTES = 64 * 1024  # of summaries: three blocks share a multiprocessor


def check(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    rows_b: jax.Array,
    *,
    page_size: int,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    P, stored = summaries_mkrph.shape[3:]
    if stored not in (64, 128, 256):
        return f"a summary holds {stored} numbers; it takes 64, 128 or 256"
    if P % TILE:
        return f"a sequence has room for {P} pages; it needs a multiple of {TILE}"
    return _gpu.refusal()


def page_scores(
    query_bnh: jax.Array,
    summaries_mkrph: jax.Array,
    lengths_b: jax.Array,
    rows_b: jax.Array,
    *,
    page_size: int,
    interpret: Any = False,
) -> jax.Array:
    """See `pallas_kernels.page_scores`."""
    _, K, R, P, H = summaries_mkrph.shape
    B, dtype = query_bnh.shape[0], summaries_mkrph.dtype
    query_bkrh = scoring_query(query_bnh, K, R)
    query_bkrh = jnp.pad(query_bkrh, [(0, 0)] * 3 + [(0, H - query_bnh.shape[2])])
    S = _tiles(P, R * TILE * H * dtype.itemsize)

    def page_scores(*refs: Any, **buffers: Any) -> None:
        _score_block(*refs, **buffers, page_size=page_size)

    return plgpu.kernel(
        page_scores,
        out_type=jax.ShapeDtypeStruct((B, K, P), jnp.float32),
        grid=(B, K, P // (S * TILE)),
        grid_names=("b", "k", "g"),
        scratch_types={
            "tiles": plgpu.SMEM((S, R, TILE, H), dtype, transforms=_gpu.tiled(dtype)),
            "scores": plgpu.SMEM((S * TILE,), jnp.float32),
            "arrived": plgpu.Barrier(num_arrivals=R, num_barriers=S),
        },
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        **_gpu.interpret_options(interpret),
    )(query_bkrh, summaries_mkrph, lengths_b, rows_b)


def _tiles(P: int, tile_bytes: int) -> int:
    """S: the most tiles, a power of two that divides the pages, that fit a block."""
    tiles = 1
    while P % (2 * tiles * TILE) == 0 and 2 * tiles * tile_bytes <= BLOCK_BYTES:
        tiles *= 2
    return tiles


def _score_block(
    query_bkrh: Any,
    summaries_mkrph: Any,
    lengths_b: Any,
    rows_b: Any,
    scores_bkp: Any,
    *,
    tiles: Any,
    scores: Any,
    arrived: Any,
    page_size: int,
) -> None:
    S, R, _, H = tiles.shape
    b, k, g = (lax.axis_index(name) for name in "bkg")
    row = rows_b[b]
    pages = lax.div(lengths_b[b] + (page_size - 1), jnp.int32(page_size))
    grid = plgpu.Layout.WGMMA
    starts = [(g * S + tile) * TILE for tile in range(S)]
    for tile, start in enumerate(starts):

        @pl.when(start < pages)
        def _(tile: int = tile, start: Any = start) -> None:
            for r in range(R):
                source = summaries_mkrph.at[row, k, r, pl.ds(start, TILE)]
                plgpu.copy_gmem_to_smem(source, tiles.at[tile, r], arrived.at[tile])

    query_rh = [plgpu.load(query_bkrh.at[b, k, r], layout=grid.reduce(0), optimized=False) for r in range(R)]
    for tile, start in enumerate(starts):
        target = scores.at[pl.ds(tile * TILE, TILE)]
        nothing_t = plgpu.layout_cast(jnp.full((TILE,), -jnp.inf, jnp.float32), grid.reduce(1))

        @pl.when(start < pages)
        def _(tile: int = tile, start: Any = start, target: Any = target) -> None:
            plgpu.barrier_wait(arrived.at[tile])
            total_t = plgpu.layout_cast(jnp.zeros((TILE,), jnp.float32), grid.reduce(1))
            for r in range(R):
                summary_th = plgpu.load(tiles.at[tile, r], layout=grid).astype(jnp.float32)
                total_t += (summary_th * lax.broadcast_in_dim(query_rh[r], (TILE, H), [1])).sum(1)
            page_t = plgpu.broadcasted_iota(jnp.int32, (TILE,), 0, layout=grid.reduce(1)) + start
            target[...] = jnp.where(page_t < pages, total_t, -jnp.inf)

        @pl.when(start >= pages)
        def _(target: Any = target, nothing_t: Any = nothing_t) -> None:
            target[...] = nothing_t

    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(scores, scores_bkp.at[b, k, pl.ds(g * S * TILE, S * TILE)])
    plgpu.wait_smem_to_gmem(0)
