"""Power of a paired comparison: how many questions and samples, at what price.

The variance is that of ``arms``. Samples of dear arms are saved first: at the optimum S_i ∝ σ_i/√price_i,
which is what the search over whole numbers finds, with at least one sample each.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from kinetics_jax.checks import check_number
from kinetics_jax.errors import InputError
from kinetics_jax.scaling.plans.arms import CONFIDENCE, Contrast

MOST_TRIALS = 64
"""Samples of a question by one arm that are considered."""
NEARLY = 1.05
"""An interval so many times the narrowest is as good, where it is cheaper."""
LEAST_QUESTIONS = 10
"""A design has at least so many: fewer have no interval to speak of."""


@dataclasses.dataclass(frozen=True)
class Design:
    """Questions, samples of each question by each arm, and what they buy."""

    questions: int
    trials: tuple[int, ...]
    """One an arm."""
    seconds: float
    """Chip-seconds of all samples."""
    half_width: float
    """Expected, of the 95 % interval of the difference (0…1)."""
    detects: float
    """Smallest difference (0…1) that it detects with the wanted power."""

    @property
    def samples(self) -> int:
        """Samples of all arms."""
        return self.questions * sum(self.trials)


def quantiles(power: float) -> tuple[float, float]:
    """Standard errors of a 95 % interval's half width, and of the smallest difference seen with ``power``.

    Raises ``InputError`` for a power outside (0.5, 1).
    """
    power = check_number("power", power)
    if not 0.5 < power < 1:
        raise InputError(f"power={power} must lie between 0.5 and 1, as 0.8 does")
    half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    return half, half + float(stats.norm.ppf(power))


def needed_questions(contrast: Contrast, detect: float, power: float = 0.8) -> int:
    """Questions below which no number of trials detects the difference: σ_b²·(z/detect)²."""
    return math.ceil(contrast.between * (quantiles(power)[1] / detect) ** 2)


def smallest_visible(contrast: Contrast, questions: int, power: float = 0.8) -> float:
    """Difference (0…1) that ``questions`` detect with unlimited trials."""
    return quantiles(power)[1] * math.sqrt(contrast.between / questions)


def cheapest_design(
    contrast: Contrast, detect: float, *, most_questions: int | None = None, power: float = 0.8
) -> Design | None:
    """The cheapest design that detects a difference (0…1); None where these questions cannot do it."""
    trials, per_question, each = _grid(contrast)
    questions = np.maximum(np.ceil(each * (quantiles(power)[1] / detect) ** 2), LEAST_QUESTIONS)
    cost = np.where(questions <= (most_questions or np.inf), questions * per_question, np.inf)
    best = int(np.argmin(cost))
    if not np.isfinite(cost[best]):
        return None
    return _design(contrast, int(questions[best]), trials[best], power)


def best_design(
    contrast: Contrast, seconds: float, *, most_questions: int | None = None, power: float = 0.8
) -> Design | None:
    """The narrowest interval that chip-seconds buy; None where they buy fewer than ten questions.

    Where questions run out, more trials soon buy nothing: the cheapest that is within 5 % of it is taken.
    """
    trials, per_question, each = _grid(contrast)
    questions = np.minimum(np.floor(seconds / per_question), most_questions or np.inf)
    enough = questions >= LEAST_QUESTIONS
    if not enough.any():
        return None
    variance = np.where(enough, each / np.maximum(questions, 1), np.inf)
    near = np.flatnonzero(variance <= variance.min() * NEARLY**2)
    best = int(near[np.argmin((questions * per_question)[near])])
    return _design(contrast, int(questions[best]), trials[best], power)


def uniform_design(contrast: Contrast, trials: int, half_width: float, power: float = 0.8) -> Design:
    """A grid of as many samples everywhere with the same interval: what a design is compared with."""
    variance = contrast.between + sum(arm.within for arm in contrast.arms) / trials
    questions = math.ceil(variance * (quantiles(power)[0] / half_width) ** 2 - 1e-9)
    return _design(contrast, questions, np.full(len(contrast.arms), trials), power)


def _grid(contrast: Contrast) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """All trials considered [C, arms], chip-seconds a question [C], and the variance of one question [C]."""
    counts = np.arange(1, MOST_TRIALS + 1)
    trials = np.stack(np.meshgrid(*[counts] * len(contrast.arms), indexing="ij"), -1)
    trials = trials.reshape(-1, len(contrast.arms))
    seconds = np.array([arm.seconds for arm in contrast.arms])
    within = np.array([arm.within for arm in contrast.arms])
    return trials, trials @ seconds, contrast.between + (within / trials).sum(-1)


def _design(contrast: Contrast, questions: int, trials: NDArray[np.int64], power: float) -> Design:
    within = np.array([arm.within for arm in contrast.arms])
    error = math.sqrt((contrast.between + float((within / trials).sum())) / questions)
    half, seen = quantiles(power)
    seconds = questions * float(trials @ np.array([arm.seconds for arm in contrast.arms]))
    return Design(questions, tuple(trials.tolist()), seconds, half * error, seen * error)
