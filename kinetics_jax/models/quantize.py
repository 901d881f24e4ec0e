"""Symmetric int8 weights with one float32 scale per output channel; activations stay as they are."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Array = jax.Array

_LARGEST = 127.0


def quantize_int8(weight: Array, summed_dims: Sequence[int]) -> tuple[Array, Array]:
    """(values, scale) with ``values · scale ≈ weight``, the error at most half a scale.

    ``summed_dims`` are the dims its matmul sums over; ``scale`` has the others. A channel of zeros
    gets scale 1.
    """
    wide = weight.astype(jnp.float32)
    largest = jnp.max(jnp.abs(wide), axis=tuple(summed_dims), keepdims=True)
    scale = jnp.where(largest > 0, largest / _LARGEST, 1.0)
    values = jnp.clip(jnp.round(wide / scale), -_LARGEST, _LARGEST).astype(jnp.int8)
    return values, jnp.squeeze(scale, tuple(summed_dims))
