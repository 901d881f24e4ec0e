"""Accuracy at a larger cap than was run: a sample that met its cap is censored, not wrong.

A mixture of two ends, as cure models have it: with probability ``share`` a sample would end right, its length
lognormal; else it would end wrong, its length lognormal too. A sample that met the cap says only that it is
longer than that. Questions are pooled: their solve rates and lengths spread within the two lognormals.
Arrays are [samples].
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.errors import InputError

Floats = NDArray[np.float64]
FEWEST = 10
"""Samples that ended right, and wrong: fewer do not say how the censored ones would have ended."""
_BOUNDS = ((-8.0, 8.0), (0.0, 16.0), (-3.0, 1.5), (0.0, 16.0), (-3.0, 1.5))
"""Of logit share, then mean and log deviation of log length: right, wrong."""


class Lognormal(NamedTuple):
    """Of lengths in tokens."""

    mean: float
    """Of the logarithm."""
    deviation: float


@dataclasses.dataclass(frozen=True)
class CensoredLengths:
    """How many samples would end right without a cap, and after how many tokens."""

    share: float
    """That would end right, in [0, 1]."""
    right: Lognormal
    wrong: Lognormal
    censored: float
    """Share of the samples that met the cap."""
    note: str = ""
    """What to know before trusting it; empty where there is nothing."""

    def accuracy(self, cap: ArrayLike) -> Floats:
        """Share of samples that end right within a cap in tokens."""
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            z = (np.log(np.asarray(cap, np.float64)) - self.right.mean) / self.right.deviation
        return self.share * ndtr(z)


def fit_censored_lengths(
    tokens: ArrayLike, correct: ArrayLike, cap: float, weights: ArrayLike | None = None
) -> CensoredLengths:
    """Maximum likelihood of lengths and correctness together.

    Args:
        tokens: generated, ≥ 0; what is longer than ``cap`` is cut there.
        correct: whether a sample is right. It counts where it ended by the cap.
        cap: tokens after which samples are cut. A right sample that has exactly so many ended.
        weights: of the samples; even unless given.

    Raises:
        InputError: arrays that do not match, a cap below 1, or fewer than ``FEWEST`` samples that ended
            right, or wrong where any met the cap.
    """
    from scipy.optimize import minimize

    length, right = np.asarray(tokens, np.float64), np.asarray(correct, bool)
    weight = np.ones(len(length)) if weights is None else np.asarray(weights, np.float64)
    if length.ndim != 1 or length.shape != right.shape or length.shape != weight.shape:
        raise InputError(
            f"{length.shape} tokens, {right.shape} grades, {weight.shape} weights: one each a sample"
        )
    if not cap >= 1 or not np.isfinite(length).all() or (length < 0).any():
        raise InputError(f"cap={cap} must be at least 1 token, and lengths finite and ≥ 0")
    there = weight > 0
    length, right, weight = length[there], right[there] & (length[there] <= cap), weight[there]
    met = ~right & (length >= cap)
    wrong = ~right & ~met
    for name, part in (("right", right), ("wrong", wrong)):
        if part.sum() < FEWEST and (name == "right" or met.any()):
            raise InputError(
                f"{part.sum()} samples ended {name} within {cap:g} tokens: fewer than {FEWEST} cannot say "
                "how the censored ones would end"
            )
    log_length, weight = np.log(np.maximum(length, 1.0)), weight / weight.sum()
    ended = (_moments(log_length[right], weight[right]), _moments(log_length[wrong], weight[wrong]))
    met_cap = float(weight[met].sum())

    def loss(shape: Floats) -> tuple[float, Floats]:
        return _negative_log_likelihood(shape, ended, math.log(cap), met_cap)

    start = _start(ended)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=_BOUNDS)
    logit, mean, log_dev, wrong_mean, wrong_log_dev = found.x
    return CensoredLengths(
        share=float(1.0 / (1.0 + np.exp(-logit))),
        right=Lognormal(float(mean), float(np.exp(log_dev))),
        wrong=Lognormal(float(wrong_mean), float(np.exp(wrong_log_dev))),
        censored=met_cap,
        note=_note(found.x, met_cap),
    )


class _Moments(NamedTuple):
    """All that the likelihood of a lognormal needs of the lengths that ended: no sum is taken twice."""

    weight: float
    first: float
    """Weighted sum of log lengths."""
    second: float
    """Weighted sum of their squares."""


def _moments(log_length: Floats, weight: Floats) -> _Moments:
    return _Moments(
        float(weight.sum()), float((weight * log_length).sum()), float((weight * log_length**2).sum())
    )


def _start(ended: tuple[_Moments, _Moments]) -> Floats:
    """Moments of what ended; the censored are split as the ended are."""
    values: list[float] = []
    for part in ended:
        known = part if part.weight > 0 else ended[0]
        mean = known.first / known.weight
        variance = max(known.second / known.weight - mean**2, 0.01)
        values += [mean, 0.5 * math.log(variance)]
    share = min(max(ended[0].weight / (ended[0].weight + ended[1].weight), 0.02), 0.98)
    start = np.array([math.log(share / (1.0 - share)), *values])
    return np.clip(start, *np.array(_BOUNDS).T)


def _negative_log_likelihood(
    shape: Floats, ended: tuple[_Moments, _Moments], log_cap: float, met_cap: float
) -> tuple[float, Floats]:
    """The loss and its gradient, [5]."""
    from scipy.special import log_ndtr

    share = 1.0 / (1.0 + math.exp(-shape[0]))
    logs, slopes = (-np.logaddexp(0, -shape[0]), -np.logaddexp(0, shape[0])), (1.0 - share, -share)
    total, gradient = 0.0, np.zeros(5)
    tails, tail_gradients = [], []
    for k, part in enumerate(ended):
        mean, deviation = shape[1 + 2 * k], math.exp(shape[2 + 2 * k])
        squares = (part.second - 2 * mean * part.first + mean**2 * part.weight) / deviation**2
        total += part.weight * (logs[k] - math.log(deviation)) - 0.5 * squares
        gradient[0] += part.weight * slopes[k]
        gradient[1 + 2 * k] += (part.first - mean * part.weight) / deviation**2
        gradient[2 + 2 * k] += squares - part.weight
        z = (mean - log_cap) / deviation
        log_tail = float(log_ndtr(z))
        hazard = math.exp(-0.5 * z**2 - 0.5 * math.log(2 * math.pi) - log_tail)
        tails.append(logs[k] + log_tail)
        slope = np.zeros(5)
        slope[0], slope[1 + 2 * k], slope[2 + 2 * k] = slopes[k], hazard / deviation, -z * hazard
        tail_gradients.append(slope)
    whole = float(np.logaddexp(*tails))
    for tail, slope in zip(tails, tail_gradients, strict=True):
        gradient += met_cap * math.exp(tail - whole) * slope
    return -float(total + met_cap * whole), -gradient


def _note(shape: Floats, met_cap: float) -> str:
    if met_cap == 0:
        return "no sample met the cap, so there is nothing to predict beyond it"
    edge = [abs(value - bound) < 1e-6 for value, pair in zip(shape, _BOUNDS, strict=True) for bound in pair]
    return "a parameter ran to its bound: these samples determine it badly" if any(edge) else ""
