"""The TPU kernel of `paged_attention`, its arithmetic: a pair of lists, one chunk of each, in two products.

      lists 2i, 2i+1 side by side in the lanes: keys [t, 2H], values [t, 2H]

      weigh    scores [2G, t] = [q₀ 0; 0 q₁] · keysᵀ  →  softmax  →  weights [2G, t]
      gather   weights · values  =  [2G, 2H], whose diagonal blocks are the outputs

Two lists share each weight tile because tiles are 256 deep on new chips, and one head is 128. The products
are apart because the schedule weighs one step while it gathers the step before.
Letters: L lists · C pages · p page size · H head dim · G query rows of a list · t = C·p tokens.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pallas_kernels.paged_attention.tpu_kernel import LANES, Plan, Refs, quotient, remainder

MASKED = -0.7 * float(jnp.finfo(jnp.float32).max)


class Weighed(NamedTuple):
    """A pair of lists between its two products: the weights of a chunk's tokens, and where its values are."""

    local: jax.Array
    pair: int
    slot: Any
    fills: list[jax.Array]
    ends: list[jax.Array] | None
    weight_gt: jax.Array
    top_g1: jax.Array
    total_g1: jax.Array
    kept_g1: jax.Array | None  # what remains of the sum so far; None where there is none


def weigh(
    plan: Plan,
    refs: Refs,
    local: jax.Array,
    slot: Any,
    fills: list[jax.Array],
    counts: list[jax.Array] | None = None,
) -> list[Weighed]:
    """The first product of every pair of a step, and its softmax.

    ``fills`` and ``counts``: tokens in the first page, and pages, of each list's chunk; C pages when None.
    """
    pairs = [slice(2 * pair, 2 * pair + 2) for pair in range(plan.lists // 2)]
    ends = None if counts is None else [count * plan.page_size for count in counts]
    return [
        weigh_pair(plan, refs, local, pair, slot, fills[both], None if ends is None else ends[both])
        for pair, both in enumerate(pairs)
    ]


def weigh_pair(
    plan: Plan,
    refs: Refs,
    local: jax.Array,
    pair: int,
    slot: Any,
    fills: list[jax.Array],
    ends: list[jax.Array] | None,
) -> Weighed:
    """Scores and weights of two lists: heads side by side in the lanes, queries below each other."""
    key_th2 = _side_by_side(plan, refs, slot, pair, 0, fills, ends)
    second_g1 = _second(plan)
    scores_gt = lax.dot_general(
        _query(plan, refs, local, pair),
        key_th2,
        (((1,), (1,)), ((), ())),
        precision=_precision(plan),
        preferred_element_type=jnp.float32,
    )
    if plan.scaled:
        scores_gt = scores_gt * _scales(refs, slot, pair, 0, second_g1)
    scores_gt = _mask(plan, scores_gt, second_g1, fills, ends)
    # The scale is positive, so it can wait until after the maximum; exp2 saves a product a score.
    to_log2 = plan.scale * math.log2(math.e)
    top_g1, kept_g1 = scores_gt.max(axis=1, keepdims=True), None
    if plan.chunks > 1:
        before_g1 = refs.top[pair][:, :1]
        top_g1 = jnp.maximum(top_g1, before_g1)
        kept_g1 = jnp.exp2((before_g1 - top_g1) * to_log2)
    weight_gt = jnp.exp2((scores_gt - top_g1) * to_log2)
    total_g1 = weight_gt.sum(axis=1, keepdims=True)
    if kept_g1 is not None:
        refs.top[pair] = jnp.broadcast_to(top_g1, (2 * plan.rows, LANES))
        total_g1 += kept_g1 * refs.total[pair][:, :1]
        refs.total[pair] = jnp.broadcast_to(total_g1, (2 * plan.rows, LANES))
    if plan.scaled:
        weight_gt = weight_gt * _scales(refs, slot, pair, 1, second_g1)
    weight_gt = weight_gt.astype(plan.compute_dtype)
    return Weighed(local, pair, slot, fills, ends, weight_gt, top_g1, total_g1, kept_g1)


def gather(plan: Plan, refs: Refs, weighed: Weighed) -> None:
    """The second product of a pair: its values by their weights, stored or added to the sum so far."""
    local, pair, slot, fills, ends, weight_gt, top_g1, total_g1, kept_g1 = weighed
    H = plan.head_dim
    sum_gh2 = lax.dot(
        weight_gt,
        _side_by_side(plan, refs, slot, pair, 1, fills, ends),
        precision=_precision(plan),
        preferred_element_type=jnp.float32,
    )
    sum_gh = jnp.where(_second(plan), sum_gh2[:, H:], sum_gh2[:, :H])
    if kept_g1 is None:
        _write(plan, refs, local, pair, top_g1, total_g1, sum_gh)
    else:
        refs.sum[pair] = kept_g1 * refs.sum[pair] + sum_gh


def _side_by_side(
    plan: Plan, refs: Refs, slot: Any, pair: int, c: int, fills: list[jax.Array], ends: list[jax.Array] | None
) -> jax.Array:
    """``[t, 2H]`` keys (c = 0) or values (c = 1) of a pair, zeros where there is no token."""
    sides = [_tokens(plan, refs, slot, 2 * pair + side, c) for side in (0, 1)]
    # Zeros do not stop NaN: 0 · NaN would reach the other list through the keys, the sum through the values.
    return _without_garbage(plan, jnp.concatenate(sides, axis=1), fills, ends)


def _query(plan: Plan, refs: Refs, local: jax.Array, pair: int) -> jax.Array:
    """``[2G, 2H]`` queries of a pair, block-diagonal: each meets the keys of its own list."""
    query_gh, second_g1 = refs.query[local, pair], _second(plan)
    nothing = jnp.zeros_like(query_gh)
    sides = (jnp.where(second_g1, nothing, query_gh), jnp.where(second_g1, query_gh, nothing))
    return jnp.concatenate(sides, axis=1).astype(plan.compute_dtype)


def _second(plan: Plan) -> jax.Array:
    """``[2G, 1]`` whether a row is of the second list of its pair."""
    return lax.broadcasted_iota(jnp.int32, (2 * plan.rows, 1), 0) >= plan.rows


def _precision(plan: Plan) -> lax.Precision | None:
    return lax.Precision.HIGHEST if plan.compute_dtype == jnp.float32 else None


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
    _write_lse(plan, refs, local * plan.lists + 2 * pair, lse_g1)


def _write_lse(plan: Plan, refs: Refs, first: jax.Array, lse_g1: jax.Array) -> None:
    """Store the log-sum-exps of lists ``first`` and ``first + 1`` of the block on their lanes of a row."""
    G, width = plan.rows, plan.lse_lists * plan.rows
    row, start = quotient(first, plan.lse_lists), remainder(first, plan.lse_lists) * G
    # A column to a row without a transpose: a diagonal, summed.
    query, lane = (lax.broadcasted_iota(jnp.int32, (2 * G, width), axis) for axis in (0, 1))
    lse_n = jnp.where(lane == start + query, lse_g1, 0.0).sum(axis=0)
    if plan.lse_lists > 2:
        lane_n = lax.broadcasted_iota(jnp.int32, (1, width), 1)[0]
        of_pair = (lane_n >= start) & (lane_n < start + 2 * G)
        lse_n = jnp.where(of_pair, lse_n, refs.lse[0, row])
    refs.lse[0, row] = lse_n


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
