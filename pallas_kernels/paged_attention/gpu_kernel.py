"""The Mosaic GPU kernel of `paged_attention`: a ring of tiles filled by TMA, online softmax, log-sum-exp.

Letters: B sequences · K KV heads · G query rows of a head (padded) · H stored head dim · p page size ·
J listed pages · s parts of a list. A block holds some of a head's query rows; a slot of the ring TILE tokens.
"""

#   HBM  kv_pages[page, head] = [K|V, p, H]           one block (128 threads) = (b, k, query rows, part)
#            │ TMA, TILE/p pages or TILE of p tokens a slot
#            ▼
#   SMEM  keys[STAGES, TILE, H]  values[…]  ◄─ a slot is refilled with a later tile once it is read
#            │ ldmatrix            │
#            ▼                     ▼
#   regs  s = q·keysᵀ [rows, TILE] → softmax (running max, sum) → weights (SMEM) ─► acc [rows, H] += w·values
#            └─ last tile of the part: out = acc / sum, lse = max + log sum ─► HBM

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from pallas_kernels import _gpu
from pallas_kernels._gpu import plgpu

TILE = 64
STAGES = 3  # 2 with 64 rows of queries: two blocks share a multiprocessor either way
BLOCKS_WANTED = 2 * 148  # two on each multiprocessor of the largest GPU
TILES_WORTH_A_BLOCK = 4
MASKED = -1e30  # finite, so that no difference of two of them is NaN
LEAST = MASKED / 2  # where the running maximum starts: a masked score weighs 0 even among its like
LOG2_E = math.log2(math.e)


def block_rows(query_rows: int, stored: int) -> int:
    """The rows of the query that one block holds; the tensor cores take 16 a warp."""
    most = 64 if stored <= 128 else 32
    return next(rows for rows in (16, 32, 64) if rows == most or query_rows <= rows)


def list_parts(blocks: int, J: int, page_size: int) -> int:
    """Parts of a list that give every multiprocessor blocks to hide its waits behind, each part worth it."""
    return max(1, min(-(-BLOCKS_WANTED // blocks), J * page_size // (TILES_WORTH_A_BLOCK * TILE)))


class Inputs(NamedTuple):
    """What the kernel reads; scales, one for each listed page, go with int8 and float8 pages."""

    query_bkgh: Any
    kv_pages: Any
    page_ids: Any
    """``[B·K·J]``, as the scales are."""
    num_pages: Any
    """``[B·K]``"""
    fill_b: Any
    key_scales: Any = None
    value_scales: Any = None


class _Buffers(NamedTuple):
    """Shared memory and barriers."""

    query: Any
    keys: Any
    values: Any
    weights: Any
    lse: Any
    query_arrived: Any
    keys_arrived: Any
    values_arrived: Any
    widened: Any = None


def attend(inputs: Inputs, *, scale: float, parts: int, interpret: Any) -> tuple[jax.Array, jax.Array]:
    """``out [s, B, K, G, H]``, ``lse [s, B, K, G]``; G is a multiple of a block's rows."""
    (B, K, G, H), kv_pages = inputs.query_bkgh.shape, inputs.kv_pages
    p, dtype, J = kv_pages.shape[3], kv_pages.dtype, inputs.page_ids.shape[0] // (B * K)
    rows = block_rows(G, H)
    narrow = dtype.itemsize == 1
    copies = max(TILE // p, 1)
    bf16, f32 = jnp.bfloat16, jnp.float32
    partial = f32 if parts > 1 else bf16
    span = -(-J * p // (TILE * parts))  # tiles of a part
    matrix = functools.partial(plgpu.SMEM, transforms=_gpu.tiled(bf16))
    stages = STAGES if rows < 64 else 2
    ring = plgpu.SMEM((stages, TILE, H), dtype, transforms=_gpu.tiled(dtype))
    arrived = plgpu.Barrier(num_arrivals=copies, num_barriers=stages)
    scratch: dict[str, Any] = {
        "query": matrix((rows, H), bf16),
        "keys": ring,
        "values": ring,
        "weights": matrix((rows, TILE), bf16),
        "lse": plgpu.SMEM((rows,), f32),
        "query_arrived": plgpu.Barrier(),
        "keys_arrived": arrived,
        "values_arrived": arrived,
    }
    if narrow:
        scratch["widened"] = matrix((TILE, H), bf16)
    given = [array for array in inputs if array is not None]

    def paged_attention(*refs: Any, **buffers: Any) -> None:
        *arguments, out, lse = refs
        block = _Block(J=J, span=span, scale=scale, interpret=interpret)
        _attend_block(Inputs(*arguments), _Buffers(**buffers), out, lse, block)

    return plgpu.kernel(
        paged_attention,
        out_type=[
            jax.ShapeDtypeStruct((parts, B, K, G, H), partial),
            jax.ShapeDtypeStruct((parts, B, K, G), f32),
        ],
        grid=(B, K, G // rows, parts),
        grid_names=("b", "k", "g", "s"),
        scratch_types=scratch,
        compiler_params=plgpu.CompilerParams(
            approx_math=True, lowering_semantics=plgpu.LoweringSemantics.Warpgroup
        ),
        **_gpu.interpret_options(interpret),
    )(*given)


class _Block(NamedTuple):
    """What is known of a block when it is traced."""

    J: int
    span: int
    scale: float
    interpret: Any


def _attend_block(inputs: Inputs, buffers: _Buffers, out_sbkgh: Any, lse_sbkg: Any, block: _Block) -> None:
    query_bkgh, kv_pages, page_ids, num_pages, fill_b, *scales = inputs
    query, keys, values, weights, lse, query_arrived, keys_arrived, values_arrived, widened = buffers
    J, span, scale, interpret = block
    (rows, H), p, heads = query.shape, kv_pages.shape[3], kv_pages.shape[1]
    stages = keys.shape[0]
    b, k, g, part = (lax.axis_index(name) for name in "bkgs")
    row = b * heads + k
    pages = num_pages[row]
    fill = fill_b[b]
    end = pages * p
    first = part * span
    last = jnp.minimum(lax.div(end + (TILE - 1), jnp.int32(TILE)), first + span)
    warps = rows // 16
    # With many rows each warp reads most of a tile: a part at a time, as its registers hold no more.
    deep_h, deep_t = (H, TILE) if rows * H < 64 * 128 else (64, 16)
    left, right = (
        layout(jnp.bfloat16, m_warps=warps) for layout in (plgpu.Layout.MMA_LHS, plgpu.Layout.MMA_RHS)
    )
    sums = plgpu.Layout.MMA_ACC(jnp.float32, m_warps=warps)
    by_row = sums.reduce(1)

    def fetch_page(position: Any, source: Any, target: Any, slot: Any) -> None:
        page = page_ids[row * J + position]
        for side, buffer, arrived in ((0, keys, keys_arrived), (1, values, values_arrived)):
            plgpu.copy_gmem_to_smem(
                kv_pages.at[page, k, side, source], buffer.at[slot, target], arrived.at[slot]
            )

    def fetch(tile: Any, slot: Any) -> None:
        if p >= TILE:
            parts = jnp.int32(p // TILE)
            start = pl.multiple_of(lax.rem(tile, parts) * TILE, TILE)
            fetch_page(lax.div(tile, parts), pl.ds(start, TILE), pl.ds(0, TILE), slot)
            return
        for i in range(TILE // p):
            position = tile * (TILE // p) + i

            @pl.when(position < pages)
            def _(position: Any = position, i: int = i) -> None:
                fetch_page(position, pl.ds(0, p), pl.ds(i * p, p), slot)

            @pl.when(position >= pages)
            def _() -> None:
                plgpu.barrier_arrive(keys_arrived.at[slot])
                plgpu.barrier_arrive(values_arrived.at[slot])

    def in_bf16(buffer: Any) -> Any:
        """A tile of K or V that the tensor cores can take; 8-bit ones are widened on their way."""
        if widened is None:
            return buffer
        narrow = plgpu.load(buffer)
        narrow = plgpu.layout_cast(narrow, plgpu.Layout.WGMMA_8BIT)
        # The hardware knows no float8 → bfloat16 step.
        exact = narrow if narrow.dtype == jnp.int8 else narrow.astype(jnp.float32)
        widened[...] = exact.astype(jnp.bfloat16)
        plgpu.commit_smem()
        return widened

    def tokens(shape: tuple[int, ...], axis: int, layout: Any, tile: Any) -> Any:
        return plgpu.broadcasted_iota(jnp.int32, shape, axis, layout=layout) + tile * TILE

    def columns(left_mx: jax.Array, start: int, size: int) -> jax.Array:
        return lax.slice(left_mx, (0, start), (rows, start + size))

    def is_token(position: Any) -> Any:
        return (position < end) & ((position >= p) | (position < fill))

    def by_token(scale_of: Any, shape: tuple[int, ...], tile: Any) -> Any:
        """The scale of each token's page, over ``shape``; positions past the list are masked elsewhere."""
        page = lax.div(tile * TILE, jnp.int32(p))
        if p >= TILE:
            return scale_of[row * J + page]
        inside = lax.div(tokens(shape, 1, sums, 0), jnp.int32(p))
        result = plgpu.layout_cast(jnp.zeros(shape, jnp.float32), sums)
        for i in range(TILE // p):
            position = jnp.minimum(page + i, J - 1)
            result = jnp.where(inside == i, scale_of[row * J + position], result)
        return result

    def step(tile: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        acc_mh, top_m, sum_m = carry
        slot = lax.rem(tile - first, jnp.int32(stages))
        plgpu.barrier_wait(keys_arrived.at[slot])
        key_th = in_bf16(keys.at[slot])
        s_mt = plgpu.layout_cast(jnp.zeros((rows, TILE), jnp.float32), sums)
        for h in range(0, H, deep_h):
            key_ht = plgpu.load(key_th.at[:, pl.ds(h, deep_h)].transpose((1, 0)), layout=right)
            s_mt = _gpu.mma(s_mt, columns(query_mh, h, deep_h), key_ht, interpret=interpret)
        s_mt = s_mt * (scale * LOG2_E)
        if scales[0] is not None:
            s_mt = s_mt * by_token(scales[0], (rows, TILE), tile)
        s_mt = jnp.where(is_token(tokens((rows, TILE), 1, sums, tile)), s_mt, MASKED)
        new_m = jnp.maximum(top_m, s_mt.max(axis=1))
        faded_m = jnp.exp2(top_m - new_m)
        w_mt = jnp.exp2(s_mt - lax.broadcast_in_dim(new_m, (rows, TILE), [0]))
        sum_m = sum_m * faded_m + w_mt.sum(axis=1)
        if scales[0] is not None:
            w_mt = w_mt * by_token(scales[1], (rows, TILE), tile)
        weights[...] = w_mt.astype(jnp.bfloat16)
        plgpu.commit_smem()
        plgpu.barrier_wait(values_arrived.at[slot])
        value_th = in_bf16(values.at[slot])
        acc_mh = acc_mh * lax.broadcast_in_dim(faded_m, (rows, H), [0])
        weight_mt = plgpu.load(weights, layout=left)
        for t in range(0, TILE, deep_t):
            part_th = plgpu.load(value_th.at[pl.ds(t, deep_t)], layout=right)
            # What no token wrote may be NaN, which a weight of 0 would not silence.
            real_th = is_token(tokens((deep_t, H), 0, right, tile) + t)
            part_th = jnp.where(real_th, part_th, jnp.zeros_like(part_th))
            acc_mh = _gpu.mma(acc_mh, columns(weight_mt, t, deep_t), part_th, interpret=interpret)
        plgpu.commit_smem()  # all warps have read the slot, and the weights

        @pl.when(tile + stages < last)
        def _() -> None:
            fetch(tile + stages, slot)

        return acc_mh, new_m, sum_m

    here = pl.ds(g * rows, rows)
    plgpu.copy_gmem_to_smem(query_bkgh.at[b, k, here], query, query_arrived)
    for slot in range(stages):

        @pl.when(first + slot < last)
        def _(slot: int = slot) -> None:
            fetch(first + slot, slot)

    plgpu.barrier_wait(query_arrived)
    query_mh = plgpu.load(query, layout=left)
    start = (
        plgpu.layout_cast(jnp.zeros((rows, H), jnp.float32), sums),
        plgpu.layout_cast(jnp.full((rows,), LEAST, jnp.float32), by_row),
        plgpu.layout_cast(jnp.zeros((rows,), jnp.float32), by_row),
    )
    acc_mh, top_m, sum_m = lax.fori_loop(first, last, step, start)
    some_m = jnp.where(sum_m > 0, sum_m, 1.0)
    out_mh = acc_mh / lax.broadcast_in_dim(some_m, (rows, H), [0])
    target = out_sbkgh.at[part, b, k, here]
    plgpu.store(target, out_mh.astype(out_sbkgh.dtype), optimized=False)  # once a block
    lse[...] = jnp.where(sum_m > 0, (top_m + jnp.log2(some_m)) / LOG2_E, -jnp.inf)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(lse, lse_sbkg.at[part, b, k, here])
    plgpu.wait_smem_to_gmem(0)
