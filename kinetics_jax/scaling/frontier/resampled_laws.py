"""What a bootstrap says of laws: the power law of an optimal quantity, and the size that is a threshold.

Axes: R resamples · G costs.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_configuration import Floats
from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.frontiers import Frontier
from kinetics_jax.scaling.frontier.gaps_and_thresholds import threshold_model
from kinetics_jax.scaling.frontier.spans import inside, spans
from kinetics_jax.scaling.statistics.batch_fits import fit_power_laws
from kinetics_jax.scaling.statistics.fits import Extrapolation, PowerLaw, extrapolation_error, fit_power_law
from kinetics_jax.scaling.statistics.intervals import Interval, interval, widened

MOST_MISSED = 1.5
"""Factor by which a power law may miss the optimum it is fitted to, as a geometric mean over the span."""
LEAST_EXPLAINED = 0.8
"""Share of the optimum's variance over the span that a power law must explain (R²)."""


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The model size up to which growing the model is the better buy."""

    model: str
    """From the questions as they are."""
    params: float
    interval: Interval
    """Of the parameters."""
    share: Mapping[str, float]
    """Share of resamples that name each model."""


@dataclasses.dataclass(frozen=True)
class FitInterval:
    """A power law fitted to the frontier of every resample."""

    law: PowerLaw
    """From the questions as they are."""
    a: Interval
    b: Interval
    per_doubling: Interval
    extrapolation: Extrapolation | None
    """Error beyond the cheaper 60 % of the points; None with fewer than 5 points."""
    failed: int
    """Resamples that no law could be fitted to, or that do not determine one."""
    span: tuple[float, float]
    """Costs that the law is fitted to."""
    refusal: str = ""
    """Why the optimum is no power law over its span; empty where it is one."""


def size_threshold(boot: FrontierBootstrap, params: Mapping[str, float], level: float = 0.95) -> Threshold:
    """The size at which growing the model stops being the better buy, with its interval.

    Args:
        boot: frontiers of several models.
        params: parameters of each model.
        level: of the interval.

    Raises:
        InputError: a model without parameters.
    """
    if missing := [name for name in boot.models if name not in params]:
        raise InputError(f"no parameter count for {missing[0]}: give one for every model")
    names = np.array(boot.models, dtype=object)
    found = [
        threshold_model(Frontier(boot.costs, accuracy, names[model], model, {}, "bootstrap"))
        for accuracy, model in zip(boot.accuracy, boot.model, strict=True)
    ]
    share = {name: found[1:].count(name) / (len(found) - 1) for name in boot.models}
    sizes = np.array([params[name] for name in found[1:]])
    low = np.quantile(sizes, (1 - level) / 2, method="lower")  # sizes on offer: nothing lies between two
    high = np.quantile(sizes, (1 + level) / 2, method="higher")
    return Threshold(found[0], params[found[0]], Interval(float(low), float(high), level), share)


def saturation_cost(boot: FrontierBootstrap) -> float:
    """The cost from which more buys (almost) nothing: accuracy is within ``NEAR_END`` of its maximum."""
    return float(spans(boot.costs, boot.accuracy[:1])[1][0])


def fit_optimum(
    boot: FrontierBootstrap,
    quantity: str = "tokens",
    *,
    span: tuple[float, float] | None = None,
    level: float = 0.95,
    train_share: float = 0.6,
    **how: Any,
) -> FitInterval:
    """A power law of an optimal quantity against cost, refitted on every resample.

    Args:
        boot: the frontier of every resample.
        quantity: one of ``choose_and_score.QUANTITIES``, or ``accuracy``.
        span: costs that are fitted, ends included, the same for all resamples; None: every resample's
            own, found by ``spans``.
        level: of the intervals.
        train_share: share of the points that the extrapolation is made from.
        **how: ``offset`` and ``space`` of ``fit_power_law``.

    Raises:
        InputError: the frontier has too few points for a law.
    """
    rows = _quantity({**boot.optima, "accuracy": boot.accuracy}, quantity)
    low, high = spans(boot.costs, boot.accuracy) if span is None else np.tile(span, (len(rows), 1)).T
    costs, rows = boot.costs, np.where(inside(boot.costs, low, high), rows, np.nan)
    x, y = _known(costs, rows[0])
    law = fit_power_law(x, y, **how)
    a, b = _fit_rows(costs, rows[1:], how)
    if not b.size:
        raise InputError(f"no resample determines a law of {quantity}: fix the offset")
    ends = exponent_interval(b, law.b, level)
    ahead = None
    if len(x) >= 5 and (y != 0).all():
        ahead = extrapolation_error(x, y, lambda u, v: fit_power_law(u, v, **how), train_share)
    return FitInterval(
        law,
        _of_logarithm(exponent_interval(np.log(a), math.log(law.a), level)),
        ends,
        Interval(2.0**ends.low, 2.0**ends.high, level),
        ahead,
        len(rows) - 1 - len(b),
        (float(low[0]), float(high[0])),
        _refusal(law, x, y),
    )


def exponent_interval(rows: Floats, value: float, level: float = 0.95) -> Interval:
    """The interval of an exponent: percentiles of half as much left out as by name, ``widened``.

    Those of 95 % covered 91 % of simulated exponents of tokens and 81 % of those of trials, which are
    steps that few questions decide (tests/scaling/coverage).
    """
    ends = widened(interval(rows, 1 - (1 - level) / 2), value)
    return Interval(ends.low, ends.high, level)


def _of_logarithm(ends: Interval) -> Interval:
    return Interval(math.exp(ends.low), math.exp(ends.high), ends.level)


def _refusal(law: PowerLaw, x: Floats, y: Floats) -> str:
    """What is wrong with calling the points a power law, if anything."""
    fitted = law.predict(x)
    if not np.ptp(y):
        return "it stands still"
    if not ((y > 0) & (fitted > 0)).all():
        return "it is not positive throughout"
    missed = float(np.exp(np.sqrt(np.mean(np.log(fitted / y) ** 2))))
    if missed > MOST_MISSED:
        return f"a power law misses it by a factor of {missed:.2f} on average"
    explained = 1 - float(np.sum((y - fitted) ** 2) / np.sum((y - y.mean()) ** 2))
    if explained < LEAST_EXPLAINED:
        return f"a power law explains {max(explained, 0):.0%} of its variance"
    return ""


def _quantity(optima: Mapping[str, Floats], name: str) -> Floats:
    try:
        return optima[name]
    except KeyError:
        raise InputError(f"quantity {name!r} must be one of {', '.join(optima)}") from None


def _known(costs: Floats, row: Floats) -> tuple[Floats, Floats]:
    known = np.isfinite(row)
    return costs[known], row[known]


def _fit_rows(costs: Floats, rows: Floats, how: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """(a, b) of the rows that determine a law; the paper's kind of fit is done for all rows at once."""
    if how.get("space", "linear") == "linear" and how.get("offset", 0.0) != "free":
        a, b = fit_power_laws(costs, rows, how.get("offset", 0.0))
        return a[np.isfinite(b)], b[np.isfinite(b)]
    laws = [law for law in (_fit_row(costs, row, how) for row in rows) if law is not None]
    return np.array([law.a for law in laws]), np.array([law.b for law in laws])


def _fit_row(costs: Floats, row: Floats, how: Mapping[str, Any]) -> PowerLaw | None:
    try:
        law = fit_power_law(*_known(costs, row), **how)
    except InputError:  # too few costs at which anything fits: counted as failed
        return None
    return law if law.identifiable else None
