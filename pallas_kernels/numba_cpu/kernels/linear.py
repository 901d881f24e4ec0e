"""The CPU kernel of `linear`: a block of results a row; four rows of x share what is read of the weight.

Letters: m rows, a multiple of 4 · c summed numbers of a row · n results of a row.
"""

#   weight [C, N]: DEPTH of its rows × 16·WIDE columns, while the next DEPTH are fetched  ┐ four rows of x at
#   weight [N, C]: 4 of its rows, while the next 4 are fetched                            ┘ a time, f32 sums

from typing import Any

import numpy as np

from pallas_kernels.numba_cpu.kernels.linear_tiles import (
    LANES,
    QUAD,
    WIDE,
    add_columns,
    dots_4_by_4,
    dots_8_by_2,
)
from pallas_kernels.numba_cpu.kernels.runtime import address, carray, data, dim, njit, widen

BLOCK = 256  # results of a row of x that one call of the kernel makes
DEPTH = 64  # rows of the weight whose part of a block fits the first-level cache


def rows(operands: int) -> int:
    """One for each block of results."""
    C = dim(operands, 0, 1)
    first, second = dim(operands, 1, 0), dim(operands, 1, 1)
    results = second if first == C else first
    return (results + BLOCK - 1) // BLOCK


def _float32(operands: int, results: int, row: int) -> None:
    _columns(operands, results, row, np.float32)


def _bfloat16(operands: int, results: int, row: int) -> None:
    _columns(operands, results, row, np.uint16)


def _int8(operands: int, results: int, row: int) -> None:
    _columns(operands, results, row, np.int8)


def _float32_transposed(operands: int, results: int, row: int) -> None:
    _dots(operands, results, row, np.float32)


def _bfloat16_transposed(operands: int, results: int, row: int) -> None:
    _dots(operands, results, row, np.uint16)


def _int8_transposed(operands: int, results: int, row: int) -> None:
    _dots(operands, results, row, np.int8)


KERNELS = {
    "float32": _float32,
    "bfloat16": _bfloat16,
    "int8": _int8,
    "float32_transposed": _float32_transposed,
    "bfloat16_transposed": _bfloat16_transposed,
    "int8_transposed": _int8_transposed,
}


@njit
def _columns(operands: int, results: int, row: int, storage: Any) -> None:
    """A block of columns of a weight ``[C, N]``."""
    M, C, N = dim(operands, 0, 0), dim(operands, 0, 1), dim(operands, 1, 1)
    x = carray(data(operands, 0), (M, C), np.float32)
    weight = carray(data(operands, 1), (C, N), storage)
    out = carray(data(results, 0), (M, N), np.float32)
    first = row * BLOCK
    last = min(first + BLOCK, N)
    tiled = (last - first) // (LANES * WIDE) * (LANES * WIDE)
    size, x_at, weight_at = weight.itemsize, address(operands, 0), address(operands, 1)
    sums = np.zeros((M, BLOCK), np.float32)
    for c in range(0, C, DEPTH):
        count = min(DEPTH, C - c)
        for m in range(0, M, QUAD):
            # The next part of the weight is fetched once, and never from past its end.
            ahead = count * N * size if m == 0 and c + 2 * DEPTH <= C else 0
            for n in range(0, tiled, LANES * WIDE):
                add_columns(
                    storage,
                    x_at + 4 * (m * C + c),
                    4 * C,
                    weight_at + size * (c * N + first + n),
                    size * N,
                    count,
                    sums.ctypes.data + 4 * (m * BLOCK + n),
                    4 * BLOCK,
                    ahead,
                )
    for m in range(M):
        for n in range(first + tiled, last):
            for c in range(C):
                sums[m, n - first] += x[m, c] * widen(weight[c, n])
        out[m, first:last] = sums[m, : last - first]


@njit
def _dots(operands: int, results: int, row: int, storage: Any) -> None:
    """A block of rows of a weight ``[N, C]``."""
    M, C, N = dim(operands, 0, 0), dim(operands, 0, 1), dim(operands, 1, 0)
    x = carray(data(operands, 0), (M, C), np.float32)
    weight = carray(data(operands, 1), (N, C), storage)
    out = carray(data(results, 0), (M, N), np.float32)
    first = row * BLOCK
    last = min(first + BLOCK, N)
    tiled = first + (last - first) // QUAD * QUAD if C >= LANES else first
    size, x_at, weight_at = weight.itemsize, address(operands, 0), address(operands, 1)
    sums = np.empty(LANES, np.float32)
    sums_at, count = sums.ctypes.data, C // LANES
    for n in range(first, tiled, QUAD):
        at = weight_at + size * n * C
        for m in range(0, M - 2 * QUAD + 1, 2 * QUAD):
            # The rows that come next are fetched once, and never from past the end.
            ahead = QUAD * C * size if m == 0 and n + 2 * QUAD <= N else 0
            x_m = x_at + 4 * m * C
            for half in range(0, QUAD, 2):
                dots_8_by_2(storage, x_m, 4 * C, at + size * half * C, size * C, count, sums_at, ahead)
                for i in range(2 * QUAD):
                    out[m + i, n + half], out[m + i, n + half + 1] = sums[2 * i], sums[2 * i + 1]
        for m in range(M - M % (2 * QUAD), M, QUAD):
            ahead = QUAD * C * size if m == 0 and n + 2 * QUAD <= N else 0
            dots_4_by_4(storage, x_at + 4 * m * C, 4 * C, at, size * C, count, sums_at, ahead)
            for i in range(QUAD):
                for j in range(QUAD):
                    out[m + i, n + j] = sums[QUAD * i + j]
    for n in range(first, last):
        for m in range(M):
            total = out[m, n] if n < tiled else np.float32(0)
            for c in range(C - C % LANES if n < tiled else 0, C):
                total += x[m, c] * widen(weight[n, c])
            out[m, n] = total
