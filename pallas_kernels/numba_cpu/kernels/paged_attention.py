"""The CPU kernel of `paged_attention`: one (sequence, KV head) a row, two query heads at a time.

Letters: B sequences · K KV heads · G query heads of a KV head · H head dim · p page size · J listed pages.
"""

#   page of a (sequence, KV head)        scores_2p in L1          out_2h in L1
#   K [p, H] ── · two queries ─────────► softmax so far ─► weights
#   V [p, H] ───────────────────────────────────────────────────► += weights · V
#   While a page is worked on, the next one of the list is being fetched: pages lie anywhere, and the
#   processor does not guess where.

from typing import Any

import numpy as np

from pallas_kernels.numba_cpu.kernels.runtime import (
    FAST,
    carray,
    data,
    dim,
    exp_of_negative,
    njit,
    prefetch,
    widen,
)

LINE = 64  # bytes that a prefetch brings
LOWEST = np.float32(-3e38)


def rows(operands: int) -> int:
    """One for each (sequence, KV head)."""
    return dim(operands, 0, 0) * dim(operands, 0, 1)


def _float32(operands: int, results: int, row: int) -> None:
    _attend(operands, results, row, np.float32, False)


def _bfloat16(operands: int, results: int, row: int) -> None:
    _attend(operands, results, row, np.uint16, False)


def _int8(operands: int, results: int, row: int) -> None:
    _attend(operands, results, row, np.int8, True)


KERNELS = {"float32": _float32, "bfloat16": _bfloat16, "int8": _int8}


@njit
def _attend(operands: int, results: int, row: int, storage: Any, scaled: bool) -> None:
    B, K, G, H = dim(operands, 0, 0), dim(operands, 0, 1), dim(operands, 0, 2), dim(operands, 0, 3)
    pool_shape = (dim(operands, 1, 0), K, 2, dim(operands, 1, 3), H)
    b, k = row // K, row % K
    queries = carray(data(operands, 0), (B * K, G, H), np.float32)
    pool = carray(data(operands, 1), pool_shape, storage)
    ids = carray(data(operands, 2), (B * K, dim(operands, 2, 2)), np.int32)
    pages = carray(data(operands, 3), (B * K,), np.int32)
    fills = carray(data(operands, 4), (B,), np.int32)
    scales = carray(data(operands, 5), (dim(operands, 5, 0), K, 2), np.float32)
    out = carray(data(results, 0), (B * K, G, H), np.float32)
    lse = carray(data(results, 1), (B * K, G), np.float32)
    _attend_row(queries[row], pool, ids[row], pages[row], fills[b], k, scales, scaled, out[row], lse[row])


@njit(fastmath=FAST, error_model="numpy")
def _attend_row(
    queries: Any,
    pool: Any,
    ids: Any,
    pages: int,
    fill: int,
    k: int,
    scales: Any,
    scaled: bool,
    out: Any,
    lse: Any,
) -> None:
    """All query heads of one KV head over its list of pages."""
    G, H = queries.shape
    p = pool.shape[3]
    pages = min(pages, ids.shape[0])
    scores = np.empty((2, p), np.float32)
    mix = np.empty((2, H), np.float32)
    for first in range(0, G, 2):
        second = min(first + 1, G - 1)
        top0, top1 = LOWEST, LOWEST
        total0, total1 = np.float32(0), np.float32(0)
        mix[:] = np.float32(0)
        for j in range(pages):
            at, then = _inside(ids[j], pool), _inside(ids[min(j + 1, pages - 1)], pool)
            page, following = pool[at, k], pool[then, k]
            tokens = fill if j == 0 else p
            _score(queries[first], queries[second], page[0], following[0], tokens, scores)
            if scaled:
                _scale(scores, tokens, scales[at, k, 0])
            new0 = max(top0, _largest(scores[0], tokens))
            new1 = max(top1, _largest(scores[1], tokens))
            if new0 != top0 or new1 != top1:
                keep0, keep1 = exp_of_negative(top0 - new0), exp_of_negative(top1 - new1)
                total0 *= keep0
                total1 *= keep1
                for h in range(H):
                    mix[0, h] *= keep0
                    mix[1, h] *= keep1
                top0, top1 = new0, new1
            total0 += _weigh(scores[0], tokens, top0)
            total1 += _weigh(scores[1], tokens, top1)
            if scaled:
                _scale(scores, tokens, scales[at, k, 1])
            _mix(scores, page[1], following[1], tokens, mix)
        _finish(mix[0], total0, top0, out[first], lse, first)
        _finish(mix[1], total1, top1, out[second], lse, second)


@njit
def _inside(page: int, pool: Any) -> int:
    """The page, or the nearest that the pool has, as in a gather."""
    return min(max(page, 0), pool.shape[0] - 1)


@njit(fastmath=FAST, error_model="numpy")
def _score(query0: Any, query1: Any, key: Any, following: Any, tokens: int, scores: Any) -> None:
    """Dot products of two queries with the page's keys."""
    H = key.shape[1]
    line = H * key.itemsize
    for t in range(tokens):
        for offset in range(0, line, LINE):
            prefetch(following, t * line + offset)
        dot0, dot1 = np.float32(0), np.float32(0)
        for h in range(H):
            number = widen(key[t, h])
            dot0 += number * query0[h]
            dot1 += number * query1[h]
        scores[0, t] = dot0
        scores[1, t] = dot1


@njit(fastmath=True)
def _largest(scores: Any, tokens: int) -> Any:
    """The largest score; any number where one is NaN, which the sums then show."""
    largest = LOWEST
    for t in range(tokens):
        largest = max(largest, scores[t])
    return largest


@njit(fastmath=FAST)
def _scale(scores: Any, tokens: int, scale: float) -> None:
    for t in range(tokens):
        scores[0, t] *= scale
        scores[1, t] *= scale


@njit(fastmath=FAST, error_model="numpy")
def _weigh(scores: Any, tokens: int, top: Any) -> Any:
    """Scores → weights, in place; their sum."""
    total = np.float32(0)
    for t in range(tokens):
        weight = exp_of_negative(scores[t] - top)
        scores[t] = weight
        total += weight
    return total


@njit(fastmath=FAST, error_model="numpy")
def _mix(weights: Any, value: Any, following: Any, tokens: int, mix: Any) -> None:
    """Add the page's values, weighted; four tokens at a time, so that the sums stay in registers."""
    H = value.shape[1]
    line = H * value.itemsize
    for t in range(0, tokens - 3, 4):
        for offset in range(0, 4 * line, LINE):
            prefetch(following, t * line + offset)
        a0, a1, a2, a3 = weights[0, t], weights[0, t + 1], weights[0, t + 2], weights[0, t + 3]
        b0, b1, b2, b3 = weights[1, t], weights[1, t + 1], weights[1, t + 2], weights[1, t + 3]
        for h in range(H):
            v0, v1 = widen(value[t, h]), widen(value[t + 1, h])
            v2, v3 = widen(value[t + 2, h]), widen(value[t + 3, h])
            mix[0, h] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
            mix[1, h] += b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
    for t in range(tokens - tokens % 4, tokens):
        for h in range(H):
            number = widen(value[t, h])
            mix[0, h] += weights[0, t] * number
            mix[1, h] += weights[1, t] * number


@njit(error_model="numpy")
def _finish(mix: Any, total: float, top: float, out: Any, lse: Any, g: int) -> None:
    for h in range(mix.shape[0]):
        out[h] = mix[h] / total if total != 0 else np.float32(0)
    lse[g] = top + np.log(total) if total != 0 else np.float32(-np.inf)
