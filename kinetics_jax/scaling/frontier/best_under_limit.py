"""Choosing under a cost limit, vectorised: the best configuration, then the best model.

Axes: B rows that choose on their own (questions or resamples) · C configurations · G costs of the
grid · M models.
"""

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIE = 1e-12
"""Accuracies nearer than this are equal: sums of thirds differ in the last bit."""


class Choice:
    """Rows of configurations in order of cost, ready to be asked for the best within a limit."""

    def __init__(self, cost_bc: Floats, score_bc: Floats, grid_g: Floats) -> None:
        """Sort once; ``best`` may then be asked with several tolerances."""
        rows = len(cost_bc)
        self._order = np.argsort(cost_bc, axis=1, kind="stable")
        first_g = np.searchsorted(grid_g, cost_bc, side="left") + np.arange(rows)[:, None] * (len(grid_g) + 1)
        counts = np.bincount(first_g.ravel(), minlength=rows * (len(grid_g) + 1))
        self._fitting = counts.reshape(rows, -1)[:, :-1].cumsum(axis=1)  # [B, G]
        ordered = np.take_along_axis(score_bc, self._order, axis=1)
        self._best_so_far = np.maximum.accumulate(ordered, axis=1)

    def best(self, tolerance: float = 0.0) -> Ints:
        """Per row and cost limit the cheapest configuration within the tolerance of the best.

        Args:
            tolerance: relative, as a share of the best score.

        Returns:
            Indices into C, [B, G]; −1 where nothing fits the limit.
        """
        rows, count = self._best_so_far.shape
        last = np.maximum(self._fitting - 1, 0)
        wanted = np.take_along_axis(self._best_so_far, last, axis=1) * (1.0 - tolerance)
        # One search over all rows: row b's scores, in [0, 1] and rising, are shifted by 2·b.
        shift = 2.0 * np.arange(rows)[:, None]
        flat = (self._best_so_far + shift).ravel()
        at = np.searchsorted(flat, wanted + shift, side="left") - np.arange(rows)[:, None] * count
        chosen = np.take_along_axis(self._order, at, axis=1)
        return np.where(self._fitting > 0, chosen, -1)


def take(values_bc: Floats, chosen_bg: Ints, nothing: float = 0.0) -> Floats:
    """The chosen configurations' values, [B, G]; ``nothing`` where none was chosen."""
    picked = np.take_along_axis(values_bc, np.maximum(chosen_bg, 0), axis=1)
    return np.where(chosen_bg < 0, nothing, picked)


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


def running_best(curves: Floats) -> tuple[Ints, Ints]:
    """Which model holds the maximum over models and over costs up to each cost.

    Args:
        curves: [..., M, G]; models in the order that settles ties (first wins).

    Returns:
        The model's index and the grid index at which it reached that value, each [..., G].
    """
    best_so_far = np.maximum.accumulate(curves, axis=-1)
    size = curves.shape[-1]
    rises = np.concatenate(
        [np.ones_like(curves[..., :1], bool), curves[..., 1:] > best_so_far[..., :-1]], axis=-1
    )
    reached = np.maximum.accumulate(np.where(rises, np.arange(size), 0), axis=-1)
    top = best_so_far.max(axis=-2, keepdims=True)
    model = np.argmax(best_so_far >= top - TIE, axis=-2)
    return model, np.take_along_axis(reached, model[..., None, :], axis=-2)[..., 0, :]


def pick_model(values: Floats, model: Ints, at: Ints) -> Floats:
    """``values`` [..., M, G] of the given model at the given grid index, [..., G]."""
    by_model = np.take_along_axis(values, model[..., None, :] * 0 + at[..., None, :], axis=-1)
    return np.take_along_axis(by_model, model[..., None, :], axis=-2)[..., 0, :]
