"""The CPU kernel of `select_pages`: one (sequence, KV head) a row.

A score becomes an unsigned number of the same order; its J-th largest is found digit by digit, by counting.
Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

from typing import Any

import numpy as np

from pallas_kernels.numba_cpu.kernels.runtime import bits_of_float, carray, data, dim, njit
from pallas_kernels.select_pages.api import LARGEST_SCORE

BITS = 8  # of a digit
_LARGEST = np.float32(LARGEST_SCORE)
_FORCED = np.uint32(0xFFFFFFFF)  # above the rank of any score


def rows(operands: int) -> int:
    """One for each (sequence, KV head)."""
    return dim(operands, 0, 0) * dim(operands, 0, 1)


def _float32(operands: int, results: int, row: int) -> None:
    B, K, P = dim(operands, 0, 0), dim(operands, 0, 1), dim(operands, 0, 2)
    J = dim(results, 0, 2)
    b = row // K
    scores = carray(data(operands, 0), (B * K, P), np.float32)[row]
    pages = carray(data(operands, 1), (B,), np.int32)[b]
    table = carray(data(operands, 2), (B, P), np.int32)[b]
    always = carray(data(operands, 3), (2,), np.int32)
    ids = carray(data(results, 0), (B * K, J), np.int32)[row]
    num_pages = carray(data(results, 1), (B * K,), np.int32)
    pages = min(max(pages, 0), P)  # no others are there
    num_pages[row] = min(pages, J)
    ids[:] = 0
    if pages <= J:
        for j in range(pages):
            ids[j] = table[pages - 1 - j]
    else:
        _choose(scores, pages, always[0], always[1], table, ids)


KERNELS = {"float32": _float32}


@njit
def _choose(scores: Any, pages: int, sinks: int, local: int, table: Any, ids: Any) -> None:
    """The pages of the largest ranks, backwards through the text; of equal ranks the older pages."""
    J = ids.shape[0]
    ranks = np.empty(pages, np.uint32)
    for page in range(pages):
        ranks[page] = _rank(scores[page])
    for page in range(sinks):
        ranks[page] = _FORCED
    for page in range(max(pages - local, 0), pages):
        ranks[page] = _FORCED
    threshold, above = _threshold(ranks, J)
    equal = J - above  # how many pages of the threshold's rank are chosen
    j = J
    for page in range(pages):
        rank = ranks[page]
        if rank > threshold or (rank == threshold and equal > 0):
            if rank == threshold:
                equal -= 1
            j -= 1
            ids[j] = table[page]


@njit
def _rank(score: Any) -> Any:
    """A number that orders scores as `SelectPages.rank` does: NaN last, −0 as 0, infinities clipped."""
    if np.isnan(score) or score < -_LARGEST:
        score = -_LARGEST
    elif score > _LARGEST:
        score = _LARGEST
    bits = np.uint32(bits_of_float(score + np.float32(0)))
    sign = np.uint32(0x80000000)
    return ~bits if bits & sign else bits | sign


@njit
def _threshold(ranks: Any, count: int) -> tuple[Any, Any]:
    """The ``count``-th largest rank, and how many ranks are larger."""
    digits = 1 << BITS
    counts = np.empty(digits, np.int32)
    prefix, above = np.uint32(0), 0
    for shift in range(32 - BITS, -1, -BITS):
        counts[:] = 0
        known = np.uint32(shift + BITS)
        for rank in ranks:
            if shift + BITS == 32 or rank >> known == prefix:
                counts[(rank >> np.uint32(shift)) & np.uint32(digits - 1)] += 1
        digit = digits - 1
        while above + counts[digit] < count:
            above += counts[digit]
            digit -= 1
        prefix = np.uint32((prefix << np.uint32(BITS)) | np.uint32(digit))
    return prefix, above
