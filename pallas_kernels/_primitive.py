"""One JAX primitive for every op: a call stays whole until it is lowered, when its platform is known.

So a program traces and lowers the kernels of its own platform only, and one that another jax cannot trace
never fails the others.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from pallas_kernels._back_ends import PLATFORMS
from pallas_kernels._calls import REMEMBERED, Avals, Call, our_rules, tell
from pallas_kernels.errors import NotDifferentiableError

CALL = Primitive("pallas_kernels")
CALL.multiple_results = True


def bind(call: Call, arrays: Sequence[jax.Array]) -> Any:
    """The results of a call, as the op's back ends return them."""
    structure = jax.tree.structure(call.results(avals_of(arrays)))
    return jax.tree.unflatten(structure, CALL.bind(*arrays, call=call))


def avals_of(arrays: Sequence[Any]) -> Avals:
    """Shapes and dtypes alone: how arrays are split over a mesh does not change what a kernel is."""
    return tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays)


@CALL.def_impl
def _run(*arrays: jax.Array, call: Call) -> Any:
    with jax.disable_jit(False):  # else this would call itself
        return _compiled(call)(*arrays)


@functools.lru_cache(REMEMBERED)
def _compiled(call: Call) -> Callable[..., Any]:
    return jax.jit(functools.partial(CALL.bind, call=call))


@CALL.def_abstract_eval
def _describe(*avals: Any, call: Call) -> Any:
    """What XLA's path gives; it is traced with the arrays' partition, which the results then have too."""
    with jax.disable_jit(False):
        return call.run(call.xla).trace(*avals).jaxpr.out_avals


def _lower(platform: str, context: Any, *values: Any, call: Call) -> Any:
    avals = avals_of(context.avals_in)
    back_end, reasons = call.choose(platform, avals)
    tell(call, platform, back_end, reasons)
    plain = [jax.core.ShapedArray(x.shape, x.dtype) for x in avals]
    run = mlir.lower_fun(call.program(back_end, avals))
    with our_rules():
        return run(dataclasses.replace(context, avals_in=plain), *values)


for _platform in PLATFORMS.values():
    mlir.register_lowering(CALL, functools.partial(_lower, _platform), platform=_platform)
mlir.register_lowering(CALL, functools.partial(_lower, "any other platform"))


def _batch(arrays: Sequence[jax.Array], axes: Sequence[int | None], *, call: Call) -> Any:
    """One call after the other: a kernel has no axis to spare."""
    mapped = {i: axis for i, axis in enumerate(axes) if axis is not None}

    def one(rows: Sequence[jax.Array]) -> list[jax.Array]:
        row = dict(zip(mapped, rows, strict=True))
        return CALL.bind(*(row.get(i, x) for i, x in enumerate(arrays)), call=call)

    results = lax.map(one, [jax.numpy.moveaxis(arrays[i], axis, 0) for i, axis in mapped.items()])
    return results, [0] * len(results)


batching.primitive_batchers[CALL] = _batch


def _differentiate(primals: Sequence[jax.Array], tangents: Sequence[Any], *, call: Call) -> Any:
    """Derivatives are XLA's, of the ops that have them."""
    if not call.differentiable:
        raise NotDifferentiableError(
            f"{call.op} is not differentiable: its kernels are for decoding "
            "(stop_gradient what goes in, or name implementation='reference')"
        )
    moving = [i for i, tangent in enumerate(tangents) if type(tangent) is not ad.Zero]

    def of_moving(*arrays: jax.Array) -> list[jax.Array]:
        changed = dict(zip(moving, arrays, strict=True))
        return jax.tree.leaves(call.run(call.xla)(*(changed.get(i, x) for i, x in enumerate(primals))))

    at, along = ([values[i] for i in moving] for values in (primals, tangents))
    return CALL.bind(*primals, call=call), jax.jvp(of_moving, at, along)[1]


ad.primitive_jvps[CALL] = _differentiate
