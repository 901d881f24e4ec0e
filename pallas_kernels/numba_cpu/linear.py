"""`linear` for CPUs: the weight is read once, in the dtype that it is held in.

Letters: m rows · c summed numbers of a row · n results of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.linear.api import Linear
from pallas_kernels.numba_cpu.calls import kind, refusal, run_kernel

MOST_ROWS = 32


def check(call: Linear) -> str | None:
    """Why the kernel cannot run this call, or None."""
    if len(call.x_mc) > MOST_ROWS:
        return f"it is for up to {MOST_ROWS} rows, not {len(call.x_mc)}: XLA's is faster with more"
    return refusal(("float32", "bfloat16", "int8"), weights=call.weight)


def linear(call: Linear) -> jax.Array:
    """See `pallas_kernels.linear`."""
    dtype, rows = kind(call.weight.dtype), len(call.x_mc)
    x_mc = jnp.pad(call.x_mc.astype(jnp.float32), ((0, -rows % 4), (0, 0)))
    (out_mn,) = run_kernel(
        "linear",
        f"{dtype}_transposed" if call.transposed else dtype,
        (jax.ShapeDtypeStruct((len(x_mc), call.weight.shape[0 if call.transposed else 1]), jnp.float32),),
        (x_mc, call.weight),
    )
    return out_mn[:rows]
