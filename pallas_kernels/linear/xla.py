"""`linear` for XLA: one dot in the rows' dtype, summed in f32.

Letters: m rows · c summed numbers of a row · n results of a row.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.linear.api import Linear
from pallas_kernels.stored import BF16_BITS, widen


def linear(call: Linear) -> jax.Array:
    """See `pallas_kernels.linear`."""
    weight = widen(call.weight) if call.weight.dtype == BF16_BITS else call.weight
    letters = "mc,nc->mn" if call.transposed else "mc,cn->mn"
    weight = weight.astype(call.x_mc.dtype)
    return jnp.einsum(letters, call.x_mc, weight, preferred_element_type=jnp.float32)
