"""Rows of a table by number: the public function, its checks and its dispatch.

Letters: M rows wanted · V rows of the table · D numbers of a row.
"""

import jax

from pallas_kernels._dispatch import Op
from pallas_kernels.arguments import WEIGHTS, WHOLE, take
from pallas_kernels.errors import expect

OP = Op("look_up", kernels=("cpu",), differentiable=True)
ARGUMENTS = {"table_vd": WEIGHTS, "ids_m": WHOLE}


def look_up(table_vd: jax.Array, ids_m: jax.Array, *, implementation: str | None = None) -> jax.Array:
    """Rows ``ids_m`` of ``table_vd``, as f32: what `linear` is to a projection, this is to an embedding.

    Args:
        table_vd: ``[V, D]`` f32, bf16, f16, int8 (the caller multiplies by its scales), or on CPUs
            `BF16_BITS`.
        ids_m: ``[M]`` int32; one outside the table counts as the nearest row.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        ``[M, D]`` f32.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    arrays = take(OP.name, ARGUMENTS, {"table_vd": table_vd, "ids_m": ids_m})
    table_vd, ids_m = arrays.values()
    rows = table_vd.ndim == 2 and (table_vd.shape[0] > 0 or ids_m.size == 0)
    expect(rows, OP.name, f"the table is [V, D], not {table_vd.shape}")
    expect(ids_m.ndim == 1, OP.name, f"ids are [M] int32, not {ids_m.shape} {ids_m.dtype}")
    return OP(implementation, arrays)
