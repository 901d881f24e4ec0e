"""How often every printed interval of a law covers the population's own value.

The truth of a design is the same procedure with many more questions, as many samples each.
"""

import functools
import itertools
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from kinetics_jax.costs import get_chip
from kinetics_jax.scaling.frontier.spans import crossover_costs
from kinetics_jax.scaling.law.one_law import find_law
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.results import Law
from tests.scaling.coverage.populations import Population

MANY = 6_000
"""Questions of the population that stand for all of them."""


class Printed(NamedTuple):
    """One printed interval, and what it should hold."""

    kind: str
    value: float
    low: float
    high: float
    truth: float
    unit: float
    """What a width is divided by, so that widths of a kind compare."""

    @property
    def covered(self) -> bool:
        """Whether the truth is inside."""
        slack = 1e-9 * max(1.0, abs(self.truth)) if np.isfinite(self.truth) else 0.0
        return self.low - slack <= self.truth <= self.high + slack


def law_of(population: Population, seed: int, *, questions: int | None = None, resamples: int = 200) -> Law:
    """The law of a draw, priced on a B200."""
    options = LawOptions(bootstrap=resamples, grid_points=60, splits=5, seed=seed % 1000)
    return find_law(population.draw(seed, questions), get_chip("b200"), options)


@functools.cache
def true_law(population: Population) -> Law:
    """The law of the whole population."""
    return law_of(population, 10**6, questions=MANY, resamples=2)


def printed(law: Law, truth: Law) -> list[Printed]:
    """Every interval of a law beside what the population has."""
    found = []
    front, whole = law.best_frontier, truth.best_frontier
    at = np.interp(np.log(law.costs), np.log(truth.costs), whole.accuracy)
    for g in range(4, len(law.costs), 5):
        if at[g] > 0 and law.costs[g] <= truth.costs[-1]:
            found.append(Printed("accuracy", front.accuracy[g], front.low[g], front.high[g], at[g], 1))
    last = Printed("most solved", front.accuracy[-1], front.low[-1], front.high[-1], whole.accuracy[-1], 1)
    found.append(last)
    for one, after in itertools.pairwise(front.bands):
        at_truth = crossing(truth, one.model, after.model)
        found.append(Printed("crossover", *np.log10([after.start, after.start_low, after.start_high, at_truth]), 1))
    for name, fit in front.fits.items():
        if name in whole.fits and fit.low is not None:
            found.append(Printed(name, fit.value, fit.low, fit.high, whole.fits[name].value, 1))
    pairs = [("optimism", law.optimism, truth.optimism), ("threshold", law.threshold, truth.threshold)]
    if law.sparse is not None and truth.sparse is not None:
        pairs += [("gain", law.sparse.gain, truth.sparse.gain), ("saving", law.sparse.cheaper, truth.sparse.cheaper)]
    for kind, mine, its in pairs:
        if mine is not None and its is not None and mine.low is not None:
            found.append(Printed(kind, mine.value, mine.low, mine.high, its.value, 1))
    return found


def crossing(truth: Law, worse: str, better: str) -> float:
    """Cost from which one model's curve stays above another's in the population, in eFLOPs."""
    curves = (truth.model_curves[name][None] for name in (worse, better))
    return float(crossover_costs(truth.costs, *curves)[0])


def coverage(population: Population, draws: int, resamples: int = 200, first: int = 0) -> dict[str, dict]:
    """Kind → share of printed intervals that cover, their number, median width and how many have none."""
    truth = true_law(population)
    rows = defaultdict(list)
    for seed in range(first, first + draws):
        for one in printed(law_of(population, seed, resamples=resamples), truth):
            rows[one.kind].append(one)
    return {
        kind: {
            "covered": float(np.mean([one.covered for one in found])),
            "low": float(np.mean([one.truth < one.low for one in found])),
            "printed": len(found),
            "width": float(np.median([one.high - one.low for one in found])),
            "zero": float(np.mean([one.high <= one.low for one in found])),
            "bias": float(np.mean([one.value - one.truth for one in found])),
        }
        for kind, found in rows.items()
    }
