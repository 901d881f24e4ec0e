"""`paged_attention` on TPU: from the public arguments to the flat lists of the kernel, in few small XLA ops.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J listed pages ·
R = B·K lists · U steps · L lists of a step.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.paged_attention.tpu_kernel import LANES, Plan, kernel
from pallas_kernels.tuning import tuned

IDS_IN_SMEM = 131_072  # half of the 1 MiB of scalar memory
SCORES = 1 << 18  # f32 scores of a pair of lists that are alive at once: 1 MiB
QUERY_BYTES = 2 << 20  # queries of a block
RING_BYTES = 12 << 20


def check(
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    page_ids_bkj: jax.Array,
    num_pages_bk: jax.Array,
    lengths_b: jax.Array,
    kv_scales: jax.Array | None = None,
    *,
    scale: float,
) -> str | None:
    """Why the kernel cannot run this call, or None."""
    _, K, _, p, stored = kv_pages.shape
    rows = {4: 8, 2: 16, 1: 32}[kv_pages.dtype.itemsize]
    if stored % LANES:
        return (
            f"pages must store a multiple of {LANES} numbers a head, not {stored} (pad with zeros)"
        )
    if p % rows:
        return f"the page size must be a multiple of {rows} for {kv_pages.dtype} pages, not {p}"
    if page_ids_bkj.shape[2] * K > IDS_IN_SMEM:
        return f"{page_ids_bkj.shape[2]} listed pages × {K} heads exceed {IDS_IN_SMEM} ids of scalar memory"
    if query_bnh.shape[1] // K * 2 * max(p, LANES) > SCORES:
        return f"{query_bnh.shape[1] // K} query rows a KV head are too many for pages of {p}"
    return None


def paged_attention(
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    page_ids_bkj: jax.Array,
    num_pages_bk: jax.Array,
    lengths_b: jax.Array,
    kv_scales: jax.Array | None = None,
    *,
    scale: float,
    interpret: Any = False,
    **tuning: int,
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.paged_attention`; ``tuning`` overrides constants of the tuning table."""
    B, N, H = query_bnh.shape
    K, stored = kv_pages.shape[1], kv_pages.shape[4]
    J = page_ids_bkj.shape[2]
    query_bnh = jnp.pad(query_bnh, [(0, 0), (0, 0), (0, stored - H)])
    attend = functools.partial(
        _attend, kv_pages=kv_pages, kv_scales=kv_scales, scale=scale, interpret=interpret,
        constants={**tuned("paged_attention"), **tuning},
    )  # fmt: skip
    arrays = (query_bnh, page_ids_bkj, num_pages_bk, lengths_b)
    parts = -(-(B * K * J) // IDS_IN_SMEM)
    if parts == 1:
        out_bnh, lse_bn = attend(arrays)
    else:  # the ids of all sequences do not fit scalar memory together
        rows = max(1, IDS_IN_SMEM // (K * J))
        padded = [jnp.pad(a, [(0, -B % rows)] + [(0, 0)] * (a.ndim - 1)) for a in arrays]
        batches = tuple(a.reshape(-1, rows, *a.shape[1:]) for a in padded)
        out, lse = lax.map(attend, batches)
        out_bnh, lse_bn = out.reshape(-1, N, stored)[:B], lse.reshape(-1, N)[:B]
    return out_bnh[..., :H], lse_bn


def _attend(
    arrays: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    *,
    kv_pages: jax.Array,
    kv_scales: jax.Array | None,
    scale: float,
    interpret: Any,
    constants: dict[str, int],
) -> tuple[jax.Array, jax.Array]:
    """One kernel call."""
    query_bnh, page_ids_bkj, num_pages_bk, lengths_b = arrays
    B, N, H = query_bnh.shape
    K = kv_pages.shape[1]
    plan = _plan(query_bnh, kv_pages, page_ids_bkj.shape[2], scale, constants)
    R, lists = B * K, plan.cores * plan.steps * plan.lists

    pad = [(0, lists - R), (0, 0)]
    ids = jnp.pad(page_ids_bkj.reshape(R, -1), pad).reshape(-1)
    pages = jnp.pad(num_pages_bk.reshape(R), pad[:1])
    lengths = jnp.pad(lengths_b, (0, -(-lists // K) - B))
    G = plan.rows
    query = jnp.pad(query_bnh.astype(jnp.float32).reshape(R, G, H), [*pad, (0, 0)])
    query = _side_by_side(query.reshape(-1, plan.lists // 2, 2, G, H))
    inputs = [ids, pages, lengths, query, kv_pages]
    if kv_scales is not None:
        scales_bkjc = kv_scales[page_ids_bkj, jnp.arange(K)[:, None]].reshape(R, -1, 2)
        inputs.append(_token_scales(plan, jnp.pad(scales_bkjc, [*pad, (0, 0)])))
    out, lse = _call(plan, inputs, kv_pages, query_bnh.dtype, constants["vmem_mib"], interpret)
    return out.reshape(lists, G, H)[:R].reshape(B, N, H), lse[..., 0].reshape(-1)[: R * G].reshape(
        B, N
    )


def _side_by_side(query: jax.Array) -> jax.Array:
    """``[…, 2, G, H]`` queries of two lists → ``[…, 2G, 2H]``, block-diagonal."""
    first, second = query[..., 0, :, :], query[..., 1, :, :]
    blocks = [[first, jnp.zeros_like(first)], [jnp.zeros_like(second), second]]
    return jnp.concatenate([jnp.concatenate(row, axis=-1) for row in blocks], axis=-2)


def _token_scales(plan: Plan, scales_rjc: jax.Array) -> jax.Array:
    """``[U, chunks, 2L, t]``: one scale a token, so that the kernel only multiplies."""
    steps = plan.cores * plan.steps
    unlisted = plan.chunks * plan.chunk - plan.listed
    scales_rjc = jnp.pad(scales_rjc, [(0, 0), (0, unlisted), (0, 0)])
    scales = scales_rjc.reshape(steps, plan.lists, plan.chunks, plan.chunk, 2)
    scales = scales.transpose(0, 2, 1, 4, 3).reshape(steps, plan.chunks, 2 * plan.lists, plan.chunk)
    return jnp.repeat(scales, plan.page_size, axis=-1)


def _plan(
    query_bnh: jax.Array, kv_pages: jax.Array, J: int, scale: float, constants: dict[str, int]
) -> Plan:
    """Choose the sizes of a call: what is tuned, then what fits the memory."""
    B, N, H = query_bnh.shape
    _, K, _, p, _ = kv_pages.shape
    G, ring = N // K, constants["ring"]
    exact = any(array.dtype == jnp.float32 for array in (query_bnh, kv_pages))
    tokens = min(constants["chunk_tokens"], SCORES // (2 * G))
    chunk = max(1, min(J, tokens // p))
    page_bytes = 2 * p * H * kv_pages.dtype.itemsize
    lists = constants["lists_per_step"]
    while lists > 2 and (lists > B * K or ring * lists * chunk * page_bytes > RING_BYTES):
        lists -= 2
    while chunk > 1 and ring * lists * chunk * page_bytes > RING_BYTES:
        chunk = pl.cdiv(chunk, 2)
    chunks = pl.cdiv(J, chunk)
    cores = constants["cores"] if 2 * lists * constants["cores"] <= B * K else 1
    wanted = pl.cdiv(B * K, lists * cores)
    per_step = lists * G * 4 * (3 * H + LANES)
    block = min(pl.cdiv(wanted, ring), max(1, QUERY_BYTES // (per_step * ring))) * ring
    return Plan(
        lists=lists, chunk=chunk, chunks=chunks, page_size=p, head_dim=H, rows=G, heads=K, listed=J,
        steps=pl.cdiv(wanted, block) * block, block=block, ring=ring, cores=cores, scale=scale,
        compute_dtype=jnp.float32 if exact else jnp.bfloat16,
        scaled=kv_pages.dtype.itemsize == 1,
    )  # fmt: skip


def _call(
    plan: Plan,
    inputs: list[jax.Array],
    kv_pages: jax.Array,
    out_dtype: Any,
    vmem_mib: int,
    interpret: Any,
) -> tuple[jax.Array, jax.Array]:
    G, H, p, pairs = plan.rows, plan.head_dim, plan.page_size, plan.lists // 2
    blocks = plan.steps // plan.block
    steps = plan.cores * plan.steps

    def rows(last: int) -> pl.BlockSpec:
        shape = (plan.block, pairs, 2 * G, last)
        return pl.BlockSpec(shape, lambda core, i, *_: (core * blocks + i, 0, 0, 0))

    in_hbm = pl.BlockSpec(memory_space=pl.ANY)
    scratch = [
        pltpu.VMEM((plan.ring, plan.lists, plan.chunk, 2, p, H), kv_pages.dtype),
        pltpu.SemaphoreType.DMA((plan.ring,)),
    ]
    if plan.scaled:
        scratch.append(pltpu.VMEM((plan.ring, 2 * plan.lists, plan.tokens), jnp.float32))
    if plan.chunks > 1:
        scratch.append(pltpu.SMEM((3,), jnp.int32))
        scratch += [pltpu.VMEM((pairs, 2 * G, last), jnp.float32) for last in (LANES, LANES, H)]
    tokens = steps * plan.lists * plan.chunks * plan.tokens
    return pl.pallas_call(
        functools.partial(kernel, plan=plan),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=3,
            grid=(plan.cores, blocks),
            in_specs=[rows(2 * H), in_hbm] + [in_hbm] * plan.scaled,
            out_specs=[rows(H), rows(LANES)],
            scratch_shapes=scratch,
        ),
        out_shape=[
            jax.ShapeDtypeStruct((steps, pairs, 2 * G, H), out_dtype),
            jax.ShapeDtypeStruct((steps, pairs, 2 * G, LANES), jnp.float32),
        ],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary"),
            disable_bounds_checks=True,
            vmem_limit_bytes=vmem_mib << 20,
        ),
        cost_estimate=pl.CostEstimate(
            flops=4 * tokens * G * H,
            transcendentals=tokens * G,
            bytes_accessed=2 * tokens * H * kv_pages.dtype.itemsize + 2 * inputs[3].nbytes,
        ),
        interpret=interpret,
        name="paged_attention",
    )(*inputs)
