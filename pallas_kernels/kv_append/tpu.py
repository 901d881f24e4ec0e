"""`kv_append` on TPU: from the public arguments to the flat list of touched pages that the kernel walks.

Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages of a sequence ·
R summary vectors of a page · i pages that T tokens can touch · U = B·i units of work · c: 0 is K, 1 is V.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.kv_append.api import touched_pages
from pallas_kernels.kv_append.reference import Cache
from pallas_kernels.kv_append.tpu_kernel import FIELDS, Plan, kernel

LANES = 128
RING = 4
NEW_BYTES = 1 << 20  # new tokens of a block
SLAB_ROWS = {
    4: 8,
    2: 16,
    1: 32,
}  # rows of a tile, by bytes of a number: the least that a copy can move


def check(
    kv_pages: jax.Array,
    key_btkh: jax.Array,
    value_btkh: jax.Array,
    page_table_bp: jax.Array,
    lengths_b: jax.Array,
    new_tokens_b: jax.Array,
    rows_b: jax.Array,
    summaries_mkrph: jax.Array | None = None,
    kv_scales: jax.Array | None = None,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    p, stored = kv_pages.shape[3:]
    rows = SLAB_ROWS[kv_pages.dtype.itemsize]
    if stored % LANES:
        return (
            f"pages must store a multiple of {LANES} numbers a head, not {stored} (pad with zeros)"
        )
    if p % rows:
        return f"the page size must be a multiple of {rows} for {kv_pages.dtype} pages, not {p}"
    if summaries_mkrph is not None:
        slab, P = SLAB_ROWS[summaries_mkrph.dtype.itemsize], summaries_mkrph.shape[3]
        if P % slab:
            return f"{summaries_mkrph.dtype} summaries need a multiple of {slab} pages a sequence, not {P}"
    return None


def kv_append(
    kv_pages: jax.Array,
    key_btkh: jax.Array,
    value_btkh: jax.Array,
    page_table_bp: jax.Array,
    lengths_b: jax.Array,
    new_tokens_b: jax.Array,
    rows_b: jax.Array,
    summaries_mkrph: jax.Array | None = None,
    kv_scales: jax.Array | None = None,
    *,
    interpret: Any = False,
) -> Cache:
    """See `pallas_kernels.kv_append`."""
    T, p = key_btkh.shape[1], kv_pages.shape[3]
    plan = Plan(
        page_size=p,
        slab=SLAB_ROWS[kv_pages.dtype.itemsize] if T == 1 and kv_scales is None else p,
        summary_slab=0 if summaries_mkrph is None else SLAB_ROWS[summaries_mkrph.dtype.itemsize],
        # Pages of one sequence share a slab of summaries: its next read must see the last write.
        ring=RING if T == 1 else 1,
        decode=T == 1,
        scaled=kv_scales is not None,
    )
    table_ui = _units(plan, T, page_table_bp, lengths_b, new_tokens_b, rows_b)
    new = _new_rows(plan, T, key_btkh, value_btkh, lengths_b, kv_pages.shape[4])
    physical_u, active_u = table_ui[:, 0], table_ui[:, 3] > table_ui[:, 2]
    old_scales = None
    if kv_scales is not None:
        old_ur = kv_scales[physical_u].swapaxes(1, 2).reshape(table_ui.shape[0], -1)
        old_scales = jnp.broadcast_to(old_ur[..., None], (*old_ur.shape, LANES))
    pool, summaries, scales = _call(
        plan, table_ui, new, old_scales, kv_pages, summaries_mkrph, interpret
    )
    if kv_scales is not None:
        target_u = jnp.where(active_u, physical_u, kv_scales.shape[0])  # out of bounds is dropped
        scales_uck = scales[..., 0].reshape(-1, 2, kv_scales.shape[1])
        kv_scales = kv_scales.at[target_u].set(scales_uck.swapaxes(1, 2), mode="drop")
    return pool, summaries, kv_scales


def _units(
    plan: Plan,
    T: int,
    page_table_bp: jax.Array,
    lengths_b: jax.Array,
    new_tokens_b: jax.Array,
    rows_b: jax.Array,
) -> jax.Array:
    """``[U, FIELDS]`` int32: page, its place in the text, first new row, their end, summary row."""
    p = plan.page_size
    column_bi = lengths_b[:, None] // p + jnp.arange(touched_pages(T, p))
    begin_bi = jnp.clip(lengths_b[:, None] - column_bi * p, 0, p)
    end_bi = jnp.clip((lengths_b + new_tokens_b)[:, None] - column_bi * p, 0, p)
    column_bi = jnp.clip(column_bi, 0, page_table_bp.shape[1] - 1)
    page_bi = jnp.take_along_axis(page_table_bp, column_bi, axis=1)
    row_bi = jnp.broadcast_to(rows_b[:, None], page_bi.shape)
    fields = [page_bi, column_bi, begin_bi, end_bi, row_bi]
    return jnp.stack(fields, axis=-1).reshape(-1, FIELDS).astype(jnp.int32)


def _new_rows(
    plan: Plan,
    T: int,
    key_btkh: jax.Array,
    value_btkh: jax.Array,
    lengths_b: jax.Array,
    stored: int,
) -> jax.Array:
    """``[U, 2K, p or 1, Hs]`` f32 new tokens on the rows of the page they land on; row c·K + k."""
    new_btckh = jnp.stack([key_btkh, value_btkh], axis=2).astype(jnp.float32)
    new_btckh = jnp.pad(new_btckh, [(0, 0)] * 4 + [(0, stored - key_btkh.shape[3])])
    B, _, _, K, _ = new_btckh.shape
    if plan.decode:
        return new_btckh.reshape(B, 2 * K, 1, stored)
    p, pages = plan.page_size, touched_pages(T, plan.page_size)
    token_br = jnp.arange(pages * p) - lengths_b[:, None] % p
    aligned = jnp.take_along_axis(
        new_btckh, jnp.clip(token_br, 0, T - 1)[:, :, None, None, None], axis=1
    )
    aligned = aligned.reshape(B * pages, p, 2 * K, stored)
    return aligned.swapaxes(1, 2)


def _call(
    plan: Plan,
    table_ui: jax.Array,
    new: jax.Array,
    old_scales: jax.Array | None,
    kv_pages: jax.Array,
    summaries: jax.Array | None,
    interpret: Any,
) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    U, rows, _, stored = new.shape
    K, p = rows // 2, plan.page_size
    block = max(1, min(U, NEW_BYTES // (new[0].size * 4)))
    block = next(size for size in range(block, 0, -1) if U % size == 0)

    def blocked(array: jax.Array) -> pl.BlockSpec:
        zeros = (0,) * (array.ndim - 1)
        return pl.BlockSpec((block, *array.shape[1:]), lambda i, *_: (i, *zeros))

    in_hbm = pl.BlockSpec(memory_space=pl.ANY)
    operands, in_specs, out_specs = [new], [blocked(new)], []
    out_shape: list[jax.ShapeDtypeStruct] = []
    aliases: dict[int, int] = {}
    if old_scales is not None:
        operands.append(old_scales)
        in_specs.append(blocked(old_scales))
    for cache in (kv_pages, summaries):
        if cache is not None:
            aliases[1 + len(operands)] = len(out_shape)  # the scalar operand counts too
            operands.append(cache)
            in_specs.append(in_hbm)
            out_specs.append(in_hbm)
            out_shape.append(jax.ShapeDtypeStruct(cache.shape, cache.dtype))
    scratch: list[Any] = [
        pltpu.VMEM((plan.ring, K, p, stored), kv_pages.dtype),
        pltpu.VMEM((plan.ring, K, plan.slab, stored), kv_pages.dtype),
    ]
    if summaries is not None:
        shape = (plan.ring, K, summaries.shape[2], plan.summary_slab, stored)
        scratch.append(pltpu.VMEM(shape, summaries.dtype))
    scratch += [pltpu.SemaphoreType.DMA((plan.ring,)), pltpu.SemaphoreType.DMA((plan.ring,))]
    if old_scales is not None:
        out_specs.append(blocked(old_scales))
        out_shape.append(jax.ShapeDtypeStruct(old_scales.shape, jnp.float32))
    moved = U * K * stored * kv_pages.dtype.itemsize * (p + 3 * plan.slab)
    results = pl.pallas_call(
        functools.partial(
            kernel, plan=plan, units=U, block=block, summarized=summaries is not None
        ),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(U // block,),
            in_specs=in_specs,
            out_specs=out_specs,
            scratch_shapes=scratch,
        ),
        out_shape=out_shape,
        input_output_aliases=aliases,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("arbitrary",), disable_bounds_checks=True
        ),
        cost_estimate=pl.CostEstimate(
            flops=2 * U * K * p * stored, transcendentals=0, bytes_accessed=moved
        ),
        interpret=interpret,
        name="kv_append",
    )(table_ui.reshape(-1), *operands)
    updated = iter(results)
    pool = next(updated)
    return pool, None if summaries is None else next(updated), next(updated, pool)
