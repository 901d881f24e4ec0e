"""Many power laws at once: one least-squares fit a row, for bootstraps of a thousand rows.

Axes: R rows · n points.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_power_laws(x: Floats, rows: Floats, offset: float = 0.0) -> tuple[Floats, Floats]:
    """Fit y = a·x^b + offset to every row by least squares in linear space.

    For a given b the best a is linear algebra, so the search is over b alone, all rows side by side
    (SciPy's elementwise minimiser). Row for row the same fit as ``fit_power_law``.

    Args:
      x: positive, [n].
      rows: [R, n]; NaNs are points that the row lacks.
      offset: c.

    Returns:
      a and b, [R] each; NaN for rows with fewer than three points or that determine no law.
    """
    from scipy.optimize import elementwise

    u = np.log(x) - np.log(x).mean()
    present = np.isfinite(rows)
    y = np.where(present, rows - offset, 0.0)
    scale = np.abs(y).max(axis=1, initial=0.0)
    usable = (present.sum(axis=1) >= 3) & (scale > 0)
    y = y / np.where(usable, scale, 1.0)[:, None]

    def loss(b: Floats, row: NDArray[np.int64]) -> Floats:
        """Residual sum of squares at the best a: what is left of y outside the span of x^b."""
        power = np.exp(b[..., None] * u) * present[row]
        product, square = (power * y[row]).sum(-1), (power * power).sum(-1)
        return (y[row] ** 2).sum(-1) - product**2 / square

    a, b = np.full((2, len(rows)), np.nan)
    index = np.flatnonzero(usable)
    if not index.size:
        return a, b
    start = _slopes(u, y[index], present[index])
    tolerance = {"xatol": 1e-6, "xrtol": 1e-6}  # far below any interval
    with np.errstate(over="ignore", invalid="ignore"):  # where no exponent is best, the search runs away
        bracket = elementwise.bracket_minimum(loss, start, xl0=start - 0.1, xr0=start + 0.1, args=(index,))
        found = elementwise.find_minimum(loss, bracket.bracket, args=(index,), tolerances=tolerance)
    done = bracket.success & found.success
    index = index[done]
    b[index] = found.x[done]
    power = np.exp(b[index, None] * u) * present[index]
    amplitude = (power * y[index]).sum(-1) / (power * power).sum(-1)
    a[index] = amplitude * scale[index] / np.exp(b[index] * np.log(x).mean())
    return a, b


def _slopes(u: Floats, y: Floats, present: NDArray[np.bool_]) -> Floats:
    """Slopes of the straight lines through (log x, log y) of the positive points: first guesses."""
    weight = (present & (y > 0)).astype(np.float64)
    total = np.maximum(weight.sum(1, keepdims=True), 1.0)
    v = np.log(np.where(weight > 0, y, 1.0))
    du = u - (weight * u).sum(1, keepdims=True) / total
    dv = v - (weight * v).sum(1, keepdims=True) / total
    spread = (weight * du**2).sum(1)
    return np.divide((weight * du * dv).sum(1), spread, out=np.zeros(len(y)), where=spread > 0)
