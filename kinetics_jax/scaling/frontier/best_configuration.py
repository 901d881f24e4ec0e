"""The best configuration within a cost limit, for all limits at once.

Axes: B rows that choose on their own (questions or resamples) · C configurations · G costs of the grid.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
