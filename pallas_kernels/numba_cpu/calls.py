"""What the CPU kernels share: whether they can run here, and how XLA is told to call one."""

import functools
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pallas_kernels.stored import BF16_BITS


def kind(dtype: jax.typing.DTypeLike) -> str:
    """The name that kernels give to numbers stored as ``dtype``."""
    return "bfloat16" if dtype == BF16_BITS else jnp.dtype(dtype).name


def refusal(takes: Sequence[str] = (), **arrays: Any) -> str | None:
    """Why no CPU kernel can run, or not on these arrays, of the kinds that it ``takes``; or None."""
    for name, array in arrays.items():
        if array is not None and kind(array.dtype) not in takes:
            return f"it takes {', '.join(takes)} {name}, not {array.dtype}"
    if importlib.util.find_spec("numba") is None:
        return "it is compiled by numba, which is not installed (pip install 'kinetics-jax[cpu]')"
    return None


def run_kernel(
    op: str,
    dtype: str,
    results: Sequence[jax.ShapeDtypeStruct],
    operands: Sequence[jax.Array],
    *,
    aliases: Mapping[int, int] | None = None,
) -> Sequence[jax.Array]:
    """Call the kernel of an op that its KERNELS have for ``dtype``.

    ``aliases``: operand → the result that is the same memory, as XLA's custom calls have it.
    """
    target = _registered(op, dtype)
    function = jax.ffi.ffi_call(
        target, tuple(results), vmap_method="sequential", input_output_aliases=dict(aliases or {})
    )
    return function(*operands)


@functools.cache
def _registered(op: str, dtype: str) -> str:
    """The name under which XLA finds the kernel, which is compiled on the first call."""
    runtime = importlib.import_module("pallas_kernels.numba_cpu.kernels.runtime")
    kernels = importlib.import_module(f"pallas_kernels.numba_cpu.kernels.{op}")
    target = f"pallas_kernels.{op}.{dtype}"
    capsule = runtime.handler(kernels.KERNELS[dtype], kernels.rows)
    jax.ffi.register_ffi_target(target, capsule, platform="cpu")
    return target
