"""From which cost to which accuracy is bought, and the cost at which one model overtakes another.

Both are found on every row (the questions as they are, and each resample) for itself: fixed for all of them,
intervals of what depends on them covered 3 to 72 % of simulated truths where they said 95. Axes: R rows · G
costs of the grid.
"""

import numpy as np

from kinetics_jax.scaling.frontier.best_configuration import Floats
from kinetics_jax.scaling.frontier.frontiers import NOTHING

NEAR_END = 0.05
"""Share of the best accuracy that may be missing where a frontier counts as at its end."""

HALF_A_POINT = 0.005
"""Accuracy by which one model must be better to be called so."""


def spans(costs: Floats, accuracy: Floats) -> tuple[Floats, Floats]:
    """Costs between which accuracy is bought, of every row: (from, to), [R] each.

    From where there is more than ``NOTHING`` of the row's best to where it is within ``NEAR_END`` of it:
    below, it is chance who is right; above, the optimum stands still whatever the law.
    """
    best = accuracy.max(axis=1, keepdims=True)
    start = np.argmax(accuracy > NOTHING * best, axis=1)
    end = np.argmax(accuracy >= best * (1 - NEAR_END), axis=1)
    return costs[start], costs[end]


def inside(costs: Floats, low: Floats, high: Floats) -> np.ndarray:
    """Which costs lie in each row's span, ends included, [R, G]."""
    return (costs >= low[:, None]) & (costs <= high[:, None])


def crossover_costs(costs: Floats, worse: Floats, better: Floats) -> Floats:
    """Cost from which ``worse`` is never again the better by ``HALF_A_POINT``, of every row.

    Where both have levelled off chance leads now with one, now with the other; that is no crossover.

    Args:
        costs: rising, [G].
        worse: accuracies of the curve that is left behind, [R, G].
        better: of the one that overtakes.

    Returns:
        [R], linear in the logarithm of the cost; the lowest cost of the grid where ``worse`` never leads, and
        infinity where it does to the end.
    """
    lead = np.maximum.accumulate(better, axis=1) - np.maximum.accumulate(worse, axis=1) + HALF_A_POINT
    behind = lead < 0
    last = behind.shape[1] - 1 - np.argmax(behind[:, ::-1], axis=1)
    rows, after = np.arange(len(lead)), np.minimum(last + 1, lead.shape[1] - 1)
    before_lead, after_lead = lead[rows, last], lead[rows, after]
    rise = np.where(after_lead > before_lead, after_lead - before_lead, 1.0)
    position = np.log(costs)
    at = position[last] - before_lead / rise * (position[after] - position[last])
    found = np.where(behind.any(axis=1), np.exp(at), costs[0])
    return np.where(behind[:, -1], np.inf, found)
