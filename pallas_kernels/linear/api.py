"""Few rows times a large weight: the public function, its checks and its dispatch.

Letters: m rows · c summed numbers of a row · n results of a row.
"""

from jaxtyping import Array, Float, Float32, Real

from pallas_kernels._dispatch import Implementation, Op
from pallas_kernels.arguments import ROWS, WEIGHTS, array, flag, option, take, typed_call
from pallas_kernels.errors import expect

OP = Op("linear", kernels=("cpu",), differentiable=True)


@typed_call
class Linear:
    """A call of `linear`, which says what the fields are."""

    x_mc: Float[Array, "m c"] = array(ROWS)
    weight: Real[Array, "c n"] | Real[Array, "n c"] = array(WEIGHTS)
    transposed: bool = option(flag, default=False)


def linear(
    x_mc: Float[Array, "m c"],
    weight: Real[Array, "c n"] | Real[Array, "n c"],
    *,
    transposed: bool = False,
    implementation: Implementation = None,
) -> Float32[Array, "m n"]:
    """``x · weight``, summed in f32: a decode step's products, which reading the weight bounds.

    Args:
        x_mc: ``[M, C]`` bf16, f32 or f16.
        weight: ``[C, N]``, or ``[N, C]`` where ``transposed`` (an embedding read as a projection). f32, bf16,
            f16, int8 (the caller multiplies by its scales), or on CPUs `BF16_BITS`.
        transposed: see ``weight``.
        implementation: None, a back end, or several in the order to try (docs/kernels/back_ends.md).

    Returns:
        ``[M, N]`` f32.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    call = take(OP.name, Linear(x_mc, weight, transposed))
    rows, shape = call.x_mc.shape, call.weight.shape
    expect(len(rows) == 2, OP.name, f"x is [M, C], not {rows}")
    want = f"[N, {rows[1]}]" if call.transposed else f"[{rows[1]}, N]"
    fits = len(shape) == 2 and shape[1 if call.transposed else 0] == rows[1]
    expect(fits, OP.name, f"the weight is {want}, not {shape}")
    return OP(implementation, call)
