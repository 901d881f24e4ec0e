"""A straight line through log odds, or logarithms, against the logarithm of a size or of a budget."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.errors import InputError

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Trend:
    """Accuracy and tokens of one sample as functions of x."""

    accuracy: tuple[float, float]
    """Log odds at log x = 0, and how they grow with log x."""
    tokens: tuple[float, float]
    """Logarithm of the mean tokens at log x = 0, and its growth."""

    def accuracy_at(self, x: ArrayLike) -> Floats:
        """Accuracy of one sample, in (0, 1)."""
        start, slope = self.accuracy
        return np.asarray(1 / (1 + np.exp(-(start + slope * np.log(x)))))

    def tokens_at(self, x: ArrayLike) -> Floats:
        """Mean generated tokens."""
        start, slope = self.tokens
        return np.asarray(np.exp(start + slope * np.log(x)))


def fit_trend(x: ArrayLike, right: ArrayLike, samples: ArrayLike, tokens: ArrayLike) -> Trend:
    """Least squares through what was run.

    Half a sample of each kind is added, so that a setting which solves nothing or all has odds.

    Args:
        x: positive, [n]; at least two distinct ones.
        right: right samples, [n].
        samples: all samples, [n].
        tokens: mean tokens of a sample, positive, [n].

    Raises:
        InputError: fewer than two distinct x.
    """
    x, right, samples, tokens = (np.asarray(values, np.float64) for values in (x, right, samples, tokens))
    if len(np.unique(x)) < 2:
        raise InputError("a trend needs two distinct sizes or budgets")
    odds = np.log((right + 0.5) / (samples - right + 0.5))
    slope, start = np.polyfit(np.log(x), odds, 1)
    growth, first = np.polyfit(np.log(x), np.log(tokens), 1)
    return Trend((float(start), float(slope)), (float(first), float(growth)))
