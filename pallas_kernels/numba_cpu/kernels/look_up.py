"""The CPU kernel of `look_up`: a row of the result a row.

Letters: m rows wanted · V rows of the table · D numbers of a row.
"""

from typing import Any

import numpy as np

from pallas_kernels.numba_cpu.kernels.runtime import carray, data, dim, njit, widen


def rows(operands: int) -> int:
    """One for each row wanted."""
    return dim(operands, 0, 0)


def _float32(operands: int, results: int, row: int) -> None:
    _take(operands, results, row, np.float32)


def _bfloat16(operands: int, results: int, row: int) -> None:
    _take(operands, results, row, np.uint16)


def _int8(operands: int, results: int, row: int) -> None:
    _take(operands, results, row, np.int8)


KERNELS = {"float32": _float32, "bfloat16": _bfloat16, "int8": _int8}


@njit
def _take(operands: int, results: int, row: int, storage: Any) -> None:
    M, V, D = dim(operands, 0, 0), dim(operands, 1, 0), dim(operands, 1, 1)
    wanted = carray(data(operands, 0), (M,), np.int32)[row]
    table = carray(data(operands, 1), (V, D), storage)
    out = carray(data(results, 0), (M, D), np.float32)
    place = min(max(wanted, 0), V - 1)
    for d in range(D):
        out[row, d] = widen(table[place, d])
