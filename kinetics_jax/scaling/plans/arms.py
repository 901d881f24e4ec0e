"""What may be run (arms), what is asked of two of them (contrasts), and what pilot samples say of both.

An arm's accuracy on a question is p(q). A contrast is the difference of two arms' mean p over questions like
these, on the same questions; its estimate from Q questions with S samples of each arm has the variance

    (σ_b² + σ_1²/S_1 + σ_2²/S_2) / Q      σ_b² = Var_q[p_1 − p_2],  σ_i² = E_q[p_i (1 − p_i)]

Axes: Q questions · S samples of a question.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from kinetics_jax.costs import Chip, price
from kinetics_jax.errors import InputError
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.independent_trials import Cell

CONFIDENCE = 0.95
"""Of every interval of a plan."""
LEAST_BETWEEN = 0.5
"""σ_b² is taken to be at least so many standard errors of its estimate, which can be 0 in a small pilot."""
ASSUMED_WITHIN = 0.5
"""Share of a sample's variance p(1 − p) that is luck and not the question, where one sample of each question
cannot say. Runs of eight samples that others published have .16 to .60 (docs/planning.md)."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """A model under a policy, with a cap on its answers."""

    label: str
    model: str
    policy: str
    cap: int | None
    """Tokens after which an answer is cut; None: not known."""
    accuracy: float
    within: float
    """σ_i², of one sample of a question."""
    seconds: float
    """Mean chip-seconds of a sample."""
    cell: Cell | None = None
    """Its pilot samples."""


@dataclasses.dataclass(frozen=True)
class Contrast:
    """Two arms on the same questions (or one arm alone), and how uncertain their difference is."""

    arms: tuple[Arm, ...]
    """One or two."""
    between: float
    """σ_b²."""
    difference: float | None = None
    """Of the first arm to the second, as the pilot has it; None without one."""
    half_width: float | None = None
    """Of its 95 % interval over questions."""
    questions: int = 0
    """Questions of the pilot."""
    assumed: tuple[str, ...] = ()
    """What the pilot cannot say and was assumed."""

    @property
    def label(self) -> str:
        """The arms by name."""
        return " against ".join(arm.label for arm in self.arms)

    @property
    def decided(self) -> bool:
        """Whether the pilot's own interval leaves out zero: which of two arms is better is known."""
        if len(self.arms) < 2 or self.half_width is None or self.difference is None:
            return False
        return abs(self.difference) > self.half_width


def pilot_arms(family: Family, chip: Chip, *, cap: int | None = None) -> tuple[list[Arm], list[str]]:
    """The family's cells as arms, and why any was left out (it does not fit the chip).

    Args:
      family: comparable pilot samples, prompt lengths filled in.
      chip: priced on this, mode exact.
      cap: cut every answer here: cheaper, and wrong if it was longer.
    """
    arms, left_out = [], []
    for cell in family.cells:
        try:
            arms.append(_arm(cut(cell, cap), chip))
        except InputError as error:
            left_out.append(f"{cell.label}: {error}")
    return arms, left_out


def cut(cell: Cell, cap: int | None) -> Cell:
    """A cell whose answers end at ``cap`` tokens; those that were longer are wrong."""
    if cap is None or (cell.max_tokens is not None and cell.max_tokens <= cap):
        return cell
    short = cell.generated_tokens <= cap
    tokens = np.minimum(cell.generated_tokens, cap)
    return dataclasses.replace(cell, generated_tokens=tokens, correct=cell.correct & short, max_tokens=cap)


def shortest_cap(cells: Sequence[Cell], loss: float, lengths: Sequence[int]) -> int | None:
    """The shortest of ``lengths`` that costs no cell more than ``loss`` of its accuracy; None: none is."""
    for cap in sorted(lengths):
        if all(cell.accuracy - cut(cell, cap).accuracy <= loss for cell in cells):
            return cap
    return None


def _arm(cell: Cell, chip: Chip) -> Arm:
    if cell.shape is None:
        raise InputError("no shape is known for it, so it has no price")
    tokens = np.rint(cell.generated_tokens).astype(np.int64)
    prompts = np.broadcast_to(cell.prompt_tokens[:, None], tokens.shape)
    cost = price(cell.shape, cell.policy, prompts[cell.present], tokens[cell.present], chip=chip)
    parts = (cell.model, cell.policy.label, cell.variant, f"cap {cell.max_tokens}" if cell.max_tokens else "")
    return Arm(
        label=" ".join(part for part in parts if part),
        model=cell.model,
        policy=cell.policy.label,
        cap=cell.max_tokens,
        accuracy=cell.accuracy,
        within=_within(cell),
        seconds=float(np.mean(cost.seconds)),
        cell=cell,
    )


def _within(cell: Cell) -> float:
    """Unbiased E_q[p(1 − p)] from the questions with two samples or more; assumed where there are too few.

    Greedy samples are copies of one another: no luck, and a second one buys nothing.
    """
    samples = cell.samples
    if cell.temperature == 0:
        return 0.0
    if _luck_is_assumed(cell):
        return ASSUMED_WITHIN * cell.accuracy * (1 - cell.accuracy)
    many = samples >= 2
    p, n = cell.correct.sum(1)[many] / samples[many], samples[many]
    return float(np.mean(p * (1 - p) * n / (n - 1)))


def _luck_is_assumed(cell: Cell) -> bool:
    """Whether fewer than ten questions have the two samples that show luck."""
    return cell.temperature != 0 and int((cell.samples >= 2).sum()) < 10


def pilot_contrasts(arms: Sequence[Arm]) -> list[Contrast]:
    """Every pair of arms with pilot samples on the same questions; of a single arm, the arm alone."""
    if len(arms) == 1:
        return [_contrast((arms[0],))]
    return [_contrast(pair) for pair in itertools.combinations(arms, 2)]


def _contrast(arms: tuple[Arm, ...]) -> Contrast:
    cells = [arm.cell for arm in arms if arm.cell is not None]
    if len(cells) != len(arms) or len({cell.questions for cell in cells}) != 1:
        raise InputError("a contrast needs pilot samples of each arm on the same questions")
    means = [cell.correct.sum(1) / cell.samples for cell in cells]
    observed = means[0] - (means[1] if len(means) > 1 else 0.0)
    total = float(np.var(observed, ddof=1))
    luck = sum(arm.within * float(np.mean(1 / cell.samples)) for arm, cell in zip(arms, cells, strict=True))
    count = len(observed)
    least = LEAST_BETWEEN * total * math.sqrt(2 / (count - 1))
    notes = [
        f"{arm.label}: one sample of a question cannot tell luck from difficulty, {ASSUMED_WITHIN:.0%} of "
        "p(1 − p) is taken to be luck"
        for arm, cell in zip(arms, cells, strict=True)
        if _luck_is_assumed(cell)
    ]
    return Contrast(
        arms,
        between=max(total - luck, least, 1e-6),
        difference=float(observed.mean()),
        half_width=float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * math.sqrt(total / count),
        questions=count,
        assumed=tuple(notes),
    )
