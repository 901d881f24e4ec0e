"""Rows of a table by number: the public function, its checks and its dispatch.

Letters: m rows wanted · V rows of the table · D numbers of a row.
"""

from jaxtyping import Array, Float32, Int, Int32, Real

from pallas_kernels._dispatch import Implementation, Op
from pallas_kernels.arguments import WEIGHTS, WHOLE, array, take, typed_call
from pallas_kernels.errors import expect

OP = Op("look_up", kernels=("cpu",), differentiable=True)


@typed_call
class LookUp:
    """A call of `look_up`, which says what the fields are."""

    table_vd: Real[Array, "V D"] = array(WEIGHTS)
    ids_m: Int32[Array, " m"] = array(WHOLE)


def look_up(
    table_vd: Real[Array, "V D"], ids_m: Int[Array, " m"], *, implementation: Implementation = None
) -> Float32[Array, "m D"]:
    """Rows ``ids_m`` of ``table_vd``, as f32: what `linear` is to a projection, this is to an embedding.

    Args:
        table_vd: ``[V, D]`` f32, bf16, f16, int8 (the caller multiplies by its scales), or on CPUs
            `BF16_BITS`.
        ids_m: ``[M]`` int32; one outside the table counts as the nearest row.
        implementation: None, a back end, or several in the order to try (docs/kernels/back_ends.md).

    Returns:
        ``[M, D]`` f32.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    call = take(OP.name, LookUp(table_vd, ids_m))
    table, ids = call.table_vd.shape, call.ids_m
    expect(len(table) == 2 and (table[0] > 0 or ids.size == 0), OP.name, f"the table is [V, D], not {table}")
    expect(ids.ndim == 1, OP.name, f"ids are [M] int32, not {ids.shape} {ids.dtype}")
    return OP(implementation, call)
