"""Uncertainty from a bootstrap over questions: another set of questions of the same kind.

Samples of a question are not resampled: they were drawn with it, so that questions carry their noise. A
resample is a weighting of the questions, so everything per question is computed once, and everything that
follows from the weights (which model, from where to where, how steep) is found anew for each.
Axes: R resamples · Q questions · G costs · M models.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetics_jax.scaling.frontier.best_configuration import Floats
from kinetics_jax.scaling.frontier.best_model import follow_best_model
from kinetics_jax.scaling.frontier.choose_and_score import Flavour, Sharing, choose_and_score
from kinetics_jax.scaling.frontier.frontiers import SMOOTHING, StudyFrontier, check_costs, frontier_of
from kinetics_jax.scaling.frontier.halves import for_halves
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.statistics.intervals import Interval, interval
from kinetics_jax.scaling.statistics.resampling import bootstrap_weights, extended, pseudo_weight


@dataclasses.dataclass(frozen=True, eq=False)
class FrontierBootstrap:
    """The frontier of every resample; row 0 of each array is the questions as they are."""

    costs: Floats
    models: tuple[str, ...]
    frontier: StudyFrontier
    """From the questions as they are."""
    accuracy: Floats
    """[1+R, G]"""
    model_shares: Floats
    """Share of splits that chose each model (0 or 1 where flavour is paper), [1+R, G, M]."""
    optima: Mapping[str, Floats]
    """``choose_and_score.QUANTITIES``, [1+R, G] each; NaN where nothing fits the cost."""
    curves: Floats
    """Every model's own accuracy, [1+R, M, G]."""
    pseudo: Floats
    """``pseudo_weight`` of the resamples, [R]."""

    questions: int
    """Q."""

    @property
    def model(self) -> NDArray[np.int64]:
        """Index into ``models`` of the model most often chosen, [1+R, G]."""
        return self.model_shares.argmax(axis=2)

    def accuracy_interval(self, level: float = 0.95) -> Interval:
        """Pointwise interval of the accuracy, [G] each end; of some width also where all questions agree.

        Where models tie, chance chooses among them, and what is reached lies below what the best one reaches.
        So the interval reaches up to where the best model's own does.
        """
        low = interval(extended(self.accuracy[1:], self.pseudo, 0.0), level).low
        each = np.concatenate([self.accuracy[:, None], self.curves], axis=1)[1:]
        high = interval(extended(each, self.pseudo, 1.0), level).high.max(axis=0)
        return Interval(low, high, level)

    def model_share(self) -> Floats:
        """Share of resamples in which each model holds the frontier, [G, M]."""
        return self.model_shares[1:].mean(axis=0)


def bootstrap_frontier(
    study: Study,
    costs: ArrayLike,
    *,
    flavour: Flavour = "paper",
    choice: Sharing = "question",
    resamples: int = 1000,
    seed: int = 0,
    splits: int = 10,
    smoothing: int = SMOOTHING,
) -> FrontierBootstrap:
    """The frontier of a study and of ``resamples`` other draws of its questions.

    Args:
        study: Q questions, C configurations.
        costs: cost limits per question, rising, [G].
        flavour: ``paper`` or ``held_out``; see ``frontier``.
        choice: ``question`` or ``shared``; see ``held_out_frontier``.
        resamples: R.
        seed: of the resamples and of the splits.
        splits: random splits of the held-out flavour.
        smoothing: as in ``paper_frontier``.

    Raises:
        InputError: as ``held_out_frontier`` and ``bootstrap_weights``.
    """
    grid = check_costs(costs)
    count = len(study.questions)
    if flavour == "held_out" and choice == "question":
        study = for_halves(study)
    weights = np.concatenate([np.full((1, count), 1.0 / count), bootstrap_weights(count, resamples, seed)])
    scored = choose_and_score(study, grid, weights, flavour=flavour, choice=choice, splits=splits, seed=seed)
    found = follow_best_model(scored, smoothing)
    itself = frontier_of(study, grid, found, flavour)
    return FrontierBootstrap(
        grid,
        study.models,
        itself,
        found.accuracy,
        found.model_share,
        found.optima,
        found.curves,
        pseudo_weight(count, resamples, seed),
        count,
    )
