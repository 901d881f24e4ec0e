"""The Mosaic GPU kernels of `kv_append`: one token, or a chunk of them, written into the pool in place.

Letters: B sequences · T new tokens · K KV heads · H stored head dim · p page size · P pages of a sequence ·
R summary vectors of a page · r ROWS of a slice of a page · c: 0 is K, 1 is V.
"""

#   one block (128 threads) = (b, k, i-th page that b's new tokens touch); its rows [begin, end) are new
#
#   decode   HBM pool[page, k, K] ─ TMA ─► SMEM keys, slices of r rows with old tokens ─► Σ or min, max ─┐
#            HBM new K, V [H] ─► regs ─► HBM pool[page, k, c, begin]         └──────────────────► ⊕ ─► summary
#   chunk    for each slice of r rows:  HBM pool, new tokens ─ TMA ─► SMEM old K, V; new K, V [r, H]
#            is the row new ? new : old ─► SMEM ─ TMA ─► HBM pool;  of K also Σ or min, max ─► summary

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from pallas_kernels import _gpu
from pallas_kernels._gpu import plgpu
from pallas_kernels.kv_append.api import KvAppend, touched_pages


def slice_rows(page_size: int, stored: int) -> int:
    """r: the most rows, 16, 32 or 64, that divide a page and leave a thread no more than 32 numbers."""
    fitting = (r for r in (64, 32) if page_size % r == 0 and r * stored <= 32 * 128)
    return next(fitting, 16)


class _Refs(NamedTuple):
    """The kernel's arguments; the last two are updated in place."""

    key_btkh: Any
    value_btkh: Any
    page_table_bp: Any
    lengths_b: Any
    new_tokens_b: Any
    rows_b: Any
    kv_pages: Any
    summaries_mkrph: Any = None


def append(
    call: KvAppend, key_btkh: jax.Array, value_btkh: jax.Array, *, interpret: Any
) -> tuple[jax.Array, jax.Array | None]:
    """The pool and the summaries after the append of padded keys and values.

    Of a chunk (T > 1) new token t stands at ``p + t``.
    """
    kv_pages, T = call.kv_pages, call.key_btkh.shape[1]
    K, p, H = kv_pages.shape[1], *kv_pages.shape[3:]
    B, dtype, r = key_btkh.shape[0], kv_pages.dtype, slice_rows(p, H)
    old = plgpu.SMEM((p // r if T == 1 else 2, r, H), dtype, transforms=_gpu.tiled(dtype))
    scratch: dict[str, Any] = {"old": old}
    if T == 1:
        scratch["arrived"] = plgpu.Barrier(num_barriers=p // r)
    else:
        # Not tiled: a window may begin at any token, a tile only at a multiple of 8.
        scratch["new"] = plgpu.SMEM((2, r, H), key_btkh.dtype)
        scratch["arrived"] = plgpu.Barrier(num_arrivals=4)
    pool = jax.new_ref(kv_pages)
    summaries = None if call.summaries_mkrph is None else jax.new_ref(call.summaries_mkrph)
    scalars = (call.page_table_bp, call.lengths_b, call.new_tokens_b, call.rows_b)
    inputs = _Refs(key_btkh, value_btkh, *scalars, pool, summaries)

    def kv_append(*refs: Any, **buffers: Any) -> None:
        _append_to_page(_Refs(*refs), T, **buffers)

    plgpu.kernel(
        kv_append,
        grid=(B, K, touched_pages(T, p)),
        grid_names=("b", "k", "i"),
        scratch_types=scratch,
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        **_gpu.interpret_options(interpret),
    )(*(ref for ref in inputs if ref is not None))
    return jax.freeze(pool), None if summaries is None else jax.freeze(summaries)


def _append_to_page(refs: _Refs, T: int, **buffers: Any) -> None:
    key_btkh, value_btkh, page_table_bp, lengths_b, new_tokens_b, rows_b, kv_pages, summaries_mkrph = refs
    p = kv_pages.shape[3]
    b, k, i = (lax.axis_index(name) for name in "bki")
    length = lengths_b[b]
    column = lax.div(length, jnp.int32(p)) + i
    begin = jnp.maximum(length - column * p, 0)
    end = jnp.minimum(length + new_tokens_b[b] - column * p, p)

    @pl.when(begin < end)
    def _() -> None:
        page = kv_pages.at[page_table_bp[b, column], k]
        R = 0 if summaries_mkrph is None else summaries_mkrph.shape[2]
        if T == 1:
            total = _append_row((key_btkh.at[b, 0, k], value_btkh.at[b, 0, k]), page, begin, R, **buffers)
        else:
            start = column * p - length + p
            windows = tuple(x.at[b, pl.ds(start, p), k] for x in (key_btkh, value_btkh))
            total = _append_rows(windows, page, begin, end, R, **buffers)
        for kind, vector_h in enumerate(total):
            summary_h = vector_h / end.astype(jnp.float32) if R == 1 else vector_h
            target = summaries_mkrph.at[rows_b[b], k, kind, column]
            plgpu.store(target, summary_h.astype(summaries_mkrph.dtype), optimized=False)


def _append_row(
    new: tuple[Any, Any], page: Any, begin: Any, R: int, *, old: Any, arrived: Any
) -> list[jax.Array]:
    """Write one token's K and V on row ``begin``; the R summary vectors (mean not divided) of the page."""
    slices, r, _ = old.shape
    grid = _grid(r)
    vectors = [plgpu.load(x, layout=grid.reduce(0), optimized=False).astype(old.dtype) for x in new]
    total = []
    if R:
        for s in range(slices):

            @pl.when(s * r < begin)
            def _(s: int = s) -> None:
                plgpu.copy_gmem_to_smem(page.at[0, pl.ds(s * r, r)], old.at[s], arrived.at[s])

        def add(s: jax.Array, total: list[jax.Array]) -> list[jax.Array]:
            plgpu.barrier_wait(arrived.at[s])
            key_rh = plgpu.load(old.at[s], layout=grid, optimized=_swift(old)).astype(jnp.float32)
            return _fold(total, key_rh, _rows(key_rh.shape, r) + s * r < begin)

        key_h = vectors[0].astype(jnp.float32)
        total = lax.fori_loop(0, lax.div(begin + (r - 1), jnp.int32(r)), add, [key_h] * R)
    for side, vector_h in enumerate(vectors):
        plgpu.store(page.at[side, begin], vector_h, optimized=False)
    return total


def _append_rows(
    new_tokens: tuple[Any, Any], page: Any, begin: Any, end: Any, R: int, *, old: Any, new: Any, arrived: Any
) -> list[jax.Array]:
    """Write rows ``begin`` to ``end`` from windows of p new tokens that lie as the page does."""
    _, r, H = old.shape
    grid = _grid(r)

    def merge(s: jax.Array, total: list[jax.Array]) -> list[jax.Array]:
        here = pl.ds(pl.multiple_of(s * r, r), r)
        for side in range(2):
            plgpu.copy_gmem_to_smem(page.at[side, here], old.at[side], arrived)
            plgpu.copy_gmem_to_smem(new_tokens[side].at[here], new.at[side], arrived)
        plgpu.barrier_wait(arrived)
        row_rh = _rows((r, H), r) + s * r
        for side in range(2):
            old_rh = plgpu.load(old.at[side], layout=grid, optimized=_swift(old))
            new_rh = plgpu.load(new.at[side], layout=grid, optimized=False).astype(old.dtype)
            page_rh = jnp.where((row_rh >= begin) & (row_rh < end), new_rh, old_rh)
            plgpu.store(old.at[side], page_rh, optimized=_swift(old))
            if side == 0:
                total = _fold(total, page_rh.astype(jnp.float32), row_rh < end)
        plgpu.commit_smem()
        for side in range(2):
            plgpu.copy_smem_to_gmem(old.at[side], page.at[side, here])
        plgpu.wait_smem_to_gmem(0)
        return total

    nothing = (0.0,) if R == 1 else (jnp.inf, -jnp.inf)[:R]
    start = [plgpu.layout_cast(jnp.full((H,), x, jnp.float32), grid.reduce(0)) for x in nothing]
    return lax.fori_loop(0, lax.div(end + (r - 1), jnp.int32(r)), merge, start)


def _fold(total: list[jax.Array], key_rh: jax.Array, held_rh: jax.Array) -> list[jax.Array]:
    """Sum, or minimum and maximum, with the held rows taken in."""
    if len(total) == 1:
        return [total[0] + jnp.where(held_rh, key_rh, 0.0).sum(axis=0)]
    if not total:
        return []
    return [
        jnp.minimum(total[0], jnp.where(held_rh, key_rh, jnp.inf).min(axis=0)),
        jnp.maximum(total[1], jnp.where(held_rh, key_rh, -jnp.inf).max(axis=0)),
    ]


@functools.cache
def _grid(rows: int) -> Any:
    return plgpu.Layout.MMA_ACC(jnp.float32, m_warps=rows // 16)


def _swift(tiled: Any) -> bool:
    """Whether it goes to registers without bank conflicts: 16 rows of float32 do not."""
    return tiled.dtype.itemsize == 2


def _rows(shape: tuple[int, ...], rows: int) -> jax.Array:
    return plgpu.broadcasted_iota(jnp.int32, shape, 0, layout=_grid(rows))
