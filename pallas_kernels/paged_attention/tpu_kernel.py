"""The TPU kernel of `paged_attention`: a ring of VMEM buffers that page copies run ahead through.

One step attends L lists (a list = one sequence's one KV head) to one chunk of C listed pages each:

      HBM pool [pages, K, 2, p, H]         VMEM ring, one slot = [L, C, 2, p, H]
      ┌────┐ ┌────┐ ┌────┐              ┌─ slot 0 ─┬─ slot 1 ─┬─ slot 2 ─┬─ slot 3 ─┐
      │K, V│ │K, V│ │K, V│ ── L·C DMAs ─►│ attended │ in flight│ in flight│ starting │
      └────┘ └────┘ └────┘  one a page  └──────────┴──────────┴──────────┴──────────┘
         ids[list, j] in SMEM              │ one wait for the bytes of all L·C pages
                                           ▼
             lists 2i, 2i+1 side by side in the lanes: keys [t, 2H], values [t, 2H]
             scores [2G, t] = [q₀ 0; 0 q₁] · keysᵀ  →  softmax  →  [2G, t] · values

Two lists share each weight tile because tiles are 256 deep on new chips, and one head is 128. What runs when
is in `tpu_schedule`.
Letters: L lists · C pages · p page size · H head dim · G query rows of a list · t = C·p tokens.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import tpu as pltpu

MASKED = -0.7 * float(jnp.finfo(jnp.float32).max)
LANES = 128


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static shape of one call; see the head of the file for the letters."""

    lists: int
    chunk: int  # C
    chunks: int  # the most chunks of a list; when more than one, in whole turns of the ring
    page_size: int
    head_dim: int
    rows: int  # G
    heads: int  # KV heads: list i is head i mod K of sequence i div K
    listed: int  # J
    steps: int  # U of one core
    block: int  # steps whose queries and outputs are in VMEM together
    ring: int
    cores: int
    scale: float
    compute_dtype: Any
    scaled: bool
    assume_full: (
        bool  # every step has another after it, and all lists are full: right for estimates only
    )

    @property
    def tokens(self) -> int:
        """t: tokens of a chunk."""
        return self.chunk * self.page_size


class Refs:
    """The kernel's references by name."""

    def __init__(self, plan: Plan, refs: tuple[Any, ...]) -> None:
        self.ids, self.pages, self.lengths, self.query, self.pool, *rest = refs
        self.scales_hbm = rest.pop(0) if plan.scaled else None
        self.out, self.lse, self.ring, self.sems, *rest = rest
        self.scales = rest.pop(0) if plan.scaled else None
        running: list[Any] = rest if plan.chunks > 1 else [None] * 4
        self.cursor, self.top, self.total, self.sum = running


# The four functions below are what a wrong kernel gets wrong; the tests replace each to prove they notice.


def page_at(refs: Refs, position: jax.Array) -> jax.Array:
    """The page that a position of the flat id list names."""
    return refs.ids[position]


def ring_slot(count: Any, plan: Plan) -> Any:
    """The slot of the count-th step."""
    return count % plan.ring if isinstance(count, int) else lax.rem(count, plan.ring)


def wait_slot(refs: Refs, slot: Any) -> None:
    """Wait for the bytes of a whole slot, however many copies bring them."""
    buffer = refs.ring.at[slot]
    pltpu.make_async_copy(buffer, buffer, refs.sems.at[slot]).wait()


def wait_pages(refs: Refs, slot: Any, item: int, count: jax.Array) -> None:
    """Wait for the bytes of ``count`` pages of one list."""
    page = refs.ring.at[slot, item, 0]

    def wait(_: jax.Array, nothing: int) -> int:
        pltpu.make_async_copy(page, page, refs.sems.at[slot]).wait()
        return nothing

    lax.fori_loop(0, count, wait, 0)


def start_page(refs: Refs, slot: Any, item: int, j: Any, base: jax.Array, head: jax.Array) -> None:
    """Start the copy of the K and V of the page at position ``base + j`` of the flat id list."""
    source = refs.pool.at[page_at(refs, base + j), head]
    pltpu.make_async_copy(source, refs.ring.at[slot, item, j], refs.sems.at[slot]).start()


def length_of(plan: Plan, refs: Refs, index: jax.Array) -> jax.Array:
    """Tokens of the sequence that a list belongs to."""
    return refs.lengths[lax.div(index, plan.heads)]


def listed_of(plan: Plan, refs: Refs, index: jax.Array) -> jax.Array:
    """Pages of a list; none of an empty sequence."""
    return jnp.where(length_of(plan, refs, index) > 0, refs.pages[index], 0)


def pages_of(plan: Plan, refs: Refs, step: jax.Array, chunk: Any) -> list[jax.Array]:
    """How many pages each list has in this chunk (0 … C)."""
    start = chunk * plan.chunk
    return [jnp.clip(listed - start, 0, plan.chunk) for listed in lists_of(plan, refs, step)]


def chunks_of(plan: Plan, refs: Refs, step: jax.Array) -> jax.Array:
    """Chunks that a step's longest list needs, in whole turns of the ring; at least one turn."""
    longest = functools.reduce(jnp.maximum, lists_of(plan, refs, step))
    turn = plan.chunk * plan.ring
    return jnp.maximum(lax.div(longest + turn - 1, turn), 1) * plan.ring


def full_chunks_of(plan: Plan, refs: Refs, step: jax.Array) -> jax.Array:
    """Chunks of which every list of a step has all C pages."""
    return lax.div(functools.reduce(jnp.minimum, lists_of(plan, refs, step)), plan.chunk)


def lists_of(plan: Plan, refs: Refs, step: jax.Array) -> list[jax.Array]:
    """Pages of each list of a step."""
    return [listed_of(plan, refs, step * plan.lists + item) for item in range(plan.lists)]


def start_chunk(
    plan: Plan, refs: Refs, step: jax.Array, chunk: Any, slot: Any, counts: list[jax.Array] | None
) -> None:
    """Start the copies of a step's chunk: C pages a list, or ``counts`` of them where given."""
    for item in range(plan.lists):
        index = step * plan.lists + item
        base = index * plan.listed + chunk * plan.chunk
        start = functools.partial(
            start_page, refs, slot, item, base=base, head=lax.rem(index, plan.heads)
        )
        if counts is None:
            for j in range(plan.chunk):
                start(j)
        else:

            def start_next(j: jax.Array, nothing: int, start: Any = start) -> int:
                start(j)
                return nothing

            lax.fori_loop(0, counts[item], start_next, 0)
    if plan.scaled:
        copy_scales(refs, step, chunk, slot).start()


def copy_scales(refs: Refs, step: Any, chunk: Any, slot: Any) -> Any:
    """The copy of a chunk's scales, one number a token, K and V of each list."""
    assert refs.scales_hbm is not None
    assert refs.scales is not None
    return pltpu.make_async_copy(
        refs.scales_hbm.at[step, chunk], refs.scales.at[slot], refs.sems.at[slot]
    )


def attend(
    plan: Plan, refs: Refs, step: jax.Array, local: jax.Array, chunk: Any, slot: Any, full: bool
) -> None:
    """Attend a step's queries to the chunk in ``slot``; ``full``: every list has C pages in it."""
    counts = None if full else pages_of(plan, refs, step, chunk)
    for pair in range(plan.lists // 2):
        first = step * plan.lists + 2 * pair
        fills = [fill_of(plan, refs, first + side, chunk) for side in (0, 1)]
        ends = None
        if counts is not None:
            ends = [counts[2 * pair + side] * plan.page_size for side in (0, 1)]
        attend_pair(plan, refs, local, pair, chunk, slot, fills, ends)


def fill_of(plan: Plan, refs: Refs, index: jax.Array, chunk: Any) -> jax.Array:
    """Tokens in the first page of a list's chunk: only the newest page may be partly filled."""
    newest = lax.rem(length_of(plan, refs, index) + (plan.page_size - 1), plan.page_size) + 1
    return jnp.where(chunk == 0, newest, plan.page_size)


def attend_pair(
    plan: Plan,
    refs: Refs,
    local: jax.Array,
    pair: int,
    chunk: Any,
    slot: Any,
    fills: list[jax.Array],
    ends: list[jax.Array] | None,
) -> None:
    """Attend two lists at once: their heads side by side in the lanes, their queries below each other."""
    G, H = plan.rows, plan.head_dim
    key_th2, value_th2 = (
        jnp.concatenate([_tokens(plan, refs, slot, 2 * pair + side, c) for side in (0, 1)], axis=1)
        for c in (0, 1)
    )
    # Zeros do not stop NaN: 0 · NaN would reach the other list through the keys, the sum through the values.
    key_th2, value_th2 = (_without_garbage(plan, x, fills, ends) for x in (key_th2, value_th2))
    second_g1 = lax.broadcasted_iota(jnp.int32, (2 * G, 1), 0) >= G
    query_gh2 = refs.query[local, pair].astype(plan.compute_dtype)
    exact = lax.Precision.HIGHEST if plan.compute_dtype == jnp.float32 else None
    scores_gt = lax.dot_general(
        query_gh2, key_th2, (((1,), (1,)), ((), ())),
        precision=exact, preferred_element_type=jnp.float32,
    )  # fmt: skip
    if plan.scaled:
        scores_gt = scores_gt * _scales(refs, slot, pair, 0, second_g1)
    scores_gt = _mask(plan, scores_gt, second_g1, fills, ends)
    # The scale is positive, so it can wait until after the maximum; exp2 saves a product a score.
    to_log2 = plan.scale * math.log2(math.e)
    top_g1 = scores_gt.max(axis=1, keepdims=True)
    if plan.chunks > 1:
        before_g1 = refs.top[pair][:, :1]
        top_g1 = jnp.maximum(top_g1, before_g1)
    weight_gt = jnp.exp2((scores_gt - top_g1) * to_log2)
    total_g1 = weight_gt.sum(axis=1, keepdims=True)
    if plan.scaled:
        weight_gt = weight_gt * _scales(refs, slot, pair, 1, second_g1)
    sum_gh2 = lax.dot(
        weight_gt.astype(plan.compute_dtype), value_th2,
        precision=exact, preferred_element_type=jnp.float32,
    )  # fmt: skip
    sum_gh = jnp.where(second_g1, sum_gh2[:, H:], sum_gh2[:, :H])
    if plan.chunks == 1:
        _write(plan, refs, local, pair, top_g1, total_g1, sum_gh)
        return
    kept_g1 = jnp.exp2((before_g1 - top_g1) * to_log2)
    refs.top[pair] = jnp.broadcast_to(top_g1, (2 * G, LANES))
    total_g1 += kept_g1 * refs.total[pair][:, :1]
    refs.total[pair] = jnp.broadcast_to(total_g1, (2 * G, LANES))
    refs.sum[pair] = kept_g1 * refs.sum[pair] + sum_gh


def open_lists(refs: Refs) -> None:
    """Start the running softmax of a step's lists (of several chunks)."""
    refs.top[...] = jnp.full(refs.top.shape, MASKED, jnp.float32)
    refs.total[...] = jnp.zeros(refs.total.shape, jnp.float32)
    refs.sum[...] = jnp.zeros(refs.sum.shape, jnp.float32)


def close_lists(plan: Plan, refs: Refs, local: jax.Array) -> None:
    """Store what the running softmax of a step's lists came to."""
    for pair in range(plan.lists // 2):
        top, total = refs.top[pair][:, :1], refs.total[pair][:, :1]
        _write(plan, refs, local, pair, top, total, refs.sum[pair])


def _write(
    plan: Plan,
    refs: Refs,
    local: jax.Array,
    pair: int,
    top_g1: jax.Array,
    total_g1: jax.Array,
    sum_gh: jax.Array,
) -> None:
    """Divide and store."""
    # A list without tokens has only masked scores: all equal, so its weights would be 1, not 0.
    empty_g1 = top_g1 <= MASKED
    out_gh = jnp.where(empty_g1, 0.0, sum_gh / jnp.where(empty_g1, 1.0, total_g1))
    lse_g1 = jnp.where(empty_g1, -jnp.inf, top_g1 * plan.scale + jnp.log(total_g1))
    refs.out[local, pair] = out_gh.astype(refs.out.dtype)
    refs.lse[local, pair] = jnp.broadcast_to(lse_g1, (2 * plan.rows, LANES))


def _tokens(plan: Plan, refs: Refs, slot: Any, item: int, c: int) -> jax.Array:
    """``[t, H]`` keys (c = 0) or values (c = 1) of a list's chunk."""
    rows = refs.ring[slot, item, :, c].reshape(plan.tokens, plan.head_dim)
    if rows.dtype in (jnp.int8, jnp.float8_e4m3fn) and plan.compute_dtype == jnp.bfloat16:
        rows = rows.astype(jnp.float32)
    return rows.astype(plan.compute_dtype)


def _mask(
    plan: Plan,
    scores_gt: jax.Array,
    second_g1: jax.Array,
    fills: list[jax.Array],
    ends: list[jax.Array] | None,
) -> jax.Array:
    """Scores with those of rows that hold no token put at MASKED."""
    head = plan.page_size if ends is None else plan.tokens
    head = min(-(-head // LANES) * LANES, plan.tokens)
    t = lax.broadcasted_iota(jnp.int32, (2 * plan.rows, head), 1)
    fill_g1 = jnp.where(second_g1, fills[1], fills[0])
    limit_gt = jnp.where(t < plan.page_size, fill_g1, plan.tokens)
    if ends is not None:
        limit_gt = jnp.minimum(limit_gt, jnp.where(second_g1, ends[1], ends[0]))
    masked_gt = jnp.where(t < limit_gt, scores_gt[:, :head], MASKED)
    if head == plan.tokens:
        return masked_gt
    return jnp.concatenate([masked_gt, scores_gt[:, head:]], axis=1)


def _without_garbage(
    plan: Plan, rows_th2: jax.Array, fills: list[jax.Array], ends: list[jax.Array] | None
) -> jax.Array:
    """Keys or values with zeros on rows that hold no token."""
    head = plan.page_size if ends is None else plan.tokens
    shape = (head, 2 * plan.head_dim)
    t = lax.broadcasted_iota(jnp.int32, shape, 0)
    second = lax.broadcasted_iota(jnp.int32, shape, 1) >= plan.head_dim
    limit = jnp.where(second, fills[1], fills[0])
    if ends is not None:
        limit = jnp.where(t < plan.page_size, limit, plan.tokens)
        limit = jnp.minimum(limit, jnp.where(second, ends[1], ends[0]))
    clean = jnp.where(t < limit, rows_th2[:head].astype(jnp.float32), 0.0)
    clean = clean.astype(rows_th2.dtype)
    return clean if head == plan.tokens else jnp.concatenate([clean, rows_th2[head:]], axis=0)


def _scales(refs: Refs, slot: Any, pair: int, c: int, second_g1: jax.Array) -> jax.Array:
    """``[2G, t]`` scales of the pair's keys (c = 0) or values (c = 1)."""
    assert refs.scales is not None
    first_1t, second_1t = (refs.scales[slot, 2 * (2 * pair + side) + c][None, :] for side in (0, 1))
    return jnp.where(second_g1, second_1t, first_1t)
