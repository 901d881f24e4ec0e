"""`page_scores` for Hopper and Blackwell (Mosaic GPU): multiply-add in f32, every summary read once.

Letters: B sequences · N query heads · K KV heads · H head dim · P pages of a sequence · R summary vectors of
a page. A tile is TILE pages, a block some tiles.
"""

#   HBM  summaries[row, k, r, pages] = [tiles · TILE, H], R times    a block (128 threads) = (b, k, its pages)
#            │ TMA, all tiles at once; tiles of pages that do not exist are not read
#            ▼
#   SMEM  tiles[tile, R, TILE, H] ─► regs: Σ_r Σ_h tile · query ─► scores, −inf past the end ─► HBM

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from pallas_kernels import _gpu
from pallas_kernels._gpu import plgpu
from pallas_kernels.page_scores.api import PageScores

TILE = 64
BLOCK_BYTES = 64 * 1024  # of summaries: three blocks share a multiprocessor


def check(call: PageScores) -> str | None:
    """Why the kernel cannot run this call, or None."""
    P, stored = call.summaries_mkrph.shape[3:]
    if stored not in (64, 128, 256):
        return f"a summary holds {stored} numbers; it takes 64, 128 or 256"
    if P % TILE:
        return f"a sequence has room for {P} pages; it needs a multiple of {TILE}"
    return _gpu.refusal()


class _Refs(NamedTuple):
    """The kernel's arguments, result and buffers."""

    query_bkrh: Any
    summaries_mkrph: Any
    lengths_b: Any
    rows_b: Any
    scores_bkp: Any
    tiles: Any
    scores: Any
    arrived: Any


def page_scores(call: PageScores, *, interpret: Any = False) -> jax.Array:
    """See `pallas_kernels.page_scores`."""
    summaries_mkrph = call.summaries_mkrph
    _, K, R, P, H = summaries_mkrph.shape
    B, dtype = call.query_bnh.shape[0], summaries_mkrph.dtype
    tiles = _tiles(P, R * TILE * H * dtype.itemsize)

    def page_scores(*refs: Any, **buffers: Any) -> None:
        _score_block(_Refs(*refs, **buffers), call.page_size)

    return plgpu.kernel(
        page_scores,
        out_type=jax.ShapeDtypeStruct((B, K, P), jnp.float32),
        grid=(B, K, P // (tiles * TILE)),
        grid_names=("b", "k", "g"),
        scratch_types={
            "tiles": plgpu.SMEM((tiles, R, TILE, H), dtype, transforms=_gpu.tiled(dtype)),
            "scores": plgpu.SMEM((tiles * TILE,), jnp.float32),
            "arrived": plgpu.Barrier(num_arrivals=R, num_barriers=tiles),
        },
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        **_gpu.interpret_options(interpret),
    )(call.scoring_query(), summaries_mkrph, call.lengths_b, call.rows_b)


def _tiles(P: int, tile_bytes: int) -> int:
    """The most tiles, a power of two that divides the pages, that fit a block."""
    tiles = 1
    while P % (2 * tiles * TILE) == 0 and 2 * tiles * tile_bytes <= BLOCK_BYTES:
        tiles *= 2
    return tiles


def _score_block(refs: _Refs, page_size: int) -> None:
    query_bkrh, summaries_mkrph, lengths_b, rows_b, scores_bkp, tiles, scores, arrived = refs
    count, R, _, H = tiles.shape
    b, k, g = (lax.axis_index(name) for name in "bkg")
    row = rows_b[b]
    pages = lax.div(lengths_b[b] + (page_size - 1), jnp.int32(page_size))
    grid = plgpu.Layout.WGMMA
    starts = [(g * count + tile) * TILE for tile in range(count)]
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
    plgpu.copy_smem_to_gmem(scores, scores_bkp.at[b, k, pl.ds(g * count * TILE, count * TILE)])
    plgpu.wait_smem_to_gmem(0)
