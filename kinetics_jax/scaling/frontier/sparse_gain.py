"""Sparse attention against dense at equal cost: two frontiers of one study, question by question.

Axes: R resamples · G costs of the grid.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from kinetics_jax.scaling.frontier.best_configuration import Floats
from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.frontiers import NOTHING
from kinetics_jax.scaling.frontier.spans import inside, spans
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.statistics.bands import Bands, difference_bands

ENOUGH = 0.95
"""Share of the best that dense attention solves, at which costs are compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Row 0 is the questions as they are, the others are resamples of them, the same for both."""

    flavour: str
    """Rule of choosing."""
    dense: Floats
    """Accuracy with dense configurations alone, [1+R, G]."""
    sparse: Floats
    difference: Bands
    """Sparse less dense in [−1, 1] at each cost at which either solves something, [G]."""
    gain: Floats
    """The same in points of accuracy, mean over each row's own span of costs (``spans``), [1+R]."""
    cheaper: Floats
    """Dense's cost over sparse's for ``ENOUGH`` of dense's best; 0 where sparse never does, [1+R]."""
    step: float
    """Ratio of neighbouring costs of the grid."""
    beyond: float
    """Above ``cheaper`` where sparse does not get there within the grid: dense's cost over the dearest."""


def compare(study: Study, resampled: Callable[[Study], FrontierBootstrap]) -> Comparison | None:
    """Both frontiers over the models that have dense and sparse configurations; None where no model has.

    Args:
      study: of both kinds of configurations.
      resampled: its frontier, such as a partial ``bootstrap_frontier``; the same resamples for both kinds.
    """
    models: dict[bool, set[str]] = {True: set(), False: set()}
    for setting in study.settings:
        models[setting.policy.kv_budget is None].add(setting.model)
    both = models[True] & models[False]
    if not both:
        return None

    def frontier(dense: bool) -> FrontierBootstrap:
        return resampled(study.where(lambda s: s.model in both and (s.policy.kv_budget is None) == dense))

    first = frontier(True)
    dense, sparse, costs = first.accuracy, frontier(False).accuracy, first.costs
    better = np.maximum(dense, sparse)
    counts = solves_something(better[0])
    bought = inside(costs, *spans(costs, better))
    gain = 100 * np.mean(sparse - dense, axis=1, where=bought)
    target = ENOUGH * dense.max(axis=1)
    paid = _cost(costs, dense, target)
    cheaper = paid / _cost(costs, sparse, target)
    difference = difference_bands(sparse - dense, counts, len(study.questions))
    return Comparison(
        flavour=first.frontier.flavour,
        dense=dense,
        sparse=sparse,
        difference=difference,
        gain=gain,
        cheaper=cheaper,
        step=float(costs[1] / costs[0]),
        beyond=float(paid[0] / costs[-1]),
    )


def solves_something(accuracy: Floats) -> np.ndarray:
    """Costs at which an accuracy [G] is more than chance: above a small share of its best."""
    return accuracy > NOTHING * accuracy.max()


def _cost(costs: Floats, accuracy: Floats, target: Floats) -> Floats:
    """Least cost at which each row reaches its target, linear in its logarithm; inf where it never does."""
    rows = np.arange(len(accuracy))
    there = accuracy >= target[:, None]
    at = there.argmax(axis=1)
    before = np.maximum(at - 1, 0)
    low, high = accuracy[rows, before], accuracy[rows, at]
    missing = np.divide(high - target, high - low, out=np.zeros(len(rows)), where=high > low)
    position = np.log(costs)
    reached = np.exp(position[at] - missing * (position[at] - position[before]))
    return np.where(there.any(axis=1), reached, np.inf)
