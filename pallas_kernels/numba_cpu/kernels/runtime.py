"""numba functions that XLA can call: reading its call frame, and its thread pool.

Layout and calls are those of XLA's C interface (``xla/ffi/api/c_api.h`` in jaxlib, version 0.x), which only
adds fields at the end. A kernel is ``kernel(operands, results, row)``, called once for each of its rows from
any of XLA's threads; ``rows(operands)`` is their number. Both get addresses, to read with `dim` and `data`.
numba's cache on disk looks at a kernel's own file only: after a change here, delete its ``*.nbi`` files.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import jax
import numba
import numba.extending
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np import arrayobj

# numba's own annotations describe its decorators' insides, not what comes out of them.
njit: Any = numba.njit
carray: Any = numba.carray
_cfunc: Any = numba.cfunc
intrinsic: Any = numba.extending.intrinsic

_I8P, _I32, _I64 = ir.IntType(8).as_pointer(), ir.IntType(32), ir.IntType(64)
ADDRESS = types.int64
# Sums may be taken in any order, so that they vectorise; NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "arcp", "nsz"}

# Byte offsets in XLA's structs.
_FRAME_EXTENSION, _FRAME_API, _FRAME_CONTEXT, _FRAME_OPERANDS, _FRAME_RESULTS = 8, 16, 24, 72, 112
_EXTENSION_METADATA, _METADATA_MAJOR, _METADATA_MINOR, _METADATA_TRAITS = 24, 24, 28, 32
_API_MAJOR, _API_MINOR, _API_SCHEDULE, _API_NUM_THREADS = 32, 36, 136, 144
_BUFFER_DATA, _BUFFER_DIMS = 24, 40

# Words of the state that the threads of one call share.
_NEXT, _DONE, _USERS, _ROWS, _OPERANDS, _RESULTS, _WORDS = range(7)


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """The 64-bit word at an address."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(builder.inttoptr(values[0], _I64.as_pointer()))

    return ADDRESS(ADDRESS), emit


@intrinsic
def _load32(typing: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(builder.inttoptr(values[0], _I32.as_pointer()))

    return types.int32(ADDRESS), emit


@intrinsic
def _store(typing: Any, address: Any, value: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[1], builder.inttoptr(values[0], values[1].type.as_pointer()))
        return context.get_dummy_value()

    return types.void(ADDRESS, value), emit


@intrinsic
def _add(typing: Any, address: Any, value: Any) -> Any:
    """Add to a word that threads share; what it held before."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = builder.inttoptr(values[0], _I64.as_pointer())
        return builder.atomic_rmw("add", pointer, values[1], "seq_cst")

    return types.int64(ADDRESS, types.int64), emit


@intrinsic
def _call1(typing: Any, function: Any, argument: Any) -> Any:
    """Call a C function of one pointer that returns a pointer."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(_I64, [_I64]).as_pointer()
        return builder.call(builder.inttoptr(values[0], kind), [values[1]])

    return ADDRESS(ADDRESS, ADDRESS), emit


@intrinsic
def _call3(typing: Any, function: Any, first: Any, second: Any, third: Any) -> Any:
    """Call a C function of three words that returns nothing."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64] * 3).as_pointer()
        builder.call(builder.inttoptr(values[0], kind), values[1:])
        return context.get_dummy_value()

    return types.void(ADDRESS, ADDRESS, ADDRESS, types.int64), emit


@intrinsic
def _allocate(typing: Any, size: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(_I64, [_I64])
        function = cgutils.get_or_insert_function(builder.module, kind, "malloc")
        return builder.call(function, [values[0]])

    return ADDRESS(types.int64), emit


@intrinsic
def _free(typing: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64])
        function = cgutils.get_or_insert_function(builder.module, kind, "free")
        builder.call(function, [values[0]])
        return context.get_dummy_value()

    return types.void(ADDRESS), emit


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], _I8P)

    return types.voidptr(ADDRESS), emit


@intrinsic
def prefetch(typing: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line ``offset`` bytes into an array."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = arrayobj.make_array(signature.args[0])(context, builder, values[0]).data
        address = builder.gep(builder.bitcast(data, _I8P), [values[1]])
        kind = ir.FunctionType(ir.VoidType(), [_I8P, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, of_data = ir.Constant(_I32, 0), ir.Constant(_I32, 3), ir.Constant(_I32, 1)
        builder.call(function, [address, read, keep, of_data])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit


@njit
def dim(buffers: int, index: int, axis: int) -> int:
    """The size of an axis of the ``index``-th operand or result."""
    return load(load(load(buffers + 8 * index) + _BUFFER_DIMS) + 8 * axis)


@njit
def address(buffers: int, index: int) -> int:
    """The address of the ``index``-th operand's or result's numbers."""
    return load(load(buffers + 8 * index) + _BUFFER_DATA)


@njit
def data(buffers: int, index: int) -> Any:
    """Where the ``index``-th operand or result lies, as `carray` takes it."""
    return _pointer(address(buffers, index))


@intrinsic
def widen(typing: Any, stored: Any) -> Any:
    """A stored number as f32: itself, bf16 bits held as uint16, or an int8."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if stored == types.uint16:
            bits = builder.shl(builder.zext(values[0], _I32), ir.Constant(_I32, 16))
            return builder.bitcast(bits, ir.FloatType())
        if stored == types.int8:
            return builder.sitofp(values[0], ir.FloatType())
        return values[0]

    return types.float32(stored), emit


@intrinsic
def narrow(typing: Any, number: Any, like: Any) -> Any:
    """An f32 as a number of the kind of ``like``: itself, or bf16 bits (half to even; NaN stays NaN)."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if like != types.uint16:
            return values[0]
        bits, half = builder.bitcast(values[0], _I32), ir.Constant(_I32, 16)
        high = builder.lshr(bits, half)
        odd = builder.and_(high, ir.Constant(_I32, 1))
        bias = builder.add(odd, ir.Constant(_I32, 0x7FFF))
        rounded = builder.lshr(builder.add(bits, bias), half)
        quiet = builder.or_(high, ir.Constant(_I32, 0x40))
        is_nan = builder.fcmp_unordered("uno", values[0], values[0])
        return builder.trunc(builder.select(is_nan, quiet, rounded), ir.IntType(16))

    return like(types.float32, like), emit


@intrinsic
def float_of_bits(typing: Any, bits: Any) -> Any:
    """The f32 with these 32 bits."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.FloatType())

    return types.float32(types.int32), emit


@intrinsic
def bits_of_float(typing: Any, number: Any) -> Any:
    """The 32 bits of an f32."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], _I32)

    return types.int32(number), emit


@njit(fastmath=FAST, inline="always")
def exp_of_negative(x: Any) -> Any:
    """e^x in f32 for x ≤ 0, within 2 ulp, in steps that vectorise (the C library's do not). NaN stays NaN.

    2^n·e^r with |r| ≤ ln 2 / 2 and the polynomial of Cephes' expf. Below −87 it is e^−87 ≈ 1e-38.
    """
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * r + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + np.float32(5.0000001201e-1)
    y = y * r * r + r + np.float32(1.0)
    power = (np.int32(n) + np.int32(127)) << np.int32(23)
    return y * float_of_bits(power)


@functools.cache
def handler(kernel: Callable[..., None], rows: Callable[[int], int]) -> Any:
    """The function, as a capsule, that XLA calls: it shares the rows of a call among XLA's threads.

    ``kernel`` and ``rows`` are compiled here, or found compiled in numba's cache on disk.
    """
    compiled = _cfunc(types.void(ADDRESS, ADDRESS, types.int64), cache=True)(kernel)
    counter = _cfunc(types.int64(ADDRESS), cache=True)(rows)
    kernel_at, rows_at = compiled.address, counter.address

    @njit
    def work(state: int) -> None:
        """Take rows until there are none. Only a thread that holds a row looks at the buffers."""
        while True:
            row = _add(state + 8 * _NEXT, 1)
            if row >= load(state + 8 * _ROWS):
                break
            _call3(kernel_at, load(state + 8 * _OPERANDS), load(state + 8 * _RESULTS), row)
            _add(state + 8 * _DONE, 1)

    @njit
    def leave(state: int) -> None:
        if _add(state + 8 * _USERS, -1) == 1:
            _free(state)

    @_cfunc(types.void(ADDRESS))
    def help_out(state: int) -> None:
        work(state)
        leave(state)

    helper_at = help_out.address

    @_cfunc(ADDRESS(ADDRESS))
    def handle(frame: int) -> int:
        extension, api = load(frame + _FRAME_EXTENSION), load(frame + _FRAME_API)
        if extension != 0:  # XLA asks which version of the interface this was written for
            metadata = load(extension + _EXTENSION_METADATA)
            _store(metadata + _METADATA_MAJOR, np.int32(0))
            _store(metadata + _METADATA_MINOR, _load32(api + _API_MINOR))
            _store(metadata + _METADATA_TRAITS, np.int32(0))
            return 0
        operands, results = load(frame + _FRAME_OPERANDS), load(frame + _FRAME_RESULTS)
        context, count = load(frame + _FRAME_CONTEXT), _call1(rows_at, operands)
        request = np.zeros(5, np.int64)  # the arguments of XLA's two thread pool functions
        threads = np.zeros(1, np.int64)
        request[0], request[2], request[3] = 32, context, threads.ctypes.data
        _call1(load(api + _API_NUM_THREADS), request.ctypes.data)
        helpers = max(min(threads[0], count) - 1, 0)
        state = _allocate(8 * _WORDS)
        _store(state + 8 * _NEXT, 0)
        _store(state + 8 * _DONE, 0)
        _store(state + 8 * _USERS, helpers + 1)
        _store(state + 8 * _ROWS, count)
        _store(state + 8 * _OPERANDS, operands)
        _store(state + 8 * _RESULTS, results)
        request[0], request[3], request[4] = 40, helper_at, state
        for _ in range(helpers):
            _call1(load(api + _API_SCHEDULE), request.ctypes.data)
        work(state)
        # A helper may come late and find no row, so this waits for rows and not for helpers.
        while _add(state + 8 * _DONE, 0) < count:
            pass
        leave(state)
        return 0

    _alive.append((compiled, counter, help_out, handle))
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    return jax.ffi.pycapsule(ctypes.cast(handle.address, kind))


_alive: list[Any] = []  # XLA may call compiled code for as long as the process lives
