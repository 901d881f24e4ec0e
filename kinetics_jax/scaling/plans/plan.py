"""From contrasts and a budget to what is run: which can be answered, at what price, in which order."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.plans.arms import Arm, Contrast
from kinetics_jax.scaling.plans.power import (
    Design,
    best_design,
    cheapest_design,
    needed_questions,
    smallest_visible,
    uniform_design,
)

GRID_TRIALS = 8
"""Samples of every question by every arm in the grid that a plan is compared with."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked: a difference to detect, a budget, or both."""

    detect: float | None = None
    """Difference of accuracies (0…1)."""
    seconds: float | None = None
    """Chip-seconds to spend."""
    questions: int | None = None
    """Questions that the benchmark has; None: as many as are wanted."""
    power: float = 0.8

    def __post_init__(self) -> None:
        if self.detect is None and self.seconds is None:
            raise InputError("a plan needs a difference to detect, a budget, or both")
        if self.detect is not None and not 0 < self.detect < 1:
            raise InputError(f"detect={self.detect} must lie between 0 and 1 (2 points are 0.02)")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise InputError(f"seconds={self.seconds} must be a number above 0")
        if self.questions is not None and self.questions < 2:
            raise InputError(f"questions={self.questions} must be at least 2")


@dataclasses.dataclass(frozen=True)
class Answer:
    """One contrast: what would answer it, and what is run for it."""

    contrast: Contrast
    cheapest: Design | None
    """Detects the difference; None where these questions cannot, or none is asked for."""
    needed: int | None
    """Questions without which no number of trials detects it."""
    visible: float | None
    """Smallest difference (0…1) that the benchmark's questions detect, however many trials."""
    run: Design | None
    """What the budget pays for: ``cheapest`` where there is enough, else the narrowest interval."""
    new_seconds: float = 0.0
    """Price of ``run`` without the pilot's samples, which are kept."""

    @property
    def grid(self) -> Design | None:
        """A grid of equal samples with the interval of ``run``."""
        return uniform_design(self.contrast, GRID_TRIALS, self.run.half_width) if self.run else None


@dataclasses.dataclass(frozen=True)
class Plan:
    """All contrasts, those to be run first first."""

    question: Question
    answers: tuple[Answer, ...]

    @property
    def seconds(self) -> float:
        """Chip-seconds that it spends, pilot samples not counted."""
        return sum(answer.new_seconds for answer in self.answers)


def make_plan(contrasts: Sequence[Contrast], question: Question) -> Plan:
    """Spend the budget where it answers most per chip-second: what is decided cheapest comes first.

    What the pilot has decided is not run again. Where the budget does not reach for the next contrast, the
    rest buys the narrowest interval of it. Samples of an arm that two contrasts share are counted once for
    each.

    Raises ``InputError`` without contrasts.
    """
    if not contrasts:
        raise InputError("nothing to compare: give two arms or one to measure")
    left = question.seconds
    answers: list[Answer] = []
    for contrast, cheapest in _in_order(contrasts, question):
        run = None
        if not contrast.decided and (left is None or left > 0):
            run = _affordable(contrast, cheapest, left, question)
        new = new_seconds(contrast, run) if run else 0.0
        left = left if left is None else max(left - new, 0.0)
        visible = question.questions and smallest_visible(contrast, question.questions, question.power)
        needed = question.detect and needed_questions(contrast, question.detect, question.power)
        answers.append(Answer(contrast, cheapest, needed or None, visible or None, run, new))
    return Plan(question, tuple(answers))


def new_seconds(contrast: Contrast, design: Design) -> float:
    """Chip-seconds of a design, less those of the pilot's samples that it can use."""
    seconds = 0.0
    for arm, trials in zip(contrast.arms, design.trials, strict=True):
        had = 0 if arm.cell is None else int(np.minimum(arm.cell.samples, trials)[: design.questions].sum())
        seconds += (design.questions * trials - had) * arm.seconds
    return seconds


def more_trials(arm: Arm, design: Design, trials: int) -> dict[str, int]:
    """Samples that each question of the pilot still gets from an arm, up to ``trials``.

    Alike for all: more where the outcome is open would gain little and bias the mean (docs/planning.md).
    """
    if arm.cell is None:
        return {}
    missing = np.maximum(trials - arm.cell.samples, 0)[: design.questions]
    named = zip(arm.cell.questions, missing.tolist(), strict=False)  # a design may leave questions out
    return {question: count for question, count in named if count}


def _in_order(contrasts: Sequence[Contrast], question: Question) -> list[tuple[Contrast, Design | None]]:
    """Contrasts with the cheapest design of each: cheapest first, those that cannot be decided after, decided
    last.
    """
    found = []
    for contrast in contrasts:
        design = None
        if question.detect is not None:
            most = question.questions
            design = cheapest_design(contrast, question.detect, most_questions=most, power=question.power)
        found.append((contrast, design))

    def order(pair: tuple[Contrast, Design | None]) -> tuple[bool, bool, float]:
        contrast, design = pair
        price = design.seconds if design else contrast.between * sum(arm.seconds for arm in contrast.arms)
        return contrast.decided, design is None, price

    return sorted(found, key=order)


def _affordable(
    contrast: Contrast, cheapest: Design | None, seconds: float | None, question: Question
) -> Design | None:
    """The cheapest design where it can be paid for, else the best of what is left."""
    if cheapest is not None and (seconds is None or new_seconds(contrast, cheapest) <= seconds):
        return cheapest
    if seconds is None:
        return None
    pilot = sum(float(arm.cell.samples.sum()) * arm.seconds for arm in contrast.arms if arm.cell is not None)
    best = best_design(contrast, seconds, most_questions=question.questions, power=question.power)
    if best is None or not pilot:
        return best
    # With the pilot's samples the same money buys a little more; only what it can use is counted.
    more = best_design(contrast, seconds + pilot, most_questions=question.questions, power=question.power)
    return more if more is not None and new_seconds(contrast, more) <= seconds else best
