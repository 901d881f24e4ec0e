"""`linear` for XLA: one dot in the rows' dtype, summed in f32.

Letters: M rows · C summed numbers of a row · N results of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.stored import BF16_BITS, widen


def linear(x_mc: jax.Array, weight: jax.Array, *, transposed: bool) -> jax.Array:
    """See `pallas_kernels.linear`."""
    if weight.dtype == BF16_BITS:
        weight = widen(weight)
    letters = "mc,nc->mn" if transposed else "mc,cn->mn"
    weight = weight.astype(x_mc.dtype)
    return jnp.einsum(letters, x_mc, weight, preferred_element_type=jnp.float32)
