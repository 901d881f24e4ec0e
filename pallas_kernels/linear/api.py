"""Few rows times a large weight: the public function, its checks and its dispatch.

Letters: M rows · C summed numbers of a row · N results of a row.
"""

import jax

from pallas_kernels._dispatch import Op
from pallas_kernels.arguments import ROWS, WEIGHTS, flag, take
from pallas_kernels.errors import expect

OP = Op("linear", kernels=("cpu",), differentiable=True)
ARGUMENTS = {"x_mc": ROWS, "weight": WEIGHTS}


def linear(
    x_mc: jax.Array, weight: jax.Array, *, transposed: bool = False, implementation: str | None = None
) -> jax.Array:
    """``x · weight``, summed in f32: a decode step's products, which reading the weight bounds.

    Args:
        x_mc: ``[M, C]`` bf16, f32 or f16.
        weight: ``[C, N]``, or ``[N, C]`` where ``transposed`` (an embedding read as a projection). f32, bf16,
            f16, int8 (the caller multiplies by its scales), or on CPUs `BF16_BITS`.
        transposed: see ``weight``.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        ``[M, N]`` f32.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    arrays = take(OP.name, ARGUMENTS, {"x_mc": x_mc, "weight": weight})
    x_mc, weight = arrays.values()
    transposed = flag(OP.name, "transposed", transposed)
    expect(x_mc.ndim == 2, OP.name, f"x is [M, C], not {x_mc.shape}")
    want = f"[N, {x_mc.shape[1]}]" if transposed else f"[{x_mc.shape[1]}, N]"
    expect(
        weight.ndim == 2 and weight.shape[1 if transposed else 0] == x_mc.shape[1],
        OP.name,
        f"the weight is {want}, not {weight.shape}",
    )
    return OP(implementation, arrays, transposed=transposed)
