"""Uncertainty from a bootstrap over questions: another set of questions of the same kind.

Samples of a question are not resampled: with tens of questions and as many samples each, it is the
questions that a law could change with. A resample is a weighting of the questions, so everything per
question is computed once.

With one choice for all questions a resample, which repeats questions, overfits it more than the
questions as they are do: those intervals cover more than they say. Near saturation with few questions
they can cover less. Axes: R resamples · Q questions · G costs · M models.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_under_limit import Floats
from kinetics_jax.scaling.frontier.choose_and_score import NEAR_BEST, Flavour, Sharing, passes, walk
from kinetics_jax.scaling.frontier.frontiers import SMOOTHING, Frontier, check_costs
from kinetics_jax.scaling.frontier.gaps_and_thresholds import threshold_model
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.statistics.batch_fits import fit_power_laws
from kinetics_jax.scaling.statistics.fits import Extrapolation, PowerLaw, extrapolation_error, fit_power_law


@dataclasses.dataclass(frozen=True)
class Interval:
    """A central interval of a statistic over the resamples."""

    low: Any
    high: Any
    level: float


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


@dataclasses.dataclass(frozen=True, eq=False)
class FrontierBootstrap:
    """The frontier of every resample; row 0 of each array is the questions as they are."""

    costs: Floats
    models: tuple[str, ...]
    accuracy: Floats
    """[1+R, G]"""
    model_shares: Floats
    """Share of splits that chose each model (0 or 1 where flavour is paper), [1+R, G, M]."""
    optima: Mapping[str, Floats]
    """``passes.QUANTITIES``, [1+R, G] each; NaN where nothing fits the cost."""

    @property
    def model(self) -> NDArray[np.int64]:
        """Index into ``models`` of the model most often chosen, [1+R, G]."""
        return self.model_shares.argmax(axis=2)

    def accuracy_interval(self, level: float = 0.95) -> Interval:
        """Pointwise interval of the accuracy, [G] each end."""
        return interval(self.accuracy[1:], level)

    def optimum_interval(self, quantity: str, level: float = 0.95) -> Interval:
        """Pointwise interval of an optimal quantity, [G] each end; NaN where nothing ever fits."""
        return interval(_quantity(self.optima, quantity)[1:], level)

    def model_share(self) -> Floats:
        """Share of resamples in which each model holds the frontier, [G, M]."""
        return self.model_shares[1:].mean(axis=0)

    def threshold(self, params: Mapping[str, float], level: float = 0.95) -> Threshold:
        """The size at which growing the model stops being the better buy, with its interval.

        Args:
            params: parameters of each model.
            level: of the interval.

        Raises:
            InputError: a model without parameters.
        """
        if missing := [name for name in self.models if name not in params]:
            raise InputError(f"no parameter count for {missing[0]}: give one for every model")
        names = np.array(self.models, dtype=object)
        found = [
            threshold_model(Frontier(self.costs, accuracy, names[model], model, {}, "bootstrap"))
            for accuracy, model in zip(self.accuracy, self.model, strict=True)
        ]
        share = {name: found[1:].count(name) / (len(found) - 1) for name in self.models}
        sizes = np.array([params[name] for name in found[1:]])
        return Threshold(found[0], params[found[0]], interval(sizes, level), share)

    def saturation_cost(self) -> float:
        """The cost from which more buys nothing: accuracy is within 0.1 % of its maximum."""
        accuracy = self.accuracy[0]
        return float(self.costs[np.argmax(accuracy >= accuracy.max() * (1 - NEAR_BEST))])

    def fit(
        self,
        quantity: str = "tokens",
        *,
        span: tuple[float, float] | None = None,
        level: float = 0.95,
        train_share: float = 0.6,
        **how: Any,
    ) -> FitInterval:
        """A power law of an optimal quantity against cost, refitted on every resample.

        Args:
            quantity: one of ``passes.QUANTITIES``, or ``accuracy``.
            span: costs that are fitted, ends included; None: up to ``saturation_cost``, since beyond
                it the optimum stands still whatever the law.
            level: of the intervals.
            train_share: share of the points that the extrapolation is made from.
            **how: ``offset`` and ``space`` of ``fit_power_law``.

        Raises:
            InputError: the frontier has too few points for a law.
        """
        rows = _quantity({**self.optima, "accuracy": self.accuracy}, quantity)
        low, high = span or (0.0, self.saturation_cost())
        inside = (self.costs >= low) & (self.costs <= high)
        costs, rows = self.costs[inside], rows[:, inside]
        x, y = _known(costs, rows[0])
        law = fit_power_law(x, y, **how)
        a, b = _fit_rows(costs, rows[1:], how)
        if not b.size:
            raise InputError(f"no resample determines a law of {quantity}: fix the offset")
        ahead = None
        if len(x) >= 5 and (y != 0).all():
            ahead = extrapolation_error(x, y, lambda u, v: fit_power_law(u, v, **how), train_share)
        return FitInterval(
            law,
            interval(a, level),
            interval(b, level),
            interval(2.0**b, level),
            ahead,
            len(rows) - 1 - len(b),
        )


def bootstrap_weights(questions: int, resamples: int, seed: int = 0) -> Floats:
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


def bootstrap_frontier(
    study: Study,
    costs: ArrayLike,
    *,
    flavour: Flavour = "paper",
    choice: Sharing = "question",
    resamples: int = 1000,
    seed: int = 0,
    splits: int = 10,
    smoothing: int = SMOOTHING,
) -> FrontierBootstrap:
    """The frontier of a study and of ``resamples`` other draws of its questions.

    Args:
        study: Q questions, C configurations.
        costs: cost limits per question, rising, [G].
        flavour: ``paper`` or ``held_out``; see ``frontier``.
        choice: ``question`` or ``shared``; see ``held_out_frontier``.
        resamples: R.
        seed: of the resamples and of the splits.
        splits: random splits of the held-out flavour.
        smoothing: as in ``paper_frontier``.

    Raises:
        InputError: as ``held_out_frontier`` and ``bootstrap_weights``.
    """
    grid = check_costs(costs)
    count = len(study.questions)
    if flavour == "held_out" and choice == "question":
        study = study.for_halves()
    weights = np.concatenate([np.full((1, count), 1.0 / count), bootstrap_weights(count, resamples, seed)])
    found = walk(
        passes(study, grid, weights, flavour=flavour, choice=choice, splits=splits, seed=seed), smoothing
    )
    return FrontierBootstrap(grid, study.models, found.accuracy, found.model_share, found.optima)


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
