"""`look_up` for CPUs: in a loop, jax 0.10 there widens the whole of a bf16 table; this reads the rows.

Letters: M rows wanted · V rows of the table · D numbers of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels import _cpu

KINDS = ("float32", "bfloat16", "int8")


def check(table_vd: jax.Array, ids_m: jax.Array) -> str | None:
    """Why the kernel cannot run this call, or None."""
    if _cpu.kind(table_vd.dtype) not in KINDS:
        return f"it reads float32, bfloat16 and int8 tables, not {table_vd.dtype}"
    return _cpu.refusal()


def look_up(table_vd: jax.Array, ids_m: jax.Array) -> jax.Array:
    """See `pallas_kernels.look_up`."""
    shape = (ids_m.shape[0], table_vd.shape[1])
    (rows_md,) = _cpu.call(
        "look_up.cpu_kernel",
        _cpu.kind(table_vd.dtype),
        (jax.ShapeDtypeStruct(shape, jnp.float32),),
        (ids_m, table_vd),
    )
    return rows_md
