"""Frontiers: the most accuracy that a cost limit per question buys, and the model that gives it.

Two flavours. ``paper``: chosen on the very samples it is scored on, which flatters (the maximum of
noisy estimates lies above the truth). ``held_out``: chosen on one half, scored on the other.
Axes: G costs of the grid · M models · Q questions · C configurations.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_configuration import Choice, Floats, Ints, take
from kinetics_jax.scaling.frontier.best_model import Followed, follow_best_model, running_best
from kinetics_jax.scaling.frontier.choose_and_score import NEAR_BEST, Flavour, Sharing, choose_and_score
from kinetics_jax.scaling.frontier.halves import for_halves
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.statistics.smoothing import smooth

SMOOTHING = 3
"""Grid points that the reference averages each model's curve over."""
NOTHING = 0.05
"""Share of the best accuracy under which a frontier names no model: there it is chance who is right."""


@dataclasses.dataclass(frozen=True, eq=False)
class Frontier:
    """Accuracy bought, and by which model, against the cost limit."""

    costs: Floats
    """[G]"""
    accuracy: Floats
    """In 0…1, [G]."""
    model: NDArray[Any]
    """Name of the model that holds the frontier, [G]."""
    reached: Ints
    """Grid index ≤ own at which that model reached this accuracy, [G]."""
    curves: Mapping[str, Floats]
    """Every model's own accuracy, smoothed, [G] each."""
    flavour: str


@dataclasses.dataclass(frozen=True, eq=False)
class StudyFrontier(Frontier):
    """A frontier of a study, with what is optimal on it. Optima are NaN where nothing fits the cost."""

    spent: Floats
    """Mean expected cost really spent per question, [G]; at most the limit where flavour is paper."""
    model_share: Floats
    """Share of splits in which each model was chosen, [G, M]."""
    models: tuple[str, ...]
    optima: Mapping[str, Floats]
    """Mean over questions of the optimal ``tokens``, ``trials``, ``length`` and ``kv_budget`` (the
    latter over those that chose sparse attention), and ``dense_share``; [G] each."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOutFrontier(StudyFrontier):
    """A held-out frontier beside the paper's rule on the same configurations."""

    paper: StudyFrontier

    @property
    def optimism(self) -> Floats:
        """Accuracy that the paper's rule claims beyond what can be had, [G].

        Beside a step of the paper's curve it also holds the doubt about where the step is: a
        configuration whose mean cost is near the limit fits it on one half and not on the other.
        Quote it where both curves are flat, or as the mean over the grid.
        """
        return self.paper.accuracy - self.accuracy


def paper_frontier(
    curves: Mapping[str, ArrayLike], costs: ArrayLike, *, smoothing: int = SMOOTHING
) -> Frontier:
    """The reference's frontier of models: smooth each curve, then the running maximum over models.

    Args:
        curves: model name → accuracy at each cost, unsmoothed, [G].
        costs: rising, [G].
        smoothing: width of the moving average in grid points (odd; mirrored at the ends); 1 for none.

    Returns:
        ``.accuracy`` and ``.model``, [G]. Of models that tie, the first by name (as text) is taken.

    Raises:
        InputError: no curve, lengths that differ, NaN, or costs that do not rise.
    """
    grid = check_costs(costs)
    if not curves:
        raise InputError("a frontier needs the curve of at least one model")
    names = sorted(curves)
    for name in names:
        curve = np.asarray(curves[name], np.float64)
        if curve.shape != grid.shape or not np.isfinite(curve).all():
            raise InputError(
                f"curve of {name} must be {len(grid)} finite numbers, one a cost; got {curve.shape}"
            )
    smoothed = smooth(np.stack([np.asarray(curves[name], np.float64) for name in names]), smoothing)
    model, reached = running_best(smoothed)
    return Frontier(
        grid,
        smoothed[model, reached],
        np.array(names, dtype=object)[model],
        reached,
        dict(zip(names, smoothed, strict=True)),
        "paper",
    )


def cost_grid(span: Study | tuple[float, float], points: int = 100) -> Floats:
    """Costs evenly spaced in their logarithm, [points], from the lowest to the highest.

    A study's span goes from the cheapest configuration of its cheapest question to the most
    expensive of its most expensive one, so that at the right end every choice is open.

    Raises:
        InputError: a span that is not 0 < low < high, or fewer than two points.
    """
    if isinstance(span, Study):
        positive = span.cost[span.cost > 0]
        span = (float(positive.min()), float(positive.max())) if positive.size else (0.0, 0.0)
    low, high = span
    if not 0 < low < high < np.inf or points < 2:
        raise InputError(f"a log grid needs 0 < low < high and 2 points or more, got {span}, {points}")
    grid = np.geomspace(low, high, points)
    grid[0], grid[-1] = low, high  # exactly, so that the most expensive configuration still fits
    return grid


def model_curves(study: Study, costs: ArrayLike, *, choice: Sharing = "question") -> dict[str, Floats]:
    """Each model's accuracy at each cost, unsmoothed, chosen on what it is scored on (the paper's rule).

    This is what ``paper_frontier`` takes.
    """
    found = _follow(study, check_costs(costs), "paper", choice, splits=1, seed=0, smoothing=1)
    return dict(zip(study.models, found.curves[0], strict=True))


def study_frontier(
    study: Study, costs: ArrayLike, *, choice: Sharing = "question", smoothing: int = SMOOTHING
) -> StudyFrontier:
    """The paper's frontier of a study, with the optimal trials, lengths and KV budgets along it."""
    grid = check_costs(costs)
    found = _follow(study, grid, "paper", choice, splits=1, seed=0, smoothing=smoothing)
    return frontier_of(study, grid, found, "paper")


def held_out_frontier(
    study: Study,
    costs: ArrayLike,
    *,
    choice: Sharing = "question",
    splits: int = 20,
    seed: int = 0,
    smoothing: int = SMOOTHING,
) -> HeldOutFrontier:
    """The frontier whose every choice is made on one half of the data and scored on the other.

    It estimates without bias what a person gets who chooses with half of these samples, so it lies
    slightly below what choosing with all of them would give. Per question the choice goes by the
    expected pass@N of ``shrinkage``: on half of few samples the unbiased estimate ties at 1 for all
    that were lucky once, and no one would choose by it.

    Args:
        study: Q questions, C configurations.
        costs: cost limits per question, rising, [G].
        choice: ``question``: configuration per question, halves of each question's samples; N goes up
            to half of the samples. ``shared``: one configuration for all questions with its mean cost
            within the limit, halves of the questions; for data with one trial per question.
        splits: random splits, each used in both directions.
        seed: of the splits.
        smoothing: as in ``paper_frontier``; here both halves are smoothed.

    Raises:
        InputError: ``question`` with a single sample of some question; ``shared`` with few questions.
    """
    grid = check_costs(costs)
    if choice == "question":
        study = for_halves(study)
    found = _follow(study, grid, "held_out", choice, splits=splits, seed=seed, smoothing=smoothing)
    paper = study_frontier(study, grid, choice=choice, smoothing=smoothing)
    return HeldOutFrontier(**vars(frontier_of(study, grid, found, "held_out")), paper=paper)


def largest_token_demand(study: Study, frontier: Frontier) -> Floats:
    """Tokens N·E[L] of the question that asks for most under the optimal choice, [G].

    This, not the mean, is what the paper's Fig. 7 plots. NaN where nothing fits the cost.

    Raises:
        InputError: a frontier that averages over splits: it has no single choice per question.
    """
    if frontier.flavour != "paper":
        raise InputError(f"the demand is of the paper's flavour of frontier, not {frontier.flavour}")
    demand = np.full(len(frontier.costs), np.nan)
    for m, name in enumerate(study.models):
        index = np.flatnonzero(study.model_index == m)
        near = Choice(study.cost[:, index], study.coverage[:, index], frontier.costs).best(NEAR_BEST)
        tokens_g = take(study.tokens[:, index], near, nothing=-1.0).max(axis=0)
        here = frontier.model == name
        demand[here] = tokens_g[frontier.reached[here]]
    return np.where(demand < 0, np.nan, demand)


def frontier_of(study: Study, costs: Floats, found: Followed, flavour: str) -> StudyFrontier:
    """The frontier that was found for the first of the weightings."""
    share = found.model_share[0]
    return StudyFrontier(
        costs=costs,
        accuracy=found.accuracy[0],
        model=np.array(study.models, dtype=object)[share.argmax(axis=1)],
        reached=found.reached[0],
        curves=dict(zip(study.models, found.curves[0], strict=True)),
        flavour=flavour,
        spent=found.spent[0],
        model_share=share,
        models=study.models,
        optima={name: values[0] for name, values in found.optima.items()},
    )


def _follow(
    study: Study, grid: Floats, flavour: Flavour, choice: Sharing, *, splits: int, seed: int, smoothing: int
) -> Followed:
    even = np.full((1, len(study.questions)), 1.0 / len(study.questions))
    found = choose_and_score(study, grid, even, flavour=flavour, choice=choice, splits=splits, seed=seed)
    return follow_best_model(found, smoothing)


def check_costs(costs: ArrayLike) -> Floats:
    """The grid as an array; an InputError where it is not finite and rising."""
    grid = np.asarray(costs, np.float64)
    if grid.ndim != 1 or grid.size < 1 or not np.isfinite(grid).all() or (np.diff(grid) <= 0).any():
        raise InputError("costs must be finite numbers that rise, one a grid point")
    return grid
