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

from pallas_kernels.kv_append.api import KvAppend, touched_pages
from pallas_kernels.kv_append.reference import Cache
from pallas_kernels.kv_append.tpu_kernel import LANES, Plan, kernel

RING = 6
NEW_BYTES = 1 << 20  # new tokens of a block
IDS = 1 << 17  # page ids in scalar memory, half of it
# Rows of a tile, by bytes of a number: the least that a copy can move.
SLAB_ROWS = {4: 8, 2: 16, 1: 32}


def check(call: KvAppend) -> str | None:
    """Why the kernel cannot run this call, or None."""
    kv_pages, summaries_mkrph, T = call.kv_pages, call.summaries_mkrph, call.key_btkh.shape[1]
    p, stored = kv_pages.shape[3:]
    rows = SLAB_ROWS[kv_pages.dtype.itemsize]
    if stored % LANES:
        return f"pages must store a multiple of {LANES} numbers a head, not {stored} (pad with zeros)"
    if p % rows:
        return f"the page size must be a multiple of {rows} for {kv_pages.dtype} pages, not {p}"
    B, P = call.page_table_bp.shape
    if B * _fetched_ids(touched_pages(T, p), P) > IDS:
        return f"{B} sequences of {T} new tokens touch too many pages for scalar memory"
    if summaries_mkrph is not None:
        slab = SLAB_ROWS[summaries_mkrph.dtype.itemsize]
        if P % slab:
            return f"{summaries_mkrph.dtype} summaries need a multiple of {slab} pages a sequence, not {P}"
    return None


def kv_append(call: KvAppend, *, interpret: Any = False) -> Cache:
    """See `pallas_kernels.kv_append`."""
    kv_pages, summaries_mkrph, kv_scales = call.kv_pages, call.summaries_mkrph, call.kv_scales
    page_table_bp, lengths_b, new_tokens_b = call.page_table_bp, call.lengths_b, call.new_tokens_b
    T, total, p = call.key_btkh.shape[1], kv_pages.shape[0], kv_pages.shape[3]
    plan = Plan(
        page_size=p,
        touched=touched_pages(T, p),
        slab=SLAB_ROWS[kv_pages.dtype.itemsize] if T == 1 and kv_scales is None else p,
        summary_slab=0 if summaries_mkrph is None else SLAB_ROWS[summaries_mkrph.dtype.itemsize],
        # Pages of one sequence share a slab of summaries: its next read must see the last write.
        ring=RING if T == 1 else 1,
        decode=T == 1,
        scaled=kv_scales is not None,
    )
    new = [_new_rows(plan, new, lengths_b, kv_pages.shape[4]) for new in (call.key_btkh, call.value_btkh)]
    scalars = (lengths_b, lengths_b + new_tokens_b, call.rows_b)
    table = jnp.pad(page_table_bp, [(0, 0), (0, -page_table_bp.shape[1] % LANES)])
    if not interpret:  # else XLA may move all of it to VMEM for the few entries that are read
        table = pltpu.with_memory_space_constraint(table, pltpu.HBM)
    page_u = old_scales = None
    if kv_scales is not None:
        page_u = _touched_pages(plan, page_table_bp, lengths_b, lengths_b + new_tokens_b, total)
        old_ur = kv_scales.at[page_u].get(mode="clip").swapaxes(1, 2).reshape(page_u.shape[0], -1)
        old_scales = jnp.broadcast_to(old_ur[..., None], (*old_ur.shape, LANES))
    pool, summaries, scales = _call(
        plan, scalars, new, table, old_scales, kv_pages, summaries_mkrph, interpret
    )
    if kv_scales is not None:
        scales_uck = scales[..., 0].reshape(-1, 2, kv_scales.shape[1])
        kv_scales = kv_scales.at[page_u].set(scales_uck.swapaxes(1, 2), mode="drop")
    return pool, summaries, kv_scales


def _touched_pages(
    plan: Plan, page_table_bp: jax.Array, lengths_b: jax.Array, ends_b: jax.Array, nowhere: int
) -> jax.Array:
    """``[U]`` int32 physical page of each unit; ``nowhere`` where no token is written."""
    place_bi = lengths_b[:, None] // plan.page_size + jnp.arange(plan.touched)
    page_bi = jnp.take_along_axis(page_table_bp, place_bi, axis=1, mode="clip")
    active_bi = ends_b[:, None] > jnp.maximum(place_bi * plan.page_size, lengths_b[:, None])
    return jnp.where(active_bi, page_bi, nowhere).reshape(-1)


def _fetched_ids(touched: int, pages: int) -> int:
    """Entries of a sequence's page table to fetch: whole tiles; its pages may begin at the last of one."""
    return min(pages, touched + LANES - 1 + -(touched + LANES - 1) % LANES)


def _new_rows(plan: Plan, new_btkh: jax.Array, lengths_b: jax.Array, stored: int) -> jax.Array:
    """New tokens as a unit takes them: ``[U, K, Hs]``, or ``[U, K, p, Hs]`` on their rows of the page."""
    B, T, K, H = new_btkh.shape
    if new_btkh.dtype != jnp.bfloat16:
        new_btkh = new_btkh.astype(jnp.float32)
    if stored > H:
        new_btkh = jnp.pad(new_btkh, [(0, 0)] * 3 + [(0, stored - H)])
    if plan.decode:
        return new_btkh.reshape(B, K, stored)
    p = plan.page_size
    token_br = jnp.arange(plan.touched * p) - lengths_b[:, None] % p
    aligned = jnp.take_along_axis(new_btkh, jnp.clip(token_br, 0, T - 1)[:, :, None, None], axis=1)
    return aligned.reshape(B * plan.touched, p, K, stored).swapaxes(1, 2)


def _call(
    plan: Plan,
    scalars: tuple[jax.Array, ...],
    new: list[jax.Array],
    table: jax.Array,
    old_scales: jax.Array | None,
    kv_pages: jax.Array,
    summaries: jax.Array | None,
    interpret: Any,
) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    U, K, *_, stored = new[0].shape
    p = plan.page_size
    ids = _fetched_ids(plan.touched, table.shape[1])
    block = max(1, min(U, NEW_BYTES // (2 * new[0][0].nbytes)))
    block = next(size for size in range(block, 0, -1) if U % size == 0)

    def blocked(array: jax.Array) -> pl.BlockSpec:
        zeros = (0,) * (array.ndim - 1)
        return pl.BlockSpec((block, *array.shape[1:]), lambda i, *_: (i, *zeros))

    in_hbm = pl.BlockSpec(memory_space=pl.ANY)
    operands, in_specs, out_specs = [table, *new], [in_hbm, *[blocked(new[0])] * 2], []
    out_shape: list[jax.ShapeDtypeStruct] = []
    aliases: dict[int, int] = {}
    if old_scales is not None:
        operands.append(old_scales)
        in_specs.append(blocked(old_scales))
    for cache in (kv_pages, summaries):
        if cache is not None:
            aliases[len(scalars) + len(operands)] = len(out_shape)
            operands.append(cache)
            in_specs.append(in_hbm)
            out_specs.append(in_hbm)
            out_shape.append(jax.ShapeDtypeStruct(cache.shape, cache.dtype))
    scratch: list[Any] = [
        pltpu.SMEM((U // plan.touched, ids), jnp.int32),
        pltpu.VMEM((plan.ring, K, p, stored), kv_pages.dtype),
        pltpu.VMEM((plan.ring, K, plan.slab, stored), kv_pages.dtype),
    ]
    if summaries is not None:
        shape = (plan.ring, K, summaries.shape[2], plan.summary_slab, stored)
        scratch.append(pltpu.VMEM(shape, summaries.dtype))
    scratch += [pltpu.SemaphoreType.DMA(shape) for shape in ((), (plan.ring,), (plan.ring,))]
    if old_scales is not None:
        out_specs.append(blocked(old_scales))
        out_shape.append(jax.ShapeDtypeStruct(old_scales.shape, jnp.float32))
    moved = U * K * stored * kv_pages.dtype.itemsize * (p + 3 * plan.slab)
    results = pl.pallas_call(
        functools.partial(kernel, plan=plan, units=U, block=block, summarized=summaries is not None),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=len(scalars),
            grid=(U // block,),
            in_specs=in_specs,
            out_specs=out_specs,
            scratch_shapes=scratch,
        ),
        out_shape=out_shape,
        input_output_aliases=aliases,
        compiler_params=pltpu.CompilerParams(dimension_semantics=("arbitrary",), disable_bounds_checks=True),
        cost_estimate=pl.CostEstimate(flops=2 * U * K * p * stored, transcendentals=0, bytes_accessed=moved),
        interpret=interpret,
        name="kv_append",
    )(*scalars, *operands)
    updated = iter(results)
    pool = next(updated)
    return pool, None if summaries is None else next(updated), next(updated, pool)
