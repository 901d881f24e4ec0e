"""What growing the model is worth at equal cost: the larger sizes against the others, size by size.

Axis: G costs of the grid.
"""

from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

import numpy as np

from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.sparse_gain import solves_something
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.statistics.bands import Bands, difference_bands


class Growth(NamedTuple):
    """All sizes above one against it and those below it."""

    size: float
    """Parameters of the size that is grown beyond."""
    difference: Bands
    """Accuracy of the larger sizes less that of the others, in [−1, 1], at each cost at which any of them
    solves something, [G]."""


def growth(
    study: Study, sizes: Mapping[str, float], resampled: Callable[[Study], FrontierBootstrap]
) -> tuple[Growth, ...]:
    """What the sizes above each are worth, for every size but the largest; smallest first.

    Only policies under which every model was decoded count, so that a policy is not taken for a size; without
    such a one nothing is compared.

    Args:
      study: of several models.
      sizes: parameters of each model.
      resampled: frontier of a study, such as a partial ``bootstrap_frontier``; the same resamples for all.
    """
    policies = {model: {s.policy for s in study.settings if s.model == model} for model in study.models}
    common = set.intersection(*policies.values())
    if not common:
        return ()
    study = study.where(lambda setting: setting.policy in common)
    found = []
    for size in sorted(set(sizes.values()))[:-1]:
        larger = {model for model, params in sizes.items() if params > size}
        above = resampled(_of(study, larger)).accuracy
        below = resampled(_of(study, sizes.keys() - larger)).accuracy
        counts = solves_something(np.maximum(above[0], below[0]))
        found.append(Growth(size, difference_bands(above - below, counts, len(study.questions))))
    return tuple(found)


def _of(study: Study, models: Set[str]) -> Study:
    return study.where(lambda setting: setting.model in models)
