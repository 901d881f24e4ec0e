"""The CPU kernel of `page_scores`: one (sequence, KV head) a row, its summaries in the order they lie.

Letters: B sequences · K KV heads · H head dim · P pages · R summaries of a page · M rows of summaries.
"""

from typing import Any

import numpy as np

from pallas_kernels.numba_cpu.kernels.runtime import FAST, carray, data, dim, njit, widen


def rows(operands: int) -> int:
    """One for each (sequence, KV head)."""
    return dim(operands, 0, 0) * dim(operands, 0, 1)


def _float32(operands: int, results: int, row: int) -> None:
    _score(operands, results, row, np.float32)


def _bfloat16(operands: int, results: int, row: int) -> None:
    _score(operands, results, row, np.uint16)


KERNELS = {"float32": _float32, "bfloat16": _bfloat16}


@njit
def _score(operands: int, results: int, row: int, storage: Any) -> None:
    B, K, R, H = dim(operands, 0, 0), dim(operands, 0, 1), dim(operands, 0, 2), dim(operands, 0, 3)
    M, P = dim(operands, 1, 0), dim(operands, 1, 3)
    b, k = row // K, row % K
    queries = carray(data(operands, 0), (B * K, R, H), np.float32)
    summaries = carray(data(operands, 1), (M, K, R, P, H), storage)
    pages = carray(data(operands, 2), (B,), np.int32)[b]
    place = carray(data(operands, 3), (B,), np.int32)[b]
    scores = carray(data(results, 0), (B * K, P), np.float32)[row]
    # Rows and pages past the ends are not there; the nearest row stands for one, as in a gather.
    pages, place = min(max(pages, 0), P), min(max(place, 0), M - 1)
    _dot_each(queries[row, 0], summaries[place, k, 0], pages, scores)
    if R == 2:
        second = np.empty(pages, np.float32)
        _dot_each(queries[row, 1], summaries[place, k, 1], pages, second)
        for page in range(pages):
            scores[page] += second[page]
    scores[pages:] = -np.inf


@njit(fastmath=FAST)
def _dot_each(query: Any, summaries: Any, pages: int, scores: Any) -> None:
    for page in range(pages):
        dot = np.float32(0)
        for h in range(query.shape[0]):
            dot += widen(summaries[page, h]) * query[h]
        scores[page] = dot
