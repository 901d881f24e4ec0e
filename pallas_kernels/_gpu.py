"""What the Mosaic GPU kernels share: where they run, and the one operation that the interpreter lacks."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas import mosaic_gpu

plgpu: Any = mosaic_gpu  # a checker sees one jax; the names differ between 0.10 and 0.12

# What the kernels use and jax 0.10 lacks; 0.11 has a part of it.
NEEDED = ("InterpretGPUParams", "load", "mma", "store")

# JAX names a device that is not here by its kind alone.
HOPPER_AND_LATER = ("H100", "H200", "H800", "H20", "GH200", "B100", "B200", "GB200", "B300", "GB300")


def missing() -> tuple[str, ...]:
    """What the kernels use of Mosaic GPU and this jax does not have."""
    return tuple(name for name in NEEDED if not hasattr(plgpu, name))


def refusal() -> str | None:
    """Why no Mosaic GPU kernel can run, or None: the version of jax, or the GPU that is being compiled for.

    On a host without a GPU the answer is None, as the kernel may be lowered for one elsewhere.
    """
    if missing():
        names = ", ".join(missing())
        return f"its kernels need jax 0.12 (Mosaic GPU has no {names}), this is {jax.__version__}"
    kind = _device_kind()
    if kind is not None and not any(name in kind for name in HOPPER_AND_LATER):
        return f"its kernels copy with TMA, which {kind} lacks (Hopper or later has it)"
    return None


def _device_kind() -> str | None:
    described = jax.sharding.get_abstract_mesh().abstract_device
    if described is not None:
        return described.device_kind if "NVIDIA" in described.device_kind else None
    return jax.devices()[0].device_kind if jax.default_backend() == "gpu" else None


def interpret_options(interpret: Any) -> dict[str, Any]:
    """``interpret`` of a back end (False, True or parameters) as `plgpu.kernel` takes it."""
    if not interpret:
        return {}
    return {"interpret": plgpu.InterpretGPUParams() if interpret is True else interpret}


def mma(acc_mn: jax.Array, a_mk: jax.Array, b_kn: jax.Array, *, interpret: Any) -> jax.Array:
    """``acc + a @ b`` on tensor cores, from and to registers; as `jnp.dot` under the interpreter."""
    if interpret:
        return acc_mn + jnp.dot(a_mk, b_kn, preferred_element_type=jnp.float32)
    return plgpu.mma(acc_mn, a_mk, b_kn)


@functools.cache
def tiled(dtype: jnp.dtype, width: int = 128) -> tuple[Any, ...]:
    """How shared memory holds a matrix that is read as mma operands, in slices of ``width`` columns or more.

    From 128 bytes on it is free of bank conflicts.
    """
    itemsize = jnp.dtype(dtype).itemsize
    swizzle = math.gcd(width * itemsize, 128)
    return plgpu.TilingTransform((8, swizzle // itemsize)), plgpu.SwizzleTransform(swizzle)
