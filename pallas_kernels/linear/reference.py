"""The meaning of `linear` in plain jnp: widen everything to f32, multiply, sum.

Letters: m rows · c summed numbers of a row · n results of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.linear.api import Linear
from pallas_kernels.stored import widen


def linear(call: Linear) -> jax.Array:
    """See `pallas_kernels.linear`."""
    letters = "mc,nc->mn" if call.transposed else "mc,cn->mn"
    x_mc = call.x_mc.astype(jnp.float32)
    return jnp.einsum(letters, x_mc, widen(call.weight), precision="highest")
