"""The frontier itself: at every cost the model that solves most, from the curves of all models.

Axes: R weightings (resamples) · M models · G costs of the grid.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from kinetics_jax.scaling.frontier.best_configuration import Floats, Ints
from kinetics_jax.scaling.frontier.choose_and_score import QUANTITIES, Scored
from kinetics_jax.scaling.statistics.smoothing import smooth

TIE = 1e-12
"""Accuracies nearer than this are equal: sums of thirds differ in the last bit."""


@dataclasses.dataclass(frozen=True)
class Followed:
    """The frontier, averaged over the splits, for each weighting."""

    accuracy: Floats
    """[R, G]"""
    model_share: Floats
    """Share of splits in which each model was chosen, [R, G, M]."""
    spent: Floats
    """[R, G]"""
    optima: dict[str, Floats]
    """[R, G] each; NaN where nothing fits."""
    reached: Ints
    """Grid index from which the last split's point is taken, [R, G]."""
    curves: Floats
    """Each model's own accuracy, [R, M, G]."""


def follow_best_model(parts: Iterable[Scored], smoothing: int) -> Followed:
    """Follow the running maximum over models of every split; average what it scores."""
    every = [_follow(part, smoothing) for part in parts]
    optima = {name: _mean_of_known([part.optima[name] for part in every]) for name in QUANTITIES}

    def mean(name: str) -> Floats:
        return np.mean([getattr(part, name) for part in every], axis=0)

    return Followed(
        mean("accuracy"), mean("model_share"), mean("spent"), optima, every[-1].reached, mean("curves")
    )


def _follow(one: Scored, smoothing: int) -> Followed:
    curves = smooth(one.scored_on, smoothing)
    model, reached = running_best(smooth(one.chosen_on, smoothing))
    share = (model[..., None] == np.arange(curves.shape[-2])).astype(np.float64)
    optima = {name: pick_model(values, model, reached) for name, values in one.optima.items()}
    return Followed(
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


def running_best(curves: Floats) -> tuple[Ints, Ints]:
    """Which model holds the maximum over models and over costs up to each cost.

    Args:
        curves: [..., M, G]; models in the order that settles ties (first wins).

    Returns:
        The model's index and the grid index at which it reached that value, each [..., G].
    """
    best_so_far = np.maximum.accumulate(curves, axis=-1)
    size = curves.shape[-1]
    rises = np.concatenate(
        [np.ones_like(curves[..., :1], bool), curves[..., 1:] > best_so_far[..., :-1]], axis=-1
    )
    reached = np.maximum.accumulate(np.where(rises, np.arange(size), 0), axis=-1)
    top = best_so_far.max(axis=-2, keepdims=True)
    model = np.argmax(best_so_far >= top - TIE, axis=-2)
    return model, np.take_along_axis(reached, model[..., None, :], axis=-2)[..., 0, :]


def pick_model(values: Floats, model: Ints, at: Ints) -> Floats:
    """``values`` [..., M, G] of the given model at the given grid index, [..., G]."""
    by_model = np.take_along_axis(values, model[..., None, :] * 0 + at[..., None, :], axis=-1)
    return np.take_along_axis(by_model, model[..., None, :], axis=-2)[..., 0, :]
