"""Every choice made on some data and scored on some data, for all models and costs at once.

The paper's rule chooses and scores on the same data. Held out, each random half chooses for the other.
Questions enter through weights, so that a bootstrap resample is a weighting.
Axes: R weightings (resamples) · Q questions · C configurations · M models · G costs of the grid.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.best_configuration import Choice, Floats, take
from kinetics_jax.scaling.frontier.halves import question_halves, reweigh, sample_halves
from kinetics_jax.scaling.frontier.study import Estimates, Study

Flavour = Literal["paper", "held_out"]
Sharing = Literal["question", "shared"]
QUANTITIES = ("tokens", "trials", "length", "kv_budget", "dense_share")
NEAR_BEST = 1e-3
"""What is optimal is the cheapest configuration within this share of the best (the paper's rule)."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """Mean over questions, for each weighting, model and cost: all arrays [R, M, G]."""

    chosen_on: Floats
    """Merit (``Estimates.merit``) on the data the configurations were chosen on."""
    scored_on: Floats
    """Accuracy of the same configurations on the data they are scored on."""
    spent: Floats
    """Their expected cost on the data they are scored on."""
    optima: dict[str, Floats]
    """``QUANTITIES`` of the optimal configurations; NaN where none has the quantity."""


def choose_and_score(
    study: Study, grid: Floats, weights: Floats, *, flavour: Flavour, choice: Sharing, splits: int, seed: int
) -> Iterator[Scored]:
    """What a rule of choosing gets: once under the paper's rule, twice a random split held out.

    Args:
        study: Q questions, C configurations.
        grid: costs, [G], rising.
        weights: of the questions, [R, Q]; rows sum to one.
        flavour: ``paper`` chooses and scores on everything; ``held_out`` on different halves.
        choice: ``question`` chooses a configuration per question (halves are halves of each question's
            samples); ``shared`` one for all questions (halves are halves of the questions).
        splits: random splits, each used in both directions.
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
        pairs = sample_halves(study, splits, rng) if flavour == "held_out" else None
        for chosen_on, scored_on in pairs or [(study.estimates, study.estimates)]:
            yield _per_question(study, grid, weights, chosen_on, scored_on)
        return
    masks = question_halves(study, splits, rng) if flavour == "held_out" else None
    for first, second in masks or [(np.ones(len(study.questions)),) * 2]:
        yield _shared(study, grid, reweigh(weights, first), reweigh(weights, second))


def _per_question(
    study: Study, grid: Floats, weights: Floats, chosen_on: Estimates, scored_on: Estimates
) -> Scored:
    """Every question chooses for itself; the weights then average over questions."""
    values_qkmg = _choose(
        study, grid, chosen_on.cost, chosen_on.merit, scored_on.coverage, scored_on.cost, scored_on.tokens
    )
    shape = values_qkmg.shape
    # One product for everything: many small ones would spend their time on handing out threads.
    averages = weights @ values_qkmg.reshape(shape[0], -1)
    return _scored(averages.reshape(len(weights), *shape[1:]))


def _shared(study: Study, grid: Floats, choose: Floats, score: Floats) -> Scored:
    """One configuration for all questions; its cost is the mean over questions."""
    on = study.estimates
    cost, merit = choose @ on.cost, choose @ on.merit
    coverage, paid, tokens = (score @ table for table in (on.coverage, on.cost, on.tokens))
    return _scored(_choose(study, grid, cost, merit, coverage, paid, tokens))


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


def _scored(mean_rkmg: Floats) -> Scored:
    """Means over all rows into means over the rows that found something (of the KV budget, sparse)."""
    mean = dict(zip(_CHOSEN, mean_rkmg.swapaxes(0, 1), strict=True))
    found, sparse = mean["found"], mean["sparse"]
    optima = {name: _ratio(mean[name], found) for name in ("tokens", "trials", "length")}
    optima["kv_budget"] = _ratio(mean["budget"], sparse)
    optima["dense_share"] = _ratio(found - sparse, found)
    return Scored(mean["merit"], mean["coverage"], mean["paid"], optima)


def _ratio(total: Floats, share: Floats) -> Floats:
    return np.divide(total, share, out=np.full(total.shape, np.nan), where=share > 1e-9)
