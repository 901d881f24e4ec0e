"""`paged_attention` on TPU: from the public arguments to the lists of the kernel, with hardly an XLA op.

Letters: B sequences · N query heads · K KV heads · G = N/K · H head dim · p page size · J listed pages ·
R = B·K lists · U steps · L lists of a step.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.lse import combine_partials
from pallas_kernels.paged_attention.api import PagedAttention
from pallas_kernels.paged_attention.tpu_kernel import LANES, Plan
from pallas_kernels.paged_attention.tpu_schedule import kernel
from pallas_kernels.tuning import tuned

SMEM_WORDS = 196_608  # for lists and their lengths: three quarters of the 1 MiB of scalar memory
SCORES = 1 << 18  # f32 scores of a pair of lists that are alive at once: 1 MiB
QUERY_BYTES = 2 << 20  # queries of a block
RING_BYTES = 12 << 20


def check(call: PagedAttention) -> str | None:
    """Why the kernel cannot run this call, or None."""
    query_bnh, kv_pages = call.query_bnh, call.kv_pages
    K, p, stored = kv_pages.shape[1], *kv_pages.shape[3:]
    rows = {4: 8, 2: 16, 1: 32}[kv_pages.dtype.itemsize]
    if stored % LANES:
        return f"pages must store a multiple of {LANES} numbers a head, not {stored} (pad with zeros)"
    if p % rows:
        return f"the page size must be a multiple of {rows} for {kv_pages.dtype} pages, not {p}"
    if smem_words(K, 1) > SMEM_WORDS:
        return f"the lists of {K} KV heads do not fit scalar memory"
    if query_bnh.shape[1] // K * 2 * max(p, LANES) > SCORES:
        return f"{query_bnh.shape[1] // K} query rows a KV head are too many for pages of {p}"
    return None


def paged_attention(
    call: PagedAttention, *, interpret: Any = False, **tuning: int
) -> tuple[jax.Array, jax.Array]:
    """See `pallas_kernels.paged_attention`; ``tuning`` overrides constants of the tuning table."""
    query_bnh, kv_pages = call.query_bnh, call.kv_pages
    B, N, H = query_bnh.shape
    K, _, p, stored = kv_pages.shape[1:]
    J = call.page_ids_bkj.shape[2]
    constants = {**tuned("paged_attention"), **tuning}
    query_bnh = jnp.pad(query_bnh, [(0, 0), (0, 0), (0, stored - H)])
    arrays = (query_bnh, call.page_ids_bkj, call.num_pages_bk, call.lengths_b)
    parts = list_parts(B, K, J, p, constants)
    attend = functools.partial(
        _attend,
        kv_pages=kv_pages,
        kv_scales=call.kv_scales,
        scale=call.scale,
        interpret=interpret,
        constants=constants,
        out_dtype=jnp.float32 if parts > 1 else query_bnh.dtype,
    )
    out_bnh, lse_bn = _in_calls(attend, _split_lists(arrays, parts, p) if parts > 1 else arrays)
    if parts > 1:
        out_sbnh = out_bnh.reshape(B, parts, N, stored).swapaxes(0, 1)
        lse_sbn = lse_bn.reshape(B, parts, N).swapaxes(0, 1)
        out_bnh, lse_bn = combine_partials(out_sbnh, lse_sbn)
    return out_bnh[..., :H].astype(query_bnh.dtype), lse_bn


# query, page ids, number of pages, lengths
Arrays = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def list_parts(B: int, K: int, J: int, page_size: int, constants: dict[str, Any]) -> int:
    """In how many parts a list is attended.

    A step attends several lists side by side, on each core. Where there are fewer lists than that (one
    sequence, its heads split over chips), parts of at least one chunk take the empty places. One sequence's
    ids must also fit scalar memory.
    """
    places = constants["lists_per_step"] * constants["cores"] * (2 if constants["cores"] > 1 else 1)
    chunks = max(1, J * page_size // constants["chunk_tokens"])
    parts = min(-(-places // (B * K)), chunks)
    while smem_words(K, -(-J // parts)) > SMEM_WORDS:
        parts += 1
    return parts


def smem_words(K: int, J: int) -> int:
    """Scalar memory of one sequence's page ids and page counts: rows of it are padded to whole lanes."""
    return K * pl.cdiv(J, LANES) * LANES + pl.cdiv(K, LANES) * LANES


def _split_lists(arrays: Arrays, parts: int, page_size: int) -> Arrays:
    """Each sequence as ``parts`` sequences that share its query and have a part of its lists each."""
    query_bnh, page_ids_bkj, num_pages_bk, lengths_b = arrays
    B, K, J = page_ids_bkj.shape
    each = -(-J // parts)
    ids = jnp.pad(page_ids_bkj, [(0, 0), (0, 0), (0, parts * each - J)])
    ids = ids.reshape(B, K, parts, each).swapaxes(1, 2)
    part_s = jnp.arange(parts)
    num_bsk = jnp.clip(num_pages_bk[:, None] - part_s[:, None] * each, 0, each)
    # Only the first part has the newest page: the others are as if they ended with a full one.
    full_b = jnp.where(lengths_b > 0, page_size, 0)
    lengths_bs = jnp.where(part_s == 0, lengths_b[:, None], full_b[:, None])
    return (
        jnp.repeat(query_bnh, parts, axis=0),
        ids.reshape(B * parts, K, each),
        num_bsk.reshape(B * parts, K),
        lengths_bs.reshape(-1),
    )


def _in_calls(
    attend: Callable[[Arrays], tuple[jax.Array, jax.Array]], arrays: Arrays
) -> tuple[jax.Array, jax.Array]:
    """One call, or several when the ids of all sequences do not fit scalar memory together."""
    B, K, J = arrays[1].shape
    rows = SMEM_WORDS // smem_words(K, J)
    if rows >= B:
        return attend(arrays)
    padded = [jnp.pad(a, [(0, -B % rows)] + [(0, 0)] * (a.ndim - 1)) for a in arrays]
    out, lse = lax.map(attend, tuple(a.reshape(-1, rows, *a.shape[1:]) for a in padded))
    return out.reshape(-1, *out.shape[2:])[:B], lse.reshape(-1, lse.shape[2])[:B]


def _attend(
    arrays: Arrays,
    *,
    kv_pages: jax.Array,
    kv_scales: jax.Array | None,
    scale: float,
    interpret: Any,
    constants: dict[str, Any],
    out_dtype: Any,
) -> tuple[jax.Array, jax.Array]:
    """One kernel call."""
    query_bnh, page_ids_bkj, num_pages_bk, lengths_b = arrays
    B, N, H = query_bnh.shape
    K = kv_pages.shape[1]
    plan = _plan(query_bnh, kv_pages, page_ids_bkj.shape[2], scale, constants)
    R, lists = B * K, plan.cores * plan.steps * plan.lists

    pad = [(0, lists - R), (0, 0)]
    ids = jnp.pad(page_ids_bkj.reshape(R, -1), pad)
    pages = jnp.pad(num_pages_bk, [(0, -(-lists // K) - B), (0, 0)])
    lengths = jnp.pad(lengths_b, (0, -(-lists // K) - B))
    G = plan.rows
    query = jnp.pad(query_bnh.reshape(R, G, H), [*pad, (0, 0)])
    query = query.reshape(-1, plan.lists // 2, 2 * G, H)
    inputs = [ids, pages, lengths, query, kv_pages]
    if kv_scales is not None:
        scales_bkjc = kv_scales[page_ids_bkj, jnp.arange(K)[:, None]].reshape(R, -1, 2)
        inputs.append(_token_scales(plan, jnp.pad(scales_bkjc, [*pad, (0, 0)])))
    out, lse = _call(plan, inputs, kv_pages, out_dtype, page_ids_bkj.size, constants["vmem_mib"], interpret)
    out_bnh = out.reshape(lists, G, H)[:R].reshape(B, N, H)
    return out_bnh, lse.reshape(-1)[: R * G].reshape(B, N)


def _token_scales(plan: Plan, scales_rjc: jax.Array) -> jax.Array:
    """``[U, chunks, 2L, t]``: one scale a token, so that the kernel only multiplies."""
    steps = plan.cores * plan.steps
    unlisted = plan.chunks * plan.chunk - plan.listed
    scales_rjc = jnp.pad(scales_rjc, [(0, 0), (0, unlisted), (0, 0)])
    scales = scales_rjc.reshape(steps, plan.lists, plan.chunks, plan.chunk, 2)
    scales = scales.transpose(0, 2, 1, 4, 3).reshape(steps, plan.chunks, 2 * plan.lists, plan.chunk)
    return jnp.repeat(scales, plan.page_size, axis=-1)


def _plan(query_bnh: jax.Array, kv_pages: jax.Array, J: int, scale: float, constants: dict[str, Any]) -> Plan:
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
    chunks = 1 if chunk >= J else pl.cdiv(J, chunk * ring) * ring
    cores = constants["cores"] if 2 * lists * constants["cores"] <= B * K else 1
    wanted = pl.cdiv(B * K, lists * cores)
    per_step = lists * max(G, 4) * 4 * (2 * H + LANES)
    # Lists of one chunk take the slots of the ring in turn, so their steps come in whole rounds of it.
    turn = ring if chunks == 1 else 1
    turns = pl.cdiv(wanted, turn)
    blocks = pl.cdiv(turns, max(1, QUERY_BYTES // (per_step * turn)))
    block = pl.cdiv(turns, blocks) * turn
    # Rows of whole sequences are what the caller wants; XLA puts others together.
    whole = K % 2 == 0 and block * lists % K == 0 and N <= LANES
    return Plan(
        lists=lists,
        chunk=chunk,
        chunks=chunks,
        page_size=p,
        head_dim=H,
        rows=G,
        heads=K,
        listed=J,
        steps=blocks * block,
        block=block,
        lse_lists=K if whole else 2,
        ring=ring,
        cores=cores,
        scale=scale,
        compute_dtype=jnp.float32 if exact else jnp.bfloat16,
        scaled=kv_pages.dtype.itemsize == 1,
        assume_full=constants["assume_full"],
    )


def _call(
    plan: Plan,
    inputs: list[jax.Array],
    kv_pages: jax.Array,
    out_dtype: Any,
    listed: int,
    vmem_mib: int,
    interpret: Any,
) -> tuple[jax.Array, jax.Array]:
    """Call the kernel; ``listed`` pages are read at most."""
    G, H, p, pairs = plan.rows, plan.head_dim, plan.page_size, plan.lists // 2
    blocks = plan.steps // plan.block
    steps = plan.cores * plan.steps

    def block(*shape: int) -> pl.BlockSpec:
        at = (0,) * (len(shape) - 1)
        return pl.BlockSpec(shape, lambda core, i, *_: (core * blocks + i, *at))

    rows = block(plan.block, pairs, 2 * G, H)
    lse_rows = plan.block * plan.lists // plan.lse_lists, plan.lse_lists * G
    in_hbm = pl.BlockSpec(memory_space=pl.ANY)
    scratch = [
        pltpu.VMEM((plan.ring, plan.lists, plan.chunk, 2, p, H), kv_pages.dtype),
        pltpu.SemaphoreType.DMA((plan.ring,)),
    ]
    if plan.scaled:
        scratch.append(pltpu.VMEM((plan.ring, 2 * plan.lists, plan.tokens), jnp.float32))
    if plan.chunks > 1:
        scratch.append(pltpu.SMEM((2,), jnp.int32))
        scratch += [pltpu.VMEM((pairs, 2 * G, last), jnp.float32) for last in (LANES, LANES, H)]
    tokens = listed * plan.page_size
    return pl.pallas_call(
        functools.partial(kernel, plan=plan),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=3,
            grid=(plan.cores, blocks),
            in_specs=[rows, in_hbm] + [in_hbm] * plan.scaled,
            out_specs=[rows, block(1, *lse_rows)],
            scratch_shapes=scratch,
        ),
        out_shape=[
            jax.ShapeDtypeStruct((steps, pairs, 2 * G, H), out_dtype),
            jax.ShapeDtypeStruct((plan.cores * blocks, *lse_rows), jnp.float32),
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
