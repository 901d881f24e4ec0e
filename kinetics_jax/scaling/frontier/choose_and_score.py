"""One pass = every choice made on some data and scored on some data, for all models and costs.

The paper's rule is one pass that chooses and scores on the same data. Held out, each random split is two
passes, one a direction. Questions enter through weights, so that a bootstrap resample is a weighting.
Axes: R weightings (resamples) · Q questions · C configurations · M models · G costs of the grid.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_under_limit import (
    Choice,
    Floats,
    Ints,
    pick_model,
    running_best,
    smooth,
    take,
)
from kinetics_jax.scaling.frontier.study import Estimates, Study

Flavour = Literal["paper", "held_out"]
Sharing = Literal["question", "shared"]
QUANTITIES = ("tokens", "trials", "length", "kv_budget", "dense_share")
NEAR_BEST = 1e-3
"""What is optimal is the cheapest configuration within this share of the best (the paper's rule)."""
FEWEST_FOR_SHARED = 8
"""Fewer questions than this leave halves that say nothing."""


@dataclasses.dataclass(frozen=True)
class Pass:
    """Mean over questions, for each weighting, model and cost: all arrays [R, M, G]."""

    chosen_on: Floats
    """Merit (``Estimates.merit``) on the data the configurations were chosen on."""
    scored_on: Floats
    """Accuracy of the same configurations on the data they are scored on."""
    spent: Floats
    """Their expected cost on the data they are scored on."""
    optima: dict[str, Floats]
    """``QUANTITIES`` of the optimal configurations; NaN where none has the quantity."""


@dataclasses.dataclass(frozen=True)
class Walk:
    """The frontier that the passes agree on, for each weighting."""

    accuracy: Floats
    """[R, G]"""
    model_share: Floats
    """Share of passes in which each model was chosen, [R, G, M]."""
    spent: Floats
    """[R, G]"""
    optima: dict[str, Floats]
    """[R, G] each; NaN where nothing fits."""
    reached: Ints
    """Grid index from which the last pass's point is taken, [R, G]."""
    curves: Floats
    """Each model's own accuracy, [R, M, G]."""


def walk(passes: Iterator[Pass], smoothing: int) -> Walk:
    """Follow the running maximum over models of every pass; average what it scores."""
    parts = [_follow(one, smoothing) for one in passes]
    optima = {name: _mean_of_known([part.optima[name] for part in parts]) for name in QUANTITIES}

    def mean(name: str) -> Floats:
        return np.mean([getattr(part, name) for part in parts], axis=0)

    return Walk(
        mean("accuracy"), mean("model_share"), mean("spent"), optima, parts[-1].reached, mean("curves")
    )


def _follow(one: Pass, smoothing: int) -> Walk:
    curves = smooth(one.scored_on, smoothing)
    model, reached = running_best(smooth(one.chosen_on, smoothing))
    share = (model[..., None] == np.arange(curves.shape[-2])).astype(np.float64)
    optima = {name: pick_model(values, model, reached) for name, values in one.optima.items()}
    return Walk(
        pick_model(curves, model, reached),
        share,
        pick_model(one.spent, model, reached),
        optima,
        reached,
        curves,
    )


def _mean_of_known(parts: list[Floats]) -> Floats:
    known = np.sum([~np.isnan(part) for part in parts], axis=0)
    total = np.sum([np.nan_to_num(part) for part in parts], axis=0)
    return np.divide(total, known, out=np.full(total.shape, np.nan), where=known > 0)


def passes(
    study: Study, grid: Floats, weights: Floats, *, flavour: Flavour, choice: Sharing, splits: int, seed: int
) -> Iterator[Pass]:
    """The passes of a flavour.

    Args:
        study: Q questions, C configurations.
        grid: costs, [G], rising.
        weights: of the questions, [R, Q]; rows sum to one.
        flavour: ``paper`` chooses and scores on everything; ``held_out`` on different halves.
        choice: ``question`` chooses a configuration per question (halves are halves of each question's
            samples); ``shared`` one for all questions (halves are halves of the questions).
        splits: random splits, of two passes each.
        seed: of the splits.

    Raises:
        InputError: halves that the data do not have, or an unknown flavour or choice.
    """
    if flavour not in ("paper", "held_out") or choice not in ("question", "shared"):
        raise InputError(
            f"flavour={flavour!r} must be paper or held_out, choice={choice!r} question or shared"
        )
    if splits < 1:
        raise InputError(f"splits={splits} must be at least 1")
    rng = np.random.default_rng(seed)
    if choice == "question":
        pairs = _sample_halves(study, splits, rng) if flavour == "held_out" else None
        for chosen_on, scored_on in pairs or [(study.estimates, study.estimates)]:
            yield _per_question(study, grid, weights, chosen_on, scored_on)
        return
    masks = _question_halves(study, splits, rng) if flavour == "held_out" else None
    for first, second in masks or [(np.ones(len(study.questions)),) * 2]:
        yield _shared(study, grid, _reweigh(weights, first), _reweigh(weights, second))


def _sample_halves(
    study: Study, splits: int, rng: np.random.Generator
) -> Iterator[tuple[Estimates, Estimates]]:
    for _ in range(splits):
        first, second = (study.estimate(half, shrink=True) for half in study.halves(rng))
        yield first, second
        yield second, first


def _question_halves(
    study: Study, splits: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    count = len(study.questions)
    if count < FEWEST_FOR_SHARED:
        raise InputError(
            f"{count} questions are too few to choose on one half and score on the other: give at "
            f"least {FEWEST_FOR_SHARED}"
        )
    for _ in range(splits):
        first = rng.permutation(count) < count // 2
        yield first, ~first
        yield ~first, first


def _reweigh(weights: Floats, mask: NDArray[Any]) -> Floats:
    masked = weights * mask
    total = masked.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise InputError("a resample has no question in one of its halves: give more questions")
    return masked / total


def _per_question(
    study: Study, grid: Floats, weights: Floats, chosen_on: Estimates, scored_on: Estimates
) -> Pass:
    """Every question chooses for itself; the weights then average over questions."""
    values_qkmg = _choose(
        study, grid, chosen_on.cost, chosen_on.merit, scored_on.coverage, scored_on.cost, scored_on.tokens
    )
    shape = values_qkmg.shape
    # One product for everything: many small ones would spend their time on handing out threads.
    averages = weights @ values_qkmg.reshape(shape[0], -1)
    return _to_pass(averages.reshape(len(weights), *shape[1:]))


def _shared(study: Study, grid: Floats, choose: Floats, score: Floats) -> Pass:
    """One configuration for all questions; its cost is the mean over questions."""
    on = study.estimates
    cost, merit = choose @ on.cost, choose @ on.merit
    coverage, paid, tokens = (score @ table for table in (on.coverage, on.cost, on.tokens))
    return _to_pass(_choose(study, grid, cost, merit, coverage, paid, tokens))


_CHOSEN = ("merit", "coverage", "paid", "found", "tokens", "trials", "length", "sparse", "budget")
"""What ``_choose`` says of a choice, in this order; 0 where there was none."""


def _choose(
    study: Study, grid: Floats, cost: Floats, merit: Floats, coverage: Floats, paid: Floats, tokens: Floats
) -> Floats:
    """What each row gets from each model within each cost limit: [B, len(_CHOSEN), M, G].

    The first three are of the best choice, the others of the cheapest near it. Tables are [B, C].
    """
    chosen = np.empty((len(cost), len(_CHOSEN), len(study.models), len(grid)))
    for m in range(len(study.models)):
        index = np.flatnonzero(study.model_index == m)
        choice = Choice(cost[:, index], merit[:, index], grid)
        best, near = choice.best(), choice.best(NEAR_BEST)
        for k, table in enumerate((merit, coverage, paid)):
            chosen[:, k, m] = take(table[:, index], best)
        found, at = near >= 0, np.maximum(near, 0)
        budget = study.kv_budget[index][at]
        sparse = found & np.isfinite(budget)
        chosen[:, 3, m] = found
        chosen[:, 4, m] = take(tokens[:, index], near)
        chosen[:, 5, m] = found * study.trials[index][at]
        chosen[:, 6, m] = found * study.length[index][at]
        chosen[:, 7, m] = sparse
        chosen[:, 8, m] = np.where(sparse, budget, 0.0)
    return chosen


def _to_pass(mean_rkmg: Floats) -> Pass:
    """Means over all rows into means over the rows that found something (of the KV budget, sparse)."""
    mean = dict(zip(_CHOSEN, mean_rkmg.swapaxes(0, 1), strict=True))
    found, sparse = mean["found"], mean["sparse"]
    optima = {name: _ratio(mean[name], found) for name in ("tokens", "trials", "length")}
    optima["kv_budget"] = _ratio(mean["budget"], sparse)
    optima["dense_share"] = _ratio(found - sparse, found)
    return Pass(mean["merit"], mean["coverage"], mean["paid"], optima)


def _ratio(total: Floats, share: Floats) -> Floats:
    return np.divide(total, share, out=np.full(total.shape, np.nan), where=share > 1e-9)
