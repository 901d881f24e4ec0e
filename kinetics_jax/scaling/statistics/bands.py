"""Bounds of a whole curve from its resamples: at any one point, and at every point at once.

Axes: R resamples · G points.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError

Floats = NDArray[np.float64]


class Bands(NamedTuple):
    """A curve with bounds, [G] each; NaN at points that do not count."""

    value: Floats
    low: Floats
    """Pointwise bounds: the truth at one point is above ``low`` with a chance of (1 + level) / 2."""
    high: Floats
    sure_low: Floats
    """Simultaneous bounds: the truth is between these two at every point with a chance of ``level``."""
    sure_high: Floats


def difference_bands(rows: Floats, counts: NDArray[np.bool_], questions: int, level: float = 0.95) -> Bands:
    """Bounds of a curve of mean differences over questions, each between −1 and 1.

    Standard errors are those of the resamples, which Student's t has widened (``resampling``). So that a
    difference which no question shows is not taken for none at all, one more question is counted that shows
    it, half each way (Agresti and Min, 2005, Improved confidence intervals for comparing matched
    proportions). Simultaneous bounds are as wide as the largest |t| over the curve is in resamples (max-t). A
    single resample shows no spread: bounds are then infinite.

    Args:
      rows: the curve of the questions as they are, then of R resamples of them, [1 + R, G].
      counts: points that are looked at, [G].
      questions: how many there are.
      level: of the bounds.

    Raises:
      InputError: fewer than two questions, or no resample.
    """
    if questions < 2 or len(rows) < 2:
        raise InputError(f"bounds need 2 questions and a resample, got {questions} and {len(rows) - 1}")
    ends = np.full((5, rows.shape[1]), np.nan)
    if not counts.any():
        return Bands(*ends)
    value, resamples = rows[0, counts], rows[1:, counts]
    error = resamples.std(axis=0, ddof=1) if len(resamples) > 1 else np.full(len(value), np.inf)
    spread = np.hypot(questions * error, 1.0) / (questions + 2)
    largest = (np.abs(resamples - resamples.mean(axis=0)) / spread).max(axis=1)
    one = NormalDist().inv_cdf((1 + level) / 2)
    every = max(one, float(np.quantile(largest, level)))
    ends[:, counts] = [value, *(value + step * spread for step in (-one, one, -every, every))]
    return Bands(*ends)


def one_sided(bands: Bands, tests: int) -> Bands:
    """95 % bounds of a curve for ``tests`` statements together, each of which uses one side only.

    A statement at every point, each from its pointwise bound, is wrong with a chance of 5 % if each bound is
    (intersection–union test), so these come nearer; the simultaneous bounds stay two-sided.
    """
    pointwise, every = stretch(tests, one_sided=True), stretch(tests)
    factors = (pointwise, pointwise, every, every)
    ends = zip(factors, bands[1:], strict=True)
    return Bands(bands.value, *(bands.value + factor * (end - bands.value) for factor, end in ends))


def stretch(tests: int, *, one_sided: bool = False) -> float:
    """By how much 95 % intervals are widened so that ``tests`` hold together as one does: Bonferroni's rule.

    The ratio of the normal's quantiles. For simultaneous bounds, which lie further out, it is a little more
    than is needed.

    Args:
      tests: intervals that are to hold together.
      one_sided: only one end of each is used.
    """
    inverse = NormalDist().inv_cdf
    return inverse(1 - (0.05 if one_sided else 0.025) / tests) / inverse(0.975)
