"""How often every printed interval of a law covers the population's own value.

The truth of a design is what the same procedure finds with many more questions, of as many samples each. What
choosing on the scored samples adds depends on how many questions there are: its truth is its mean over draws.
"""

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from kinetics_jax.costs import get_chip
from kinetics_jax.scaling.frontier.spans import crossover_costs
from kinetics_jax.scaling.law import one_law
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.results import Law
from tests.scaling.coverage.populations import Population

MANY = 6_000
"""Questions of the population that stand for all of them."""
_EVERY = 5
"""Grid points of which the accuracy is looked at: one in this many."""


class Printed(NamedTuple):
    """One printed interval, and what it should hold."""

    kind: str
    value: float
    low: float
    high: float
    truth: float

    @property
    def covered(self) -> bool:
        """Whether the truth is inside."""
        slack = 1e-9 * max(1.0, abs(self.truth)) if np.isfinite(self.truth) else 0.0
        return bool(self.low - slack <= self.truth <= self.high + slack)


def law_of(population: Population, seed: int, *, questions: int | None = None, resamples: int = 300) -> Law:
    """The law of a draw, priced on a B200; without the parts whose intervals are measured elsewhere."""
    options = LawOptions(bootstrap=resamples, grid_points=60, splits=5, seed=seed % 1000)
    with (
        mock.patch.object(one_law, "without_oracle", return_value=None),
        mock.patch.object(one_law, "evidence", return_value={}),
    ):
        return one_law.find_law(population.draw(seed, questions), get_chip("b200"), options)


@functools.cache
def true_law(population: Population) -> Law:
    """The law of the whole population."""
    return law_of(population, 10**6, questions=MANY, resamples=2)


def printed(law: Law, truth: Law) -> Iterator[Printed]:
    """Every interval of a law beside what the population has."""
    front, whole = law.best_frontier, truth.best_frontier
    at = np.interp(np.log(law.costs), np.log(truth.costs), whole.accuracy)
    for g in range(_EVERY - 1, len(law.costs) - 1, _EVERY):
        if at[g] > 0 and law.costs[g] <= truth.costs[-1]:
            yield Printed("accuracy", front.accuracy[g], front.low[g], front.high[g], at[g])
    yield Printed("most solved", front.accuracy[-1], front.low[-1], front.high[-1], whole.accuracy[-1])
    for before, band in itertools.pairwise(front.bands):
        crossing = _crossing(truth, before.model, band.model)
        ends = np.log10([band.start, band.start_low, band.start_high, crossing])
        yield Printed("crossover (decades)", *ends.tolist())
    pairs = {
        f"exponent of {name[:-2]}": (fit, whole.fits.get(name))
        for name, fit in front.fits.items()
        if name.endswith(".b")
    }
    pairs |= {"optimism": (law.optimism, truth.optimism), "threshold": (law.threshold, truth.threshold)}
    if law.sparse is not None and truth.sparse is not None:
        pairs["gain"] = (law.sparse.gain, truth.sparse.gain)
        pairs["saving"] = (law.sparse.cheaper, truth.sparse.cheaper)
    for kind, (found, true) in pairs.items():
        if found is not None and true is not None and found.low is not None and found.high is not None:
            yield Printed(kind, found.value, found.low, found.high, true.value)


def _crossing(truth: Law, worse: str, better: str) -> float:
    """Cost from which one model's curve stays above another's in the population, in eFLOPs."""
    curves = (truth.model_curves[name][None] for name in (worse, better))
    return float(crossover_costs(truth.costs, *curves)[0])


def coverage(population: Population, draws: int, resamples: int = 300) -> dict[str, dict[str, Any]]:
    """Kind → share of its printed intervals that cover, how many, median width, zero widths, bias."""
    truth, rows = true_law(population), defaultdict[str, list[Printed]](list)
    for seed in range(draws):
        for one in printed(law_of(population, seed, resamples=resamples), truth):
            rows[one.kind].append(one)
    if rows["optimism"]:
        mean = float(np.mean([one.value for one in rows["optimism"]]))
        rows["optimism"] = [one._replace(truth=mean) for one in rows["optimism"]]
    return {kind: _summary(found) for kind, found in rows.items() if found}


def _summary(found: list[Printed]) -> dict[str, Any]:
    width = float(np.median([one.high - one.low for one in found]))
    with np.errstate(invalid="ignore"):
        bias = float(np.mean([one.value - one.truth for one in found]))
    return {
        "covered": float(np.mean([one.covered for one in found])),
        "printed": len(found),
        "median_width": width if np.isfinite(width) else None,
        "zero_width": int(sum(one.high <= one.low for one in found)),
        "bias": bias if np.isfinite(bias) else None,
    }
