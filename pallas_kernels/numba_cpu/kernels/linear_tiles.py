"""The inner loops of the CPU kernel of `linear`, in vectors of 16 numbers: sums stay in registers.

numba would keep such sums in memory. Written as LLVM's code with its vectors, which it fits to the processor.
Letters: c summed numbers of a row · n results of a row.
"""

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pallas_kernels.numba_cpu.kernels.runtime import intrinsic

LANES, QUAD = 16, 4
# Vectors of sums side by side: 4 × 4 are half the registers of AVX-512; elsewhere a vector is two or four.
WIDE = 4 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 1

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTS = ir.VectorType(_F32, LANES), ir.VectorType(_I32, LANES)


def _word(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _load(builder: Any, address: Any, kind: Any) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def _load_widened(builder: Any, address: Any, stored: Any) -> Any:
    """16 stored numbers as f32: see `runtime.widen`."""
    if stored == types.uint16:
        bits = _load(builder, address, ir.VectorType(ir.IntType(16), LANES))
        high = builder.shl(builder.zext(bits, _INTS), ir.Constant(_INTS, [16] * LANES))
        return builder.bitcast(high, _VECTOR)
    if stored == types.int8:
        codes = _load(builder, address, ir.VectorType(ir.IntType(8), LANES))
        return builder.sitofp(codes, _VECTOR)
    return _load(builder, address, _VECTOR)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v16f32"), [a, b, c])


def _broadcast(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * LANES))


def _prefetch(builder: Any, address: Any) -> None:
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    how = [ir.Constant(_I32, value) for value in (0, 3, 1)]  # to read, to keep, data
    builder.call(function, [builder.inttoptr(address, pointer), *how])


def _sum_loop(builder: Any, count: Any, start: list[Any], body: Any) -> list[Any]:
    """``sums = body(i, sums)`` for i below ``count`` ≥ 1, the sums in registers."""
    before = builder.block
    loop, after = builder.append_basic_block("sum"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(_I64)
    i.add_incoming(_word(0), before)
    sums = [builder.phi(_VECTOR) for _ in start]
    for total, first in zip(sums, start, strict=True):
        total.add_incoming(first, before)
    new = body(i, sums)
    following = builder.add(i, _word(1))
    i.add_incoming(following, loop)
    for total, later in zip(sums, new, strict=True):
        total.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    return new


def _lane_sums(builder: Any, vectors: list[Any]) -> Any:
    """Of 16 vectors the one whose lane i is the sum of the i-th, by adding halves of two at a time."""
    while len(vectors) > 1:
        half = len(vectors) // 2
        low = [i if not i & half else LANES + i - half for i in range(LANES)]
        high = [i + half if not i & half else LANES + i for i in range(LANES)]
        vectors = [
            builder.fadd(*(builder.shuffle_vector(a, b, ir.Constant(_INTS, mask)) for mask in (low, high)))
            for a, b in zip(vectors[:half], vectors[half:], strict=True)
        ]
    return vectors[0]


@intrinsic
def add_columns(
    typing: Any,
    storage: Any,
    x: Any,
    x_row: Any,
    weight: Any,
    weight_row: Any,
    count: Any,
    sums: Any,
    sums_row: Any,
    ahead: Any,
) -> Any:
    """sums[4, 16·WIDE] += x[4, count] · weight[count, 16·WIDE].

    ``x``, ``weight``, ``sums`` are addresses, ``…_row`` bytes between rows; ``ahead`` is how many bytes past
    what is read of the weight to prefetch.
    """
    stored = storage.instance_type
    size = stored.bitwidth // 8

    def emit(context: Any, b: Any, signature: Any, values: Any) -> Any:
        _, x, x_row, weight, weight_row, count, sums, sums_row, ahead = values
        rows = [b.add(x, b.mul(_word(m), x_row)) for m in range(QUAD)]
        places = [
            b.add(b.add(sums, b.mul(_word(m), sums_row)), _word(4 * LANES * v))
            for m in range(QUAD)
            for v in range(WIDE)
        ]

        def body(i: Any, totals: list[Any]) -> list[Any]:
            here = b.add(weight, b.mul(i, weight_row))
            for line in range(0, LANES * WIDE * size, 64):
                _prefetch(b, b.add(b.add(here, ahead), _word(line)))
            wide = [_load_widened(b, b.add(here, _word(LANES * size * v)), stored) for v in range(WIDE)]
            new = []
            for m in range(QUAD):
                factor = _broadcast(b, _load(b, b.add(rows[m], b.mul(i, _word(4))), _F32))
                new += [_multiply_add(b, factor, wide[v], totals[WIDE * m + v]) for v in range(WIDE)]
            return new

        start = [_load(b, place, _VECTOR) for place in places]
        for total, place in zip(_sum_loop(b, count, start, body), places, strict=True):
            b.store(total, b.inttoptr(place, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(storage, *[types.int64] * 8), emit


def _dots_tile(height: int) -> Any:
    """A function: sums[height, 16/height] = x[height, 16·count] · weight[16/height, 16·count]ᵀ.

    Arguments as of `add_columns`. Tall tiles read the weight once for more rows of x.
    """
    across = LANES // height

    @intrinsic
    def dots(
        typing: Any,
        storage: Any,
        x: Any,
        x_row: Any,
        weight: Any,
        weight_row: Any,
        count: Any,
        sums: Any,
        ahead: Any,
    ) -> Any:
        stored = storage.instance_type
        size = stored.bitwidth // 8

        def emit(context: Any, b: Any, signature: Any, values: Any) -> Any:
            _, x, x_row, weight, weight_row, count, sums, ahead = values
            rows = [b.add(x, b.mul(_word(m), x_row)) for m in range(height)]
            columns = [b.add(weight, b.mul(_word(n), weight_row)) for n in range(across)]

            def body(i: Any, totals: list[Any]) -> list[Any]:
                x_at, weight_at = b.mul(i, _word(4 * LANES)), b.mul(i, _word(size * LANES))
                at = [b.add(column, weight_at) for column in columns]
                for place in at:
                    _prefetch(b, b.add(place, ahead))
                wide = [_load_widened(b, place, stored) for place in at]
                new = []
                for m in range(height):
                    mine, first = _load(b, b.add(rows[m], x_at), _VECTOR), across * m
                    new += [_multiply_add(b, mine, wide[n], totals[first + n]) for n in range(across)]
                return new

            zero = ir.Constant(_VECTOR, [0.0] * LANES)
            totals = _sum_loop(b, count, [zero] * LANES, body)
            b.store(_lane_sums(b, totals), b.inttoptr(sums, _VECTOR.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(storage, *[types.int64] * 7), emit

    return dots


dots_4_by_4, dots_8_by_2 = _dots_tile(4), _dots_tile(8)
