"""The batch as it is over time: full while samples wait, draining at the end, and what that costs.

A server decodes as many sequences as it has slots for while there is work, and fewer towards the end of it.
Each step costs the same for one sequence as for a full batch, nearly, so that tokens of the drain are dear.
"""

import dataclasses
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kinetics_jax.checks import check_whole, shown
from kinetics_jax.costs.cost import CalibratedCost, Cost, Steps, Term, Timed
from kinetics_jax.costs.price import price
from kinetics_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """How many steps were decoded with how many sequences."""

    steps: Mapping[int, int]
    """Sequences decoded together → steps with that many."""

    def __post_init__(self) -> None:
        if not self.steps:
            raise InputError("a trajectory needs at least one step")
        for size, number in self.steps.items():
            check_whole("sequences of a step", size, 1)
            check_whole(f"steps of {size} sequences", number, 1)

    @property
    def tokens(self) -> int:
        """Tokens decoded in all steps."""
        return sum(size * number for size, number in self.steps.items())

    @property
    def mean_batch(self) -> float:
        """Tokens a step: the one batch that reads the weights as often."""
        return self.tokens / sum(self.steps.values())

    def shares(self) -> dict[int, float]:
        """Sequences decoded together → share of the tokens that were decoded so."""
        return {size: size * number / self.tokens for size, number in sorted(self.steps.items())}

    @classmethod
    def of_counts(cls, busy: Iterable[int]) -> "Trajectory":
        """From the sequences of each step in turn, such as an engine counts them; steps of none are idle."""
        sizes, numbers = np.unique(np.asarray(list(busy), int), return_counts=True)
        return cls({int(size): int(number) for size, number in zip(sizes, numbers, strict=True) if size})


def continuous_batching(
    lengths: Sequence[int] | np.ndarray, slots: int, recomputed: Sequence[int] | np.ndarray | int = 0
) -> Trajectory:
    """Samples of known lengths on so many slots: a free slot takes the next sample, in the order given.

    Args:
      lengths: tokens of each sample, whole numbers ≥ 1.
      slots: sequences that are decoded together at most.
      recomputed: tokens that each sample decodes again because it was preempted, one number or one a sample.

    Prompts are taken to be prefilled beside. Raises ``InputError`` for lengths or slots that are none.
    """
    slots = check_whole("slots", slots, 1)
    taken = np.asarray(lengths, float).ravel() + np.asarray(recomputed, float)
    if not taken.size or np.any(taken < 1) or np.any(taken != np.floor(taken)):
        raise InputError(f"lengths={shown(lengths)} must be whole numbers ≥ 1, and at least one")
    ends: list[int] = []
    free_at = [0] * min(slots, taken.size)
    for length in taken.astype(int).tolist():
        start = heapq.heappop(free_at)
        heapq.heappush(free_at, start + length)
        ends.append(start + length)
    starts = np.asarray(ends) - taken.astype(int)
    times, change = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    busy = np.cumsum(np.bincount(change, weights=np.repeat([1, -1], taken.size)))[:-1].round().astype(int)
    steps: dict[int, int] = {}
    for size, span in zip(busy.tolist(), np.diff(times).astype(int).tolist(), strict=True):
        if size:
            steps[size] = steps.get(size, 0) + span
    return Trajectory(steps)


def price_along(
    trajectory: Trajectory,
    model: Any,
    policy: Any,
    prompt_tokens: Any,
    generated_tokens: Any,
    trials: Any = 1,
    **options: Any,
) -> Cost:
    """``price`` of a request whose tokens were decoded at the trajectory's batches, in their shares.

    A token decoded in a step of b sequences is charged 1/b of the step, so that the price is the mean over
    batches by their shares of the tokens. Every request is taken to have had the mean token's batches.

    Raises ``InputError`` as ``price`` does, and for a ``batch`` given beside the trajectory.
    """
    if options.get("batch") is not None:
        raise InputError("batch: the trajectory says it; leave it out")
    shares = trajectory.shares()
    asked = (model, policy, prompt_tokens, generated_tokens, trials)
    costs = [price(*asked, batch=size, **options) for size in shares]
    return _mean(costs, list(shares.values()), trajectory.mean_batch)


def _mean(costs: Sequence[Cost], weights: Sequence[float], batch: float) -> Cost:
    """Prices of one request at several batches as one, each by its weight."""
    first = costs[0]
    terms = {
        name: Term(
            **{
                field.name: sum(
                    weight * np.asarray(getattr(cost.terms[name], field.name), float)
                    for cost, weight in zip(costs, weights, strict=True)
                )
                for field in dataclasses.fields(Term)
            }
        )
        for name in first.terms
    }
    if not isinstance(first, CalibratedCost):
        return dataclasses.replace(first, terms=terms, batch=batch)
    times = {
        name: tuple(
            Timed(weight * cost.seconds_of_part(part), part.efficiency)
            for cost, weight in zip(costs, weights, strict=True)
            if isinstance(cost, CalibratedCost)
            for part in cost.times[name]
        )
        for name in first.times
    }
    steps = Steps(np.full_like(first.steps.number, np.nan), first.num_chips, None)  # no part is of a step now
    return dataclasses.replace(first, terms=terms, batch=batch, times=times, steps=steps)
