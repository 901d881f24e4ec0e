"""One pass = every choice made on some data and scored on some data, for all models and costs.

The paper's rule is one pass that chooses and scores on the same data. Held out, each random split is two
passes, one a direction. Questions enter through weights, so that a bootstrap resample is a weighting.
Axes: R weightings (resamples) · Q questions · C configurations · M models · G costs of the grid.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.scaling.choice import Choice, Floats, Ints, pick_model, running_best, smooth, take
from kinetics_jax.scaling.study import Estimates, Study
from kinetics_jax.spec.errors import InputError

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

    return Walk(mean("accuracy"), mean("model_share"), mean("spent"), optima, parts[-1].reached,
                mean("curves"))  # fmt: skip


def _follow(one: Pass, smoothing: int) -> Walk:
    curves = smooth(one.scored_on, smoothing)
    model, reached = running_best(smooth(one.chosen_on, smoothing))
    share = (model[..., None] == np.arange(curves.shape[-2])).astype(np.float64)
    optima = {name: pick_model(values, model, reached) for name, values in one.optima.items()}
    return Walk(pick_model(curves, model, reached), share, pick_model(one.spent, model, reached),
                optima, reached, curves)  # fmt: skip


def _mean_of_known(parts: list[Floats]) -> Floats:
    known = np.sum([~np.isnan(part) for part in parts], axis=0)
    total = np.sum([np.nan_to_num(part) for part in parts], axis=0)
    return np.divide(total, known, out=np.full(total.shape, np.nan), where=known > 0)


def passes(
    study: Study, grid: Floats, weights: Floats, *, flavour: Flavour, choice: Sharing, splits: int,
    seed: int,
) -> Iterator[Pass]:  # fmt: skip
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

    def average(values_qg: Floats) -> Floats:
        return weights @ values_qg

    def columns(table: Floats, index: Ints) -> Floats:
        return table[:, index]

    parts = []
    for index in _columns_by_model(study):
        choice = Choice(columns(chosen_on.cost, index), columns(chosen_on.merit, index), grid)
        best, near = choice.best(), choice.best(NEAR_BEST)
        parts.append((
            average(take(columns(chosen_on.merit, index), best)),
            average(take(columns(scored_on.coverage, index), best)),
            average(take(columns(scored_on.cost, index), best)),
            _optima(study, index, columns(scored_on.tokens, index), near, average),
        ))  # fmt: skip
    return _stack(parts)


def _shared(study: Study, grid: Floats, choose: Floats, score: Floats) -> Pass:
    """One configuration for all questions; its cost is the mean over questions."""
    on = study.estimates
    cost, merit = choose @ on.cost, choose @ on.merit
    coverage, paid, tokens = (score @ table for table in (on.coverage, on.cost, on.tokens))
    parts = []
    for index in _columns_by_model(study):
        choice = Choice(cost[:, index], merit[:, index], grid)
        best, near = choice.best(), choice.best(NEAR_BEST)
        parts.append((
            take(merit[:, index], best), take(coverage[:, index], best), take(paid[:, index], best),
            _optima(study, index, tokens[:, index], near, lambda values: values),
        ))  # fmt: skip
    return _stack(parts)


def _columns_by_model(study: Study) -> list[Ints]:
    return [np.flatnonzero(study.model_index == m) for m in range(len(study.models))]


def _optima(
    study: Study, index: Ints, tokens: Floats, near: Ints, average: Callable[[Floats], Floats]
) -> dict[str, Floats]:
    """Means over the rows that found something; the KV budget's over those that chose a sparse one."""

    def of(values_c: Floats) -> Floats:
        return values_c[np.maximum(near, 0)]

    found = (near >= 0).astype(np.float64)
    budget = of(study.kv_budget[index])
    sparse = found * np.isfinite(budget)
    share, sparse_share = average(found), average(sparse)
    return {
        "tokens": _ratio(average(found * take(tokens, near)), share),
        "trials": _ratio(average(found * of(study.trials[index].astype(np.float64))), share),
        "length": _ratio(average(found * of(study.length[index])), share),
        "kv_budget": _ratio(average(np.where(sparse > 0, budget, 0.0)), sparse_share),
        "dense_share": _ratio(share - sparse_share, share),
    }


def _ratio(total: Floats, share: Floats) -> Floats:
    return np.divide(total, share, out=np.full(total.shape, np.nan), where=share > 1e-9)


def _stack(parts: list[tuple[Floats, Floats, Floats, dict[str, Floats]]]) -> Pass:
    chosen, scored, spent = (np.stack([part[i] for part in parts], axis=1) for i in range(3))  # type: ignore[misc]
    optima = {name: np.stack([part[3][name] for part in parts], axis=1) for name in QUANTITIES}
    return Pass(chosen, scored, spent, optima)
