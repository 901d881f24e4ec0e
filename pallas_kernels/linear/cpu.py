"""`linear` for CPUs: the weight is read once, in the dtype that it is held in.

Letters: M rows · C summed numbers of a row · N results of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels import _cpu

KINDS = ("float32", "bfloat16", "int8")
MOST_ROWS = 32


def check(x_mc: jax.Array, weight: jax.Array, *, transposed: bool) -> str | None:
    """Why the kernel cannot run this call, or None."""
    if _cpu.kind(weight.dtype) not in KINDS:
        return f"it reads float32, bfloat16 and int8 weights, not {weight.dtype}"
    if x_mc.shape[0] > MOST_ROWS:
        return f"it is for up to {MOST_ROWS} rows, not {x_mc.shape[0]}: XLA's is faster with more"
    return _cpu.refusal()


def linear(x_mc: jax.Array, weight: jax.Array, *, transposed: bool) -> jax.Array:
    """See `pallas_kernels.linear`."""
    kind = _cpu.kind(weight.dtype)
    M, N = x_mc.shape[0], weight.shape[0 if transposed else 1]
    x_mc = jnp.pad(x_mc.astype(jnp.float32), ((0, -M % 4), (0, 0)))
    (out_mn,) = _cpu.call(
        "linear.cpu_kernel",
        f"{kind}_transposed" if transposed else kind,
        (jax.ShapeDtypeStruct((len(x_mc), N), jnp.float32),),
        (x_mc, weight),
    )
    return out_mn[:M]
