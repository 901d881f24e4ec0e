"""What a frontier says in words: gaps between two, who holds which part, where growing the model ends.

Axis: G costs of the grid.
"""

import dataclasses

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_model import TIE
from kinetics_jax.scaling.frontier.frontiers import Frontier


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of the frontier that one model holds."""

    model: str
    start_cost: float
    end_cost: float
    """Cost of the last grid point of the stretch."""
    start_accuracy: float
    end_accuracy: float


def vertical_gap(better: Frontier, worse: Frontier, cost: float) -> float:
    """Accuracy (0…1) that one frontier has above another at a cost; linear between grid points.

    Raises:
        InputError: a cost outside either grid.
    """
    for frontier in (better, worse):
        if not frontier.costs[0] <= cost <= frontier.costs[-1]:
            raise InputError(
                f"cost {cost:g} is outside the grid {frontier.costs[0]:g}…{frontier.costs[-1]:g}"
            )
    return float(
        np.interp(cost, better.costs, better.accuracy) - np.interp(cost, worse.costs, worse.accuracy)
    )


def cost_ratio(worse: Frontier, better: Frontier, accuracy: float) -> float:
    """How many times more one frontier pays for an accuracy (0…1) than another.

    The reference's rule: the ratio of the last costs at which each is still at or below the accuracy.

    Raises:
        InputError: an accuracy below or at the end of either frontier, where the rule means nothing.
    """
    last = []
    for frontier in (worse, better):
        below = np.flatnonzero(frontier.accuracy <= accuracy + TIE)
        top = float(frontier.accuracy[-1])
        if not below.size or accuracy > top + TIE:
            raise InputError(
                f"accuracy {accuracy:g} is not on the frontier, which goes from "
                f"{frontier.accuracy[0]:g} to {top:g}"
            )
        last.append(float(frontier.costs[below[-1]]))
    return last[0] / last[1]


def segments(frontier: Frontier) -> list[Segment]:
    """The frontier from cheap to expensive as stretches of one model each."""
    changes = np.flatnonzero(frontier.model[1:] != frontier.model[:-1]) + 1
    starts = [0, *changes.tolist()]
    ends = [*(changes - 1).tolist(), len(frontier.model) - 1]
    return [
        Segment(
            str(frontier.model[a]),
            float(frontier.costs[a]),
            float(frontier.costs[b]),
            float(frontier.accuracy[a]),
            float(frontier.accuracy[b]),
        )
        for a, b in zip(starts, ends, strict=True)
    ]


def threshold_model(frontier: Frontier) -> str:
    """The model under which the frontier climbs most: up to it a larger model is the better buy,
    from it on more tokens or trials are.

    In the terms of the paper's Fig. 1a it is the model with the widest band of accuracies (14B holds
    .31–.80). Every step up is credited to the model that made it.
    """
    gain: dict[str, float] = {}
    steps = np.diff(frontier.accuracy, prepend=0.0)
    for name, step in zip(frontier.model, steps, strict=True):
        gain[str(name)] = gain.get(str(name), 0.0) + float(step)
    return max(gain, key=lambda name: gain[name])
