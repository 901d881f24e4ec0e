"""A bootstrapped frontier as results: what is best along it, who holds which stretch of cost, fits.

Axes: G costs of the grid · M models. ``unit`` is what a cost of the grid is in the unit of the law's costs.
"""

import dataclasses
import itertools

import numpy as np

from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap
from kinetics_jax.scaling.frontier.choose_and_score import Sharing
from kinetics_jax.scaling.frontier.frontiers import NOTHING, Frontier
from kinetics_jax.scaling.frontier.gaps_and_thresholds import segments
from kinetics_jax.scaling.frontier.halves import for_halves
from kinetics_jax.scaling.frontier.spans import crossover_costs
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.law.estimates import FITTED, fits
from kinetics_jax.scaling.law.result_parts import TERA, Band
from kinetics_jax.scaling.law.results import FrontierResult
from kinetics_jax.scaling.statistics.intervals import interval


def frontier_result(
    study: Study, boot: FrontierBootstrap, choice: Sharing, models: tuple[str, ...], unit: float = TERA
) -> FrontierResult:
    """What a frontier of ``study`` says; columns of ``model_share`` are in the order of ``models``."""
    frontier = boot.frontier
    ends = boot.accuracy_interval()
    share = boot.model_share()[:, [boot.models.index(name) for name in models]]
    reached = frontier.accuracy > NOTHING * frontier.accuracy.max()
    found = fits(boot, _on_offer(study, frontier.flavour, choice), unit)
    return FrontierResult(
        flavour=frontier.flavour,
        choice=choice,
        accuracy=frontier.accuracy,
        low=ends.low,
        high=ends.high,
        model=tuple(str(name) if ok else "" for name, ok in zip(frontier.model, reached, strict=True)),
        model_share=share,
        bands=_with_crossovers(boot, _bands(frontier, share, models, reached, unit), unit),
        **{name: boot.optima[name][0] for name in (*FITTED, "dense_share")},
        fits=found.estimates,
        curves=found.curves,
        refused=found.refused,
    )


def _bands(
    frontier: Frontier, share: np.ndarray, models: tuple[str, ...], reached: np.ndarray, unit: float
) -> tuple[Band, ...]:
    """Who holds which stretch of cost; a stretch ends where the next begins."""
    found = []
    for part in segments(frontier):
        inside = (frontier.costs >= part.start_cost) & (frontier.costs <= part.end_cost) & reached
        if inside.any():
            found.append((part, np.flatnonzero(inside)))
    if not found:  # nothing was ever solved
        return ()
    starts = [float(frontier.costs[index[0]]) for _, index in found]
    ends = [*starts[1:], float(frontier.costs[-1])]
    return tuple(
        Band(
            model=part.model,
            start=start * unit,
            end=end * unit,
            start_accuracy=float(frontier.accuracy[index[0]]),
            end_accuracy=part.end_accuracy,
            support=float(share[index, models.index(part.model)].mean()),
        )
        for (part, index), start, end in zip(found, starts, ends, strict=True)
    )


def _with_crossovers(boot: FrontierBootstrap, bands: tuple[Band, ...], unit: float) -> tuple[Band, ...]:
    """The bands with the interval of the cost at which each overtakes the last, a grid step wider."""
    step = boot.costs[1] / boot.costs[0]
    found = list(bands[:1])
    for before, band in itertools.pairwise(bands):
        worse, better = (boot.curves[1:, boot.models.index(one.model)] for one in (before, band))
        ends = interval(crossover_costs(boot.costs, worse, better))
        low, high = ends.low / step * unit, ends.high * step * unit
        found.append(
            dataclasses.replace(band, start_low=min(low, band.start), start_high=max(high, band.start))
        )
    return tuple(found)


def _on_offer(study: Study, flavour: str, choice: Sharing) -> dict[str, int]:
    """How many values of a quantity a choice is between; two make no law, however their mix shifts."""
    if flavour == "held_out" and choice == "question":  # half of the samples score, so N goes half as far
        study = for_halves(study)
    kept = {"trials": study.trials, "length": study.length, "kv_budget": study.kv_budget}
    return {name: np.unique(values[np.isfinite(values)]).size for name, values in kept.items()}
