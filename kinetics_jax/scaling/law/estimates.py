"""A law's numbers with their intervals: exponents, what the paper's rule adds, the threshold, sparse gain."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.choose_and_score import Flavour, Sharing
from kinetics_jax.scaling.frontier.resampled_laws import fit_optimum, size_threshold
from kinetics_jax.scaling.frontier.sparse_gain import compare
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.law.result_parts import SparseGain
from kinetics_jax.scaling.statistics.fits import fit_exponentiated_power_law
from kinetics_jax.scaling.statistics.intervals import Estimate, Interval, interval

FITTED = ("tokens", "trials", "length", "kv_budget")
"""Optimal quantities that a power law of cost is fitted to."""


def fits(
    boot: FrontierBootstrap, on_offer: Mapping[str, int]
) -> tuple[Mapping[str, Estimate], Mapping[str, tuple[float, float, float]]]:
    """Power laws of the optima against cost, and the law of failure; those that can be fitted."""
    found: dict[str, Estimate] = {}
    curves = {}
    for quantity in FITTED:
        values = boot.optima[quantity][0]
        if np.unique(values[np.isfinite(values)]).size < 3 or on_offer.get(quantity, 3) < 3:
            continue  # a constant has no exponent
        try:
            fit = fit_optimum(boot, quantity)
        except InputError:
            continue  # the points determine no law; nothing is reported for it
        note = fit.law.note
        if fit.extrapolation is not None:
            found[f"{quantity}.miss"] = Estimate(
                value=fit.extrapolation.relative_rms,
                unit="relative root mean square error",
                note="of the law fitted on the cheaper 60 % of the costs, on the dearer 40 %",
            )
        found[f"{quantity}.b"] = _estimate(fit.law.b, "exponent of cost", fit.b, note)
        found[f"{quantity}.per_doubling"] = _estimate(
            fit.law.per_doubling, "× per doubling of cost", fit.per_doubling, note
        )
        curves[quantity] = (fit.law.a, fit.law.b, fit.law.c)
    failure = _failure(boot)
    if failure is not None:
        found["failure.b"] = failure
    return found, curves


def _estimate(value: float, unit: str, span: Interval, note: str) -> Estimate:
    if not span.low <= value <= span.high:
        odd = "the estimate lies outside its interval: these questions determine it badly"
        note = f"{note}; {odd}" if note else odd
    return Estimate(value=value, unit=unit, low=span.low, high=span.high, level=span.level, note=note)


def _failure(boot: FrontierBootstrap, rows: int = 200) -> Estimate | None:
    """Exponent of accuracy = exp(−a·C^−b), on the questions as they are and on resamples."""

    def exponent(accuracy: np.ndarray) -> float:
        inside = (accuracy > 0) & (accuracy < 1)
        try:
            return fit_exponentiated_power_law(boot.costs[inside], accuracy[inside]).b
        except InputError:
            return math.nan

    value = exponent(boot.accuracy[0])
    if math.isnan(value):
        return None
    others = np.array([exponent(row) for row in boot.accuracy[1 : 1 + rows]])
    if np.isnan(others).all():
        return None
    note = f"interval from {int(np.isfinite(others).sum())} resamples"
    return _estimate(value, "exponent b of accuracy = exp(−a·cost^−b)", interval(others), note)


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
    return _estimate(float(mean[0]), unit, interval(mean[1:]), note)


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
            interval(found.gain[1:]),
            "sparse less dense, mean over the costs at which either solves something",
        ),
        cheaper=_estimate(
            float(found.cheaper[0]),
            "× less cost",
            interval(found.cheaper[1:]),
            "for 95 % of the best that dense solves; 0: sparse never does",
        ),
    )


def threshold(boot: FrontierBootstrap, sizes: Mapping[str, float]) -> Estimate | None:
    """The size (parameters) with which the frontier climbs most; None with one size."""
    if len(set(sizes.values())) < 2:
        return None
    found = size_threshold(boot, sizes)
    return _estimate(
        found.params,
        "parameters",
        found.interval,
        f"{found.model}, named by {found.share[found.model]:.0%} of resamples",
    )
