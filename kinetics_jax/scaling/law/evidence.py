"""What the paper's claims are judged by, beside what a law says anyway. Axis: G costs of the grid."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.choose_and_score import Flavour, Sharing
from kinetics_jax.scaling.frontier.growing import growth
from kinetics_jax.scaling.frontier.halves import for_halves
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.frontier.token_demand import demand_exponents
from kinetics_jax.scaling.law.estimates import optimism
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.statistics.intervals import Estimate

_RESAMPLES = 400
"""Enough for bounds that are made from standard errors, not from far percentiles."""


def evidence(
    study: Study,
    sizes: Mapping[str, float],
    frontiers: Mapping[Flavour, FrontierBootstrap],
    resampled: Callable[..., FrontierBootstrap],
    options: LawOptions,
) -> dict[str, Any]:
    """``selection_bias``, ``growth`` and ``token_demand`` of a law.

    Args:
      study: all configurations, each as it was decoded.
      sizes: parameters of each model.
      frontiers: of the study, by flavour.
      resampled: frontier of a study on the law's grid; takes ``flavour`` and ``resamples``.
      options: of the law.
    """
    few = functools.partial(
        resampled, flavour=options.flavours[-1], resamples=min(options.bootstrap, _RESAMPLES)
    )
    choice: Sharing = "question" if study.samples >= 2 else "shared"
    same_offer, demand = dict(frontiers), dict[str, Estimate]()
    if choice == "question":
        demand = demand_exponents(
            study, points=options.grid_points, resamples=options.bootstrap, seed=options.seed
        )
        if len(frontiers) == 2:  # half of the samples offers half of the trials: that is no bias
            same_offer["paper"] = resampled(for_halves(study), flavour="paper")
    return {
        "selection_bias": optimism(same_offer, choice),
        "growth": growth(study, sizes, few),
        "token_demand": {model: _in_unit(fit, options.counted.inside) for model, fit in demand.items()},
    }


def _in_unit(fit: Estimate, unit: float) -> Estimate:
    assert fit.span is not None
    return dataclasses.replace(fit, span=(fit.span[0] * unit, fit.span[1] * unit))
