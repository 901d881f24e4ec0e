"""A law's numbers with their intervals: exponents, what the paper's rule adds, the threshold, sparse gain."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.choose_and_score import Flavour, Sharing
from kinetics_jax.scaling.frontier.resampled_laws import exponent_interval, fit_optimum, size_threshold
from kinetics_jax.scaling.frontier.spans import inside, spans
from kinetics_jax.scaling.frontier.sparse_gain import compare
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.law.result_parts import TERA, SparseGain
from kinetics_jax.scaling.statistics.fits import fit_exponentiated_power_law
from kinetics_jax.scaling.statistics.intervals import Estimate, Interval, interval, widened
from kinetics_jax.scaling.statistics.resampling import extended, pseudo_weight

FITTED = ("tokens", "trials", "length", "kv_budget")
"""Optimal quantities that a power law of cost is fitted to."""


class Fits(NamedTuple):
    """Power laws along a frontier, each over its span of costs."""

    estimates: Mapping[str, Estimate]
    """Exponents and factors by name, such as ``tokens.b``."""
    curves: Mapping[str, tuple[float, float, float]]
    """Quantity → a, b, c of y = a·x^b + c."""
    refused: Mapping[str, str]
    """Quantity → why its optimum is no power law of cost where accuracy is bought."""


def fits(boot: FrontierBootstrap, on_offer: Mapping[str, int], unit: float = TERA) -> Fits:
    """Power laws of the optima against cost, and the law of failure; those that can be fitted.

    ``unit``: what spans are multiplied with, from the grid's costs to the law's.
    """
    found: dict[str, Estimate] = {}
    curves, refused = {}, {}
    for quantity in FITTED:
        values = boot.optima[quantity][0]
        if np.unique(values[np.isfinite(values)]).size < 3 or on_offer.get(quantity, 3) < 3:
            continue  # a constant has no exponent
        try:
            fit = fit_optimum(boot, quantity)
        except InputError as error:  # the points determine no law
            refused[quantity] = str(error)
            continue
        if fit.refusal:
            refused[quantity] = fit.refusal
            continue
        note, span = fit.law.note, (fit.span[0] * unit, fit.span[1] * unit)
        if fit.extrapolation is not None:
            found[f"{quantity}.miss"] = Estimate(
                value=fit.extrapolation.relative_rms,
                unit="relative root mean square error",
                span=span,
                note="of the law fitted on the cheaper 60 % of the span, on the dearer 40 %",
            )
        found[f"{quantity}.b"] = _estimate(fit.law.b, "exponent of cost", fit.b, note, span)
        found[f"{quantity}.per_doubling"] = _estimate(
            fit.law.per_doubling, "× per doubling of cost", fit.per_doubling, note, span
        )
        curves[quantity] = (fit.law.a, fit.law.b, fit.law.c)
    failure = _failure(boot, unit)
    if failure is not None:
        found["failure.b"] = failure
    return Fits(found, curves, refused)


def _estimate(
    value: float, unit: str, ends: Interval, note: str, span: tuple[float, float] | None = None
) -> Estimate:
    if not ends.low <= value <= ends.high:
        odd = "the estimate lies outside its interval: these questions determine it badly"
        note = f"{note}; {odd}" if note else odd
    return Estimate(
        value=value, unit=unit, low=ends.low, high=ends.high, level=ends.level, span=span, note=note
    )


def _failure(boot: FrontierBootstrap, scale: float, rows: int = 200) -> Estimate | None:
    """Exponent of accuracy = exp(−a·C^−b) over each row's span, from the questions and from resamples."""
    accuracy = boot.accuracy[: 1 + rows]
    low, high = spans(boot.costs, accuracy)
    usable = inside(boot.costs, low, high) & (accuracy > 0) & (accuracy < 1)

    def exponent(row: int) -> float:
        try:
            return fit_exponentiated_power_law(boot.costs[usable[row]], accuracy[row, usable[row]]).b
        except InputError:
            return math.nan

    value, *others = (exponent(row) for row in range(len(accuracy)))
    if math.isnan(value) or np.isnan(others).all():
        return None
    note = f"interval from {int(np.isfinite(others).sum())} resamples"
    unit, span = "exponent b of accuracy = exp(−a·cost^−b)", (float(low[0] * scale), float(high[0] * scale))
    return _estimate(value, unit, exponent_interval(np.array(others), value), note, span)


def optimism(frontiers: Mapping[Flavour, FrontierBootstrap], choice: Sharing) -> Estimate | None:
    """Mean over the grid of what choosing on the scored samples adds, in points of accuracy.

    No interval where one configuration serves all questions: a resample weighs questions unevenly,
    which the one choice overfits, so resamples flatter more than the questions as they are.
    """
    if len(frontiers) < 2:
        return None
    gain = 100 * (frontiers["paper"].accuracy - frontiers["held_out"].accuracy)
    mean, unit = gain.mean(axis=1), "points of accuracy"
    note = f"mean over the grid; at most {gain[0].max():.1f} points"
    if choice == "shared":
        return Estimate(value=float(mean[0]), unit=unit, note=f"{note}; no interval (shared choice)")
    questions = frontiers["paper"].questions
    return _estimate(float(mean[0]), unit, _of_difference(mean, questions), note)


def sparse_gain(study: Study, resampled: Callable[[Study], FrontierBootstrap]) -> SparseGain | None:
    """Sparse against dense attention at equal cost; None where no model has both."""
    found = compare(study, resampled)
    if found is None:
        return None
    return SparseGain(
        flavour=found.flavour,
        dense=found.dense[0],
        sparse=found.sparse[0],
        difference=found.difference,
        gain=_estimate(
            float(found.gain[0]),
            "points of accuracy",
            _of_difference(found.gain, len(study.questions)),
            "sparse less dense, mean over the costs at which accuracy is bought",
        ),
        cheaper=_estimate(
            float(found.cheaper[0]),
            "× less cost",
            _of_ratio(found.cheaper, found.step, found.beyond),
            "for 95 % of the best that dense solves; 0: sparse never does",
        ),
    )


def _of_difference(points: np.ndarray, questions: int) -> Interval:
    """Interval of a difference in points, row 0 of [1+R]; where no question differs, one not asked may."""
    others = points[1:]
    ends = interval(others)
    if ends.low < ends.high:
        return widened(ends, float(points[0]))
    weight = pseudo_weight(questions, len(others))
    low, high = interval(extended(others, weight, -100)).low, interval(extended(others, weight, 100)).high
    return Interval(low, high, ends.level)


def _of_ratio(ratios: np.ndarray, step: float, beyond: float) -> Interval:
    """Interval of a ratio of costs, row 0 of [1+R]; where no resample differs, as wide as the grid's step.

    0 says "not within the grid"; where all resamples say so, it may still happen beyond it.
    """
    ends, value = interval(ratios[1:]), float(ratios[0])
    if ends.high == 0:
        return Interval(0.0, beyond, ends.level)
    if ends.low == ends.high and np.isfinite(ends.low):
        return Interval(ends.low / step, ends.high * step, ends.level)
    if value == 0:  # never: there is no distance from it
        return ends
    with np.errstate(divide="ignore"):  # an end may be 0 or infinity, and stays
        low, high = np.log([ends.low, ends.high])
    further = widened(Interval(low, high, ends.level), math.log(value))
    return Interval(float(np.exp(further.low)), float(np.exp(further.high)), ends.level)


def threshold(boot: FrontierBootstrap, sizes: Mapping[str, float]) -> Estimate | None:
    """The size (parameters) with which the frontier climbs most; None with one size.

    Sizes between those on offer were not tried, so its interval ends half-way (in the logarithm) to the next
    size that no resample named; there is no end where the smallest or the largest on offer was named.
    """
    offered = sorted(set(sizes.values()))
    if len(offered) < 2:
        return None
    found = size_threshold(boot, sizes)
    first, last = (offered.index(end) for end in (found.interval.low, found.interval.high))
    between = [0.0, *np.sqrt(np.multiply(offered[1:], offered[:-1])).tolist(), math.inf]
    ends = Interval(between[first], between[last + 1], found.interval.level)
    named = f"{found.model}, named by {found.share[found.model]:.0%} of resamples"
    return _estimate(found.params, "parameters", ends, named)
