"""The meaning of `linear` in plain jnp: widen everything to f32, multiply, sum.

Letters: M rows · C summed numbers of a row · N results of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.stored import widen


def linear(x_mc: jax.Array, weight: jax.Array, *, transposed: bool) -> jax.Array:
    """See `pallas_kernels.linear`."""
    letters = "mc,nc->mn" if transposed else "mc,cn->mn"
    return jnp.einsum(letters, x_mc.astype(jnp.float32), widen(weight), precision="highest")
