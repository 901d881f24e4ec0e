"""How pools and summaries hold numbers, and how they are read: bf16 may be held as its bits, in uint16.

In a loop, jax 0.10's CPU compiler widens the whole of a bf16 array to read or write a slice of it; it leaves
integers alone. So on CPUs the engine's pools are uint16, which every op reads as bf16.
"""

import jax
import jax.numpy as jnp
from jax import lax

BF16_BITS = jnp.dtype(jnp.uint16)


def widen(stored: jax.Array) -> jax.Array:
    """Stored numbers as f32: exact for every dtype that a pool may have (scales not applied)."""
    if stored.dtype != BF16_BITS:
        return stored.astype(jnp.float32)
    return lax.bitcast_convert_type(stored.astype(jnp.uint32) << 16, jnp.float32)


def narrow(numbers: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Numbers as a pool of ``dtype`` holds them: rounded to bf16, half to even, for `BF16_BITS`."""
    if dtype != BF16_BITS:
        return numbers.astype(dtype)
    return lax.bitcast_convert_type(numbers.astype(jnp.bfloat16), BF16_BITS)
