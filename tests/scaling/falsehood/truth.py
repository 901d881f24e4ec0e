"""What is true of a design: the same rule, grid spacing and samples on a population too large to err.

Axis: G costs of the grid.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from kinetics_jax.costs import chips
from kinetics_jax.scaling.frontier.frontiers import cost_grid
from kinetics_jax.scaling.frontier.token_demand import demand_exponents
from kinetics_jax.scaling.law.deployments import deploy, priced_families
from kinetics_jax.scaling.law.judged_laws import EXPONENT, EXPONENT_MARGIN
from kinetics_jax.scaling.law.one_law import find_law
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.paper_claims import attention_share
from kinetics_jax.scaling.law.priced_study import priced_study
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.statistics.bands import Bands
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.matched import match_sides
from tests.scaling.falsehood.population import Draw, as_family, draw
from tests.scaling.falsehood.scenarios import Design

CHIP = chips.b200
OPTIONS = LawOptions(bootstrap=200, splits=2, grid_points=40)
POPULATION = 3000
DEMANDS = 60
"""Data sets of the same size whose mean exponent is the true one."""
SURE = 3.5
"""Standard errors from the nearest boundary at which a claim counts as decidable."""
MARGIN = 0.01
FALL = 0.005
"""A size that loses less than this again has not lost: the population itself is known to no better."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A true difference at each cost, and its standard error in a data set of the design's size, [G]."""

    costs: np.ndarray
    value: np.ndarray
    error: np.ndarray

    def at(self, costs: np.ndarray) -> "Curve":
        """The curve at the costs of a data set's grid that it is known at."""
        inside = costs[(costs >= self.costs[0]) & (costs <= self.costs[-1])]
        logs = np.log(inside), np.log(self.costs)
        return Curve(inside, np.interp(*logs, self.value), np.interp(*logs, self.error))


@dataclasses.dataclass(frozen=True)
class Truth:
    """Of one design."""

    sparse: Curve | None
    growth: tuple[Curve, ...]
    bias: tuple[float, float, float] | None
    """Of choosing on the scored samples, in points; its standard error in a data set, and here."""
    demand: Mapping[str, tuple[float, float, float]]
    """Exponent by model; its standard deviation over data sets, and its standard error here."""
    share: tuple[float, float]
    """Of attention: least and largest over cells."""


def truth_of(design: Design) -> Truth:
    """Found once a design; about three seconds."""
    world, sides = design.world, design.of(design.world.truth)
    pilot = as_family(draw(sides, design.questions, world.spread, seed=999))
    step = np.diff(np.log(_grid(pilot, OPTIONS.grid_points)))[0]
    family = as_family(draw(sides, POPULATION, world.spread, seed=12345))
    ends = np.log(_grid(family, 2))
    points = int(np.ceil((ends[1] - ends[0]) / step)) + 1
    options = dataclasses.replace(OPTIONS, grid_points=points, bootstrap=50)  # for standard errors alone
    law = find_law(family, CHIP, options)
    scale = np.sqrt(POPULATION / design.questions)
    curve = functools.partial(_curve, law, scale=scale)
    bias = law.selection_bias
    if world.compared is not None:  # choices are made on all the samples that there are
        sides = tuple(side for side in design.of(world.sides) if side.source == sides[0].source)
        as_they_are = _family(draw(sides, POPULATION, world.spread, seed=12345))
        bias = find_law(as_they_are, CHIP, options).selection_bias
    known = None
    if bias is not None and bias.low is not None and bias.high is not None:
        error = (bias.high - bias.low) / 3.92
        known = (bias.value, error * scale, error)
    share = attention_share(priced_families([family], CHIP, LawOptions()))
    assert share is not None
    return Truth(
        sparse=None if law.sparse is None else curve(law.sparse.difference),
        growth=tuple(curve(step.difference) for step in law.growth),
        bias=known,
        demand=_demands(design),
        share=(share.low, share.high),
    )


def _family(draws: list[Draw]) -> Family:
    """A population whose sides were made comparable."""
    family = as_family(draws)
    return dataclasses.replace(family, cells=match_sides(family.cells).cells)


def _curve(law: Law, bands: Bands, scale: float) -> Curve:
    known = np.isfinite(bands.value)
    error = (bands.value - bands.low) / 1.96 * scale
    return Curve(law.costs[known], bands.value[known], error[known])


def _grid(family, points: int) -> np.ndarray:
    return cost_grid(priced_study(family, CHIP, OPTIONS, deploy(family, CHIP, OPTIONS), None), points)


def _demands(design: Design) -> dict[str, tuple[float, float, float]]:
    """Exponents over data sets like those that are judged: mean, spread, and the error of the mean."""
    home = design.world.sides[0].source
    sides = tuple(side for side in design.of(design.world.sides) if side.source == home)
    found: dict[str, list[float]] = {}
    sparse = [side for side in sides if side.policy.kv_budget is not None]
    for seed in range(DEMANDS if sparse and min(side.samples for side in sides) > 1 else 0):
        family = _family(draw(sides, design.questions, design.world.spread, seed=50_000 + seed))
        best_of_n = dataclasses.replace(OPTIONS, search="best_of_n")
        study = priced_study(family, CHIP, best_of_n, deploy(family, CHIP, best_of_n), None)
        exponents = demand_exponents(study, points=OPTIONS.grid_points, resamples=2, seed=0)
        for model, fit in exponents.items():
            found.setdefault(model, []).append(fit.value)
    known = {model: np.array(b) for model, b in found.items() if len(b) > 9}
    return {
        model: (float(b.mean()), float(b.std(ddof=1)), float(b.std(ddof=1) / np.sqrt(len(b))))
        for model, b in known.items()
    }


def sparse_truth(curve: Curve) -> tuple[set[str], str | None]:
    """Verdicts that are true, and the one that is decidable. Between −1 point and nothing both are true."""
    true = set()
    if curve.value.min() < 0:
        true.add("fails")
    if curve.value.min() > -MARGIN and curve.value.max() > 0:
        true.add("holds")
    t = curve.value / curve.error
    if t.min() <= -SURE:
        return true, "fails"
    sure = ((curve.value + MARGIN) / curve.error).min() >= SURE and t.max() >= SURE
    return true, "holds" if sure else None


def sizes_truth(curves: tuple[Curve, ...]) -> tuple[set[str], str | None]:
    """The same of sizes that rise up to a threshold."""

    def structure(least: float, allowed: float) -> str | None:
        """What holds with every difference at least so many standard errors from what it must be above."""
        won = [one.value > least * one.error for one in curves]
        lost = [one.value < -least * one.error for one in curves]
        stops = [bool((one.value + allowed * one.error < MARGIN).all()) for one in curves]
        for one, plus, minus in zip(curves, won, lost, strict=True):
            up, down = (np.flatnonzero(side & (np.abs(one.value) > FALL)) for side in (plus, minus))
            if up.size and down.size and up[0] < down[-1]:
                return "fails"
        if stops[0]:
            return "fails"
        first = stops.index(True) if True in stops else len(stops)
        for one, plus, minus in list(zip(curves, won, lost, strict=True))[:first]:
            after = slice(int(np.argmax(plus)), None)
            risen = plus.any() and minus.any() and np.argmax(minus) < np.argmax(plus)
            kept = (one.value[after] - allowed * one.error[after] > -MARGIN).all()
            if risen and kept and first < len(stops):
                return "holds"
        return None

    plain = structure(0.0, 0.0)
    return {plain} - {None}, structure(SURE, SURE)


def bias_truth(value: float, error: float, own: float) -> tuple[set[str], str | None]:
    """The same of an average that is nothing, to one point."""
    return _within(abs(value) - 1.0, error, own)


def demand_truth(value: float, error: float, own: float) -> tuple[set[str], str | None]:
    """The same of an exponent that is the paper's."""
    return _within(abs(value - EXPONENT) - EXPONENT_MARGIN, error, own)


def _within(beyond: float, error: float, own: float) -> tuple[set[str], str | None]:
    """Both words are true where the truth itself is not known well enough to say (two standard errors)."""
    true = {word for word, side in (("holds", -1), ("fails", 1)) if side * beyond > -2 * own}
    sure = abs(beyond) >= SURE * error and len(true) == 1
    return true, next(iter(true)) if sure else None


def share_truth(low: float, high: float) -> tuple[set[str], str | None]:
    """The same of attention that is most of the cost in every cell."""
    true = {"holds"} if low > 0.5 else {"fails"} if high < 0.5 else {"mixed"}
    return true, next(iter(true)) if min(abs(low - 0.5), abs(high - 0.5)) > 0.05 else None
