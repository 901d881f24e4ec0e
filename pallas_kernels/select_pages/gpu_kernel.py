"""Page selection on Hopper and Blackwell without sort or scatter: bisect for the J-th rank, then products.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages · r ROWS = 64 rows of w
pages each, the pages of a sequence as a matrix.
"""

#   HBM  scores[b, k] ─ TMA ─► SMEM [64, w] ─► regs: int32 keys in the order of ranks    one block = (b, k)
#            │ meanwhile the page table follows into the same buffer, and from there as bytes into `table`
#            bisect: count(keys ≥ middle) until J are left ─► winners, 0 or 1; of ties the oldest
#            tensor cores: winners · triangles = how many winners stand behind each page ─► SMEM marks [64, w]
#   for every 64 positions j of the list, on tensor cores:
#            (is winner j in row r?) [64, 64] · marks [64, w] ─► its row; the winner is where the mark is j
#            the same product with each byte of the table reads off the physical ids ─► SMEM ids [J] ─► HBM

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from pallas_kernels import _gpu
from pallas_kernels._gpu import plgpu
from pallas_kernels.select_pages import gpu_threshold
from pallas_kernels.select_pages.api import SelectPages

ROWS = 64
STEP = 16  # the tensor cores take w in steps of it
WIDE = 64  # columns of a product: more would not fit the registers
BYTES = 4  # of a physical id; a bfloat16 holds each exactly
COPIED = 4  # ids that a copy to memory takes at a time


class _Refs(NamedTuple):
    """The kernel's arguments, results and buffers; without a page table two are None."""

    scores_bkrw: Any
    lengths_b: Any
    table_brw: Any
    ids_bkj: Any
    num_pages_bk: Any
    staged: Any
    arrived: Any
    marks: Any
    by_row: Any
    ids: Any
    table: Any = None


def top_pages(
    call: SelectPages, scores_bkrw: jax.Array, table_brw: jax.Array | None, *, interpret: Any
) -> tuple[jax.Array, jax.Array]:
    """``ids [B, K, J (padded)]`` int32, newest first, 0 past the last, and ``num_pages [B, K]``.

    Args:
        call: says the rest; J is at most 64·w, the ids are padded to a multiple of `COPIED`.
        scores_bkrw: ``[B, K, at most 64, w]`` f32; pages past a sequence's last may hold anything.
        table_brw: ``[B, at most 64, w]`` int32 physical ids; None = a page's place in the text.
        interpret: as `_gpu.interpret_options` takes it.

    """
    B, K, _, width = scores_bkrw.shape
    J, bf16, i32 = call.top_k, jnp.bfloat16, jnp.int32
    matrix = functools.partial(plgpu.SMEM, transforms=_gpu.tiled(bf16, STEP))
    scratch: dict[str, Any] = {
        "staged": plgpu.RefUnion(plgpu.SMEM((ROWS, width), jnp.float32), plgpu.SMEM((ROWS, width), i32)),
        "arrived": plgpu.Barrier(),
        "marks": matrix((ROWS, width), bf16),
        "by_row": plgpu.SMEM((2, ROWS), i32),
        "ids": plgpu.SMEM((-(-J // ROWS) * ROWS,), i32),
    }
    inputs = [scores_bkrw, call.lengths_b]
    if table_brw is not None:
        inputs.append(table_brw)
        scratch["table"] = matrix((BYTES, ROWS, width), bf16)

    def select_pages(*refs: Any, **buffers: Any) -> None:
        scores, lengths, *table, ids, num_pages = refs
        named = _Refs(scores, lengths, table[0] if table else None, ids, num_pages, **buffers)
        _select_row(call, named, interpret)

    return plgpu.kernel(
        select_pages,
        out_type=[
            jax.ShapeDtypeStruct((B, K, -(-J // COPIED) * COPIED), i32),
            jax.ShapeDtypeStruct((B, K), i32),
        ],
        grid=(B, K),
        grid_names=("b", "k"),
        scratch_types=scratch,
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        **_gpu.interpret_options(interpret),
    )(*inputs)


def _select_row(call: SelectPages, refs: _Refs, interpret: Any) -> None:
    scores_bkrw, lengths_b, table_brw, ids_bkj, num_pages_bk, *buffers = refs
    staged, arrived, marks, by_row, ids, table = buffers
    J, page_size = call.top_k, call.page_size
    rows, width = scores_bkrw.shape[2:]
    staged_scores, staged_table = staged
    b, k = (lax.axis_index(name) for name in "bk")
    f32, bf16 = jnp.float32, jnp.bfloat16
    parts: list[Any] = [pl.ds(start, min(WIDE, width - start)) for start in range(0, width, WIDE)]
    grid = plgpu.Layout.MMA_ACC(f32)
    left, right = plgpu.Layout.MMA_LHS(bf16), plgpu.Layout.MMA_RHS(bf16)

    def iota(axis: int, shape: tuple[int, ...] = (ROWS, width), layout: Any = grid) -> jax.Array:
        return plgpu.broadcasted_iota(jnp.int32, shape, axis, layout=layout)

    def ones(where: jax.Array) -> jax.Array:
        return jnp.where(where, 1.0, 0.0)

    def wide(by_row_r: jax.Array, width: int) -> jax.Array:
        return lax.broadcast_in_dim(by_row_r, (ROWS, width), [0])

    def column(part: Any) -> jax.Array:
        return iota(1, (ROWS, part.size)) + part.start

    def won(part: Any) -> jax.Array:
        return plgpu.load(marks.at[:, part], layout=grid).astype(f32)

    def fetch(source: Any, target: Any) -> None:
        plgpu.copy_gmem_to_smem(source, target.at[pl.ds(0, rows)], arrived)

    def product(left_of: Any, right_of: Any, inner: int, width: int) -> jax.Array:
        """``[64, inner] @ [inner, width]``, a slice of `STEP` at a time to spare registers."""
        total = plgpu.layout_cast(jnp.zeros((ROWS, width), f32), grid)
        for start in range(0, inner, STEP):
            total = _gpu.mma(total, left_of(start), right_of(start), interpret=interpret)
        return total

    def columns_of(buffer: Any) -> Any:
        return lambda start: plgpu.load(buffer.at[:, pl.ds(start, STEP)], layout=left)

    def rows_of(buffer: Any, part: Any) -> Any:
        return lambda start: plgpu.load(buffer.at[pl.ds(start, STEP), part], layout=right)

    def behind_in_row(part: Any) -> Any:
        shape = (STEP, part.size)
        return lambda start: ones(iota(0, shape, right) + start > iota(1, shape, right) + part.start).astype(
            bf16
        )

    def in_later_rows(start: int) -> jax.Array:
        shape = (ROWS, STEP)
        return ones(iota(1, shape, left) + start > iota(0, shape, left)).astype(bf16)

    fetch(scores_bkrw.at[b, k], staged_scores)
    pages = lax.div(lengths_b[b] + (page_size - 1), jnp.int32(page_size))
    num_pages_bk[b, k] = jnp.minimum(pages, J)
    plgpu.barrier_wait(arrived)
    score_rw = plgpu.load(staged_scores, layout=grid, optimized=False)
    page_rw = iota(0) * width + iota(1)
    rank_rw = call.rank(score_rw, page_rw, pages - 1)
    key_rw = gpu_threshold.keys(rank_rw)
    if table_brw is not None:
        plgpu.commit_smem()  # all warps have read the scores
        fetch(table_brw.at[b], staged_table)
    last, cut = gpu_threshold.threshold(key_rw, page_rw, pages, J)
    wins_rw = (key_rw > last) | ((key_rw == last) & (page_rw < cut))
    marks[...] = ones(wins_rw).astype(bf16)
    plgpu.commit_smem()
    # How many winners stand behind each page in its row, and how many in all later rows.
    nearer = [product(columns_of(marks), behind_in_row(part), width, part.size) for part in parts]
    later_r = own_r = plgpu.layout_cast(jnp.zeros((ROWS,), f32), grid.reduce(1))
    for part in parts:
        later_r += product(in_later_rows, rows_of(marks, part), ROWS, part.size).sum(axis=1)
        own_r += won(part).sum(axis=1)
    by_row[0] = later_r.astype(jnp.int32)
    by_row[1] = (later_r + own_r).astype(jnp.int32)
    plgpu.commit_smem()  # all warps have read the marks
    for part, nearer_rw in zip(parts, nearer, strict=True):
        marks[:, part] = (won(part) * (nearer_rw + 1)).astype(bf16)
    if table_brw is not None:
        plgpu.barrier_wait(arrived)
        entry_rw = plgpu.load(staged_table, layout=grid, optimized=False)
        for i in range(BYTES):
            byte_rw = lax.shift_right_logical(entry_rw, 8 * i) & 255
            table[i] = byte_rw.astype(f32).astype(bf16)
    plgpu.commit_smem()

    @pl.loop(0, -(-J // ROWS))
    def _(tile: jax.Array) -> None:
        def holds(columns: int, start: int, layout: Any) -> tuple[jax.Array, jax.Array]:
            """Whether row r has winner j, and how many of the row's winners stand behind it."""
            shape = (ROWS, columns)
            here = pl.ds(start, columns)
            first, end = (
                lax.broadcast_in_dim(
                    plgpu.load(by_row.at[i, here], layout=layout.reduce(0), optimized=False), shape, [1]
                )
                for i in range(2)
            )
            j = iota(0, shape, layout) + tile * ROWS
            return (j >= first) & (j < end), j - first

        def row_of(start: int) -> jax.Array:
            return ones(holds(STEP, start, left)[0]).astype(bf16)

        def in_row(buffer: Any, part: Any) -> jax.Array:
            return product(row_of, rows_of(buffer, part), ROWS, part.size)

        held_jr, nth_jr = holds(ROWS, 0, grid)
        # −1 past the last winner, which no mark is.
        mark_j = jnp.where(held_jr, nth_jr + 2, 0).sum(axis=1) - 1
        row_j = jnp.where(held_jr, iota(1, (ROWS, ROWS)), 0).sum(axis=1)
        id_j = jnp.zeros_like(row_j) if table_brw is not None else row_j * width
        for part in parts:
            found_jw = in_row(marks, part) == wide(mark_j.astype(f32), part.size)

            def read_off(i: Any, id_j: jax.Array, part: Any = part, found_jw: Any = found_jw) -> jax.Array:
                entry_jw = in_row(table.at[i], part) if table_brw is not None else column(part).astype(f32)
                found_j = jnp.where(found_jw, entry_jw, 0.0).sum(axis=1).astype(jnp.int32)
                return id_j + (found_j << (8 * i))

            id_j = lax.fori_loop(0, BYTES if table_brw is not None else 1, read_off, id_j)
        ids[pl.ds(tile * ROWS, ROWS)] = id_j

    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(ids.at[pl.ds(0, ids_bkj.shape[2])], ids_bkj.at[b, k])
    plgpu.wait_smem_to_gmem(0)
