"""Few rows times a large weight: the public function, its checks and its dispatch.

Letters: M rows · C summed numbers of a row · N results of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels._dispatch import Op
from pallas_kernels.errors import expect
from pallas_kernels.stored import BF16_BITS

OP = Op("linear", kernels=("cpu",))
ROW_DTYPES = (jnp.bfloat16, jnp.float32)
WEIGHT_DTYPES = (jnp.bfloat16, jnp.float32, jnp.int8, BF16_BITS)


def linear(
    x_mc: jax.Array,
    weight: jax.Array,
    *,
    transposed: bool = False,
    implementation: str | None = None,
) -> jax.Array:
    """``x · weight``, summed in f32: a decode step's products, which reading the weight bounds.

    Args:
        x_mc: ``[M, C]`` bf16 or f32.
        weight: ``[C, N]``, or ``[N, C]`` where ``transposed`` (an embedding read as a projection). f32, bf16,
            int8 (the caller multiplies by its scales), or on CPUs `BF16_BITS`.
        transposed: see ``weight``.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        ``[M, N]`` f32.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    expect(x_mc.ndim == 2, OP.name, f"x is [M, C], not {x_mc.shape}")
    want = f"[N, {x_mc.shape[1]}]" if transposed else f"[{x_mc.shape[1]}, N]"
    expect(
        weight.ndim == 2 and weight.shape[1 if transposed else 0] == x_mc.shape[1],
        OP.name,
        f"the weight is {want}, not {weight.shape}",
    )
    expect(x_mc.dtype in ROW_DTYPES, OP.name, f"x is bfloat16 or float32, not {x_mc.dtype}")
    expect(
        weight.dtype in WEIGHT_DTYPES,
        OP.name,
        f"the weight is bfloat16 (or its bits in uint16), float32 or int8, not {weight.dtype}",
    )
    return OP(implementation, {"x_mc": x_mc, "weight": weight}, transposed=transposed)
