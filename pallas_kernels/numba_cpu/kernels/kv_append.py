"""The CPU kernel of `kv_append`: one sequence a row; its tokens, then the summaries of the pages they touch.

Letters: B sequences · T new tokens · K KV heads · H head dim · p page size · P pages of a sequence ·
R summaries of a page · M rows of summaries.
"""

from typing import Any

import numpy as np

from pallas_kernels.numba_cpu.kernels.runtime import FAST, carray, data, dim, narrow, njit, widen


def rows(operands: int) -> int:
    """One for each sequence."""
    return dim(operands, 0, 0)


def _float32_float32(operands: int, results: int, row: int) -> None:
    _append(operands, results, row, np.float32, np.float32)


def _float32_bfloat16(operands: int, results: int, row: int) -> None:
    _append(operands, results, row, np.float32, np.uint16)


def _bfloat16_float32(operands: int, results: int, row: int) -> None:
    _append(operands, results, row, np.uint16, np.float32)


def _bfloat16_bfloat16(operands: int, results: int, row: int) -> None:
    _append(operands, results, row, np.uint16, np.uint16)


KERNELS = {  # dtypes of the pool and of the summaries
    "float32_float32": _float32_float32,
    "float32_bfloat16": _float32_bfloat16,
    "bfloat16_float32": _bfloat16_float32,
    "bfloat16_bfloat16": _bfloat16_bfloat16,
}


@njit
def _append(operands: int, results: int, b: int, stored: Any, summarized: Any) -> None:
    B, T, K, H = dim(operands, 0, 0), dim(operands, 0, 1), dim(operands, 0, 2), dim(operands, 0, 3)
    p, room = dim(operands, 2, 3), dim(operands, 2, 4)
    M, R, P = dim(operands, 3, 0), dim(operands, 3, 2), dim(operands, 4, 1)
    key = carray(data(operands, 0), (B, T, K, H), np.float32)[b]
    value = carray(data(operands, 1), (B, T, K, H), np.float32)[b]
    pool = carray(data(results, 0), (dim(operands, 2, 0), K, 2, p, room), stored)
    table = carray(data(operands, 4), (B, P), np.int32)[b]
    length = carray(data(operands, 5), (B,), np.int32)[b]
    count = carray(data(operands, 6), (B,), np.int32)[b]
    total = dim(operands, 2, 0)
    # What lies past the arrays' ends is not there: such tokens are dropped, as a scatter drops them.
    length = max(length, 0)
    count = min(count, T, P * p - length)
    for t in range(count):
        page, place = table[(length + t) // p], (length + t) % p
        if page < 0 or page >= total:
            continue
        for k in range(K):
            _write(key[t, k], pool[page, k, 0, place])
            _write(value[t, k], pool[page, k, 1, place])
    if M == 0 or count <= 0:
        return
    summaries = carray(data(results, 1), (M, K, R, P, room), summarized)
    row = carray(data(operands, 7), (B,), np.int32)[b]
    if row < 0 or row >= M:
        return
    scratch = np.empty((R, room), np.float32)
    for column in range(length // p, (length + count - 1) // p + 1):
        if table[column] < 0 or table[column] >= total:
            continue
        held = min(length + count - column * p, p)
        for k in range(K):
            _summarize(pool[table[column], k, 0], held, scratch)
            for r in range(R):
                _write(scratch[r], summaries[row, k, r, column])


@njit
def _write(numbers: Any, target: Any) -> None:
    """Store f32 numbers, and zeros behind them."""
    for h in range(numbers.shape[0]):
        target[h] = narrow(numbers[h], target[h])
    target[numbers.shape[0] :] = 0


@njit(fastmath=FAST, error_model="numpy")
def _summarize(key: Any, held: int, summary: Any) -> None:
    """The mean, or minimum and maximum, of a page's first ``held`` keys: always in the same order."""
    R, H = summary.shape
    for r in range(R):
        for h in range(H):
            summary[r, h] = widen(key[0, h])
    for t in range(1, held):
        for h in range(H):
            number = widen(key[t, h])
            if R == 1:
                summary[0, h] += number
            else:
                summary[0, h] = min(summary[0, h], number)
                summary[1, h] = max(summary[1, h], number)
    if R == 1:
        for h in range(H):
            summary[0, h] /= np.float32(held)
