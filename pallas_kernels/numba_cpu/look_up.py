"""`look_up` for CPUs: in a loop, jax 0.10 there widens the whole of a bf16 table; this reads the rows.

Letters: m rows wanted · V rows of the table · D numbers of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.look_up.api import LookUp
from pallas_kernels.numba_cpu.calls import kind, refusal, run_kernel


def check(call: LookUp) -> str | None:
    """Why the kernel cannot run this call, or None."""
    return refusal(("float32", "bfloat16", "int8"), tables=call.table_vd)


def look_up(call: LookUp) -> jax.Array:
    """See `pallas_kernels.look_up`."""
    (rows_md,) = run_kernel(
        "look_up",
        kind(call.table_vd.dtype),
        (jax.ShapeDtypeStruct((len(call.ids_m), call.table_vd.shape[1]), jnp.float32),),
        (call.ids_m, call.table_vd),
    )
    return rows_md
