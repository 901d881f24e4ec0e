"""Resamples of questions, and intervals of what was computed on each of them."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Interval:
    """A central interval of a statistic over the resamples."""

    low: Any
    high: Any
    level: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its unit and, where it was estimated from questions, its interval."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    """Coverage of [low, high]."""
    span: tuple[float, float] | None = None
    """Costs in eFLOPs between which it holds, where it is of a stretch of costs."""
    note: str = ""
    """What to know before trusting it; empty where there is nothing."""


def bootstrap_weights(questions: int, resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """Weights of the questions in each resample, [R, Q]; rows sum to one.

    Raises:
        InputError: fewer than two questions, or no resamples.
    """
    if questions < 2 or resamples < 1:
        raise InputError(
            f"a bootstrap needs 2 questions and 1 resample or more, got {questions} and {resamples}"
        )
    counts = np.random.default_rng(seed).multinomial(
        questions, np.full(questions, 1.0 / questions), size=resamples
    )
    return counts / questions


def interval(samples: ArrayLike, level: float = 0.95) -> Interval:
    """Central percentile interval over axis 0; NaNs are left out, columns of nothing else stay NaN.

    Raises:
        InputError: no samples, or a level outside (0, 1).
    """
    values = np.asarray(samples, np.float64)
    if not len(values) or not 0 < level < 1:
        raise InputError(f"an interval needs samples and a level in (0, 1), got level={level}")
    low, high = np.full((2, *values.shape[1:]), np.nan)
    known = ~np.isnan(values).all(axis=0)
    edges = [50 * (1 - level), 50 * (1 + level)]
    if values.ndim == 1:
        start, end = np.nanpercentile(values, edges)
        return Interval(float(start), float(end), level)
    low[known], high[known] = np.nanpercentile(values[:, known], edges, axis=0)
    return Interval(low, high, level)
