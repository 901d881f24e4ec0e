"""What the CPU kernels share: whether they can run here, and how XLA is told to call one.

The kernels themselves (``<op>/cpu_kernel.py``) are Python that numba compiles; nothing here imports it.
"""

import functools
import importlib
import importlib.util
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from pallas_kernels.stored import BF16_BITS


def kind(dtype: jax.typing.DTypeLike) -> str:
    """The name that kernels give to numbers stored as ``dtype``."""
    return "bfloat16" if dtype == BF16_BITS else jnp.dtype(dtype).name


def refusal() -> str | None:
    """Why no CPU kernel can run, or None."""
    if importlib.util.find_spec("numba") is None:
        return "it is compiled by numba, which is not installed (pip install 'kinetics-jax[cpu]')"
    return None


def call(
    module: str,
    dtype: str,
    results: Sequence[jax.ShapeDtypeStruct],
    operands: Sequence[jax.Array],
    *,
    aliases: Mapping[int, int] | None = None,
) -> Sequence[jax.Array]:
    """Call the kernel of ``module`` (``<op>.cpu_kernel``) that its KERNELS have for ``dtype``.

    ``aliases``: operand → the result that is the same memory, as XLA's custom calls have it.
    """
    target = _registered(module, dtype)
    function = jax.ffi.ffi_call(
        target, tuple(results), vmap_method="sequential", input_output_aliases=dict(aliases or {})
    )
    return function(*operands)


@functools.cache
def _registered(module: str, dtype: str) -> str:
    """The name under which XLA finds the kernel, which is compiled on the first call."""
    runtime = importlib.import_module("pallas_kernels._cpu_runtime")
    kernels = importlib.import_module(f"pallas_kernels.{module}")
    target = f"pallas_kernels.{module}.{dtype}"
    capsule = runtime.handler(kernels.KERNELS[dtype], kernels.rows)
    jax.ffi.register_ffi_target(target, capsule, platform="cpu")
    return target
