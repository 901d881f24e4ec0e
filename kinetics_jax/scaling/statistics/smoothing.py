"""The moving average that the paper's scripts lay over each model's curve."""

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError

Floats = NDArray[np.float64]


def smooth(curves: Floats, width: int) -> Floats:
    """Moving average over the last axis; beyond the ends the curve is its own mirror image.

    Raises:
        InputError: a width that is not odd, or wider than the curve.
    """
    if width < 1 or width % 2 == 0:
        raise InputError(f"smoothing={width} must be an odd number of grid points (1: none)")
    if width > curves.shape[-1]:
        raise InputError(f"smoothing={width} is wider than the grid of {curves.shape[-1]} costs")
    if width == 1:
        return curves
    edge = width // 2
    padded = np.pad(curves, [(0, 0)] * (curves.ndim - 1) + [(edge, edge)], mode="symmetric")
    size = curves.shape[-1]
    return np.sum([padded[..., i : i + size] for i in range(width)], axis=0) / width
