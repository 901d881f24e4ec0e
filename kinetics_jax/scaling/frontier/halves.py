"""Random halves for held-out choice: of every question's samples, or of the questions.

Axes: Q questions · S samples of a question · R weightings of the questions.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.configurations import Estimates, Floats
from kinetics_jax.scaling.frontier.study import Study

Masks = list[NDArray[np.bool_]]
"""Samples by cell, [Q, S] each."""
FEWEST_FOR_SHARED = 8
"""Fewer questions than this leave halves that say nothing."""


def for_halves(study: Study) -> Study:
    """The configurations whose pass@N half of the samples can estimate.

    Raises:
        InputError: a question has one sample only.
    """
    if study.samples < 2:
        raise InputError(
            "some question has one sample, so there is no second half to score a choice per "
            'question on: use choice="shared", or traces with more trials'
        )
    kept = []
    for cell in study.cells:
        fits = np.array([s.trials <= cell.max_trials // 2 for s in cell.settings])
        kept.append(cell.where(fits))
    return dataclasses.replace(study, cells=tuple(kept))


def split_samples(study: Study, rng: np.random.Generator) -> tuple[Masks, Masks]:
    """One random split of every question's samples: two masks [Q, S] a cell.

    Samples of the same rank go to the same half in every cell, so that copies of one trace (cut
    at several caps) are never on both sides.
    """
    most = max(cell.samples_qs.shape[1] for cell in study.cells)
    key_qs = rng.random((len(study.questions), most))
    first, second = [], []
    for cell in study.cells:
        present = cell.samples_qs
        key = np.where(present, key_qs[:, : present.shape[1]], np.inf)
        rank = np.argsort(np.argsort(key, axis=1), axis=1)
        in_first = rank < (present.sum(axis=1) // 2)[:, None]
        first.append(in_first)
        second.append(present & ~in_first)
    return first, second


def sample_halves(
    study: Study, splits: int, rng: np.random.Generator
) -> Iterator[tuple[Estimates, Estimates]]:
    """What each half of the samples says, the half to choose on first; every split in both directions."""
    for _ in range(splits):
        first, second = (study.estimate(half, shrink=True) for half in split_samples(study, rng))
        yield first, second
        yield second, first


def question_halves(
    study: Study, splits: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """The questions to choose on and those to score on, [Q] each; every split in both directions."""
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


def reweigh(weights: Floats, mask: NDArray[Any]) -> Floats:
    """The weights [R, Q] on some of the questions alone; rows sum to one."""
    masked = weights * mask
    total = masked.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise InputError("a resample has no question in one of its halves: give more questions")
    return masked / total
