"""The exponent of the paper's Fig. 7: of the largest token demand over questions, under the paper's own rule.

One model, its sparse configurations, Best-of-N, chosen per question on the samples that it is scored on. The
question that asks for most is plotted, not the mean (``frontiers.largest_token_demand`` is the same for one
frontier). Axes: R resamples · Q questions · G costs of the grid · C configurations.
"""

import math

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_configuration import Choice, Floats, take
from kinetics_jax.scaling.frontier.best_model import running_best
from kinetics_jax.scaling.frontier.choose_and_score import NEAR_BEST
from kinetics_jax.scaling.frontier.configurations import Setting
from kinetics_jax.scaling.frontier.frontiers import SMOOTHING, cost_grid
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.statistics.batch_fits import fit_power_laws
from kinetics_jax.scaling.statistics.fits import extrapolation_error, fit_power_law
from kinetics_jax.scaling.statistics.intervals import Estimate
from kinetics_jax.scaling.statistics.resampling import drawn_weights
from kinetics_jax.scaling.statistics.smoothing import smooth

_FEWEST = 3
"""Distinct demands that a law needs."""
_TOO_NARROW = 1.6
"""A largest value hangs on few questions, which resamples repeat: over simulated designs the exponents of
independent data sets spread 1.1 to 1.7 times as widely as those of resamples of one."""
_MISS = 0.5
"""Relative error on the dearer costs from which the demand is no power law."""


def demand_exponents(study: Study, *, points: int, resamples: int, seed: int) -> dict[str, Estimate]:
    """Exponent of the largest token demand against cost for each model that was decoded sparsely.

    The grid is that of the model's own sparse configurations, so that nothing else on offer moves it. Spans,
    in the study's unit of cost, are found anew for every resample: from the first cost that buys anything to
    the one from which accuracy is within 0.1 % of its best, since beyond it the optimum stands still whatever
    the law. Models whose demand is no power law, so that the cheaper costs mispredict the dearer by half,
    have none.

    Args:
      study: configurations of any models and policies.
      points: costs of the grid.
      resamples: of the questions.
      seed: of the resamples.
    """
    found = {}
    for model in study.models:
        try:
            part = _sparse_best_of_n(study, model)
            found[model] = _exponent(part, cost_grid(part, points), resamples, seed)
        except InputError:  # no sparse configuration, or too few points: there is no exponent to compare
            continue
    return found


def _sparse_best_of_n(study: Study, model: str) -> Study:
    def wanted(setting: Setting) -> bool:
        sparse = setting.policy.kv_budget is not None
        return setting.model == model and sparse and setting.length is None

    return study.where(wanted)


def _exponent(study: Study, grid: Floats, resamples: int, seed: int) -> Estimate:
    from scipy import stats

    count = len(study.questions)
    weights = np.concatenate([np.full((1, count), 1.0 / count), drawn_weights(count, resamples, seed)])
    demand_rg = _demands(study, grid, weights)
    known = np.isfinite(demand_rg[0])
    if np.unique(demand_rg[0, known]).size < _FEWEST:
        raise InputError("a demand that hardly changes has no exponent")
    law = fit_power_law(grid[known], demand_rg[0, known])
    miss = extrapolation_error(grid[known], demand_rg[0, known]).relative_rms
    if not miss < _MISS:
        raise InputError(f"the demand is no power law: its cheaper costs miss the dearer by {miss:.0%}")
    exponents = fit_power_laws(grid, demand_rg[1:])[1]
    exponents = exponents[np.isfinite(exponents)]
    if exponents.size < max(2, resamples // 2):
        raise InputError("resamples do not determine the exponent")
    width = float(stats.t.ppf(0.975, count - 1) * _TOO_NARROW * exponents.std(ddof=1))
    return Estimate(
        value=law.b,
        unit="exponent of cost",
        low=law.b - width,
        high=law.b + width,
        span=(float(grid[known][0]), float(grid[known][-1])),
        note="of the largest token demand over questions, paper's rule, Best-of-N, sparse",
    )


def _demands(study: Study, grid: Floats, weights: Floats) -> Floats:
    """Largest demand of each weighting at each cost up to saturation, [R, G]; NaN elsewhere."""
    choice = Choice(study.cost, study.coverage, grid)
    near = choice.best(NEAR_BEST)
    tokens_qg = take(study.tokens, near, nothing=-math.inf)
    curve_rg = smooth(weights @ take(study.coverage, choice.best()), SMOOTHING)
    _, reached = running_best(curve_rg[:, None, :])
    largest_rg = np.full(curve_rg.shape, -math.inf)
    for q, tokens_g in enumerate(tokens_qg):
        drawn = weights[:, q] > 0
        largest_rg[drawn] = np.maximum(largest_rg[drawn], tokens_g)
    demand = np.take_along_axis(largest_rg, reached, axis=1)
    best = np.maximum.accumulate(curve_rg, axis=1)
    end = (best >= best[:, -1:] * (1 - NEAR_BEST)).argmax(axis=1)
    inside = (np.arange(len(grid)) <= end[:, None]) & (curve_rg > 0) & np.isfinite(demand)
    return np.where(inside, demand, np.nan)
