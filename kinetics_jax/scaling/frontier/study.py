"""A study: every configuration (model, policy, trials N, length n) of cells that may be compared.

Axes: Q questions · C configurations · S samples of a question.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.configurations import (
    Estimates,
    Floats,
    Price,
    PricedCell,
    Search,
    Setting,
    price_cell,
)
from kinetics_jax.scaling.traces.independent_trials import Cell

TRIALS = (1, 2, 4, 8, 16, 32)
"""The paper's numbers of trials (App. D.2)."""
LENGTHS = tuple(2048 * i for i in range(1, 17))
"""The paper's generation lengths (App. D.2)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """All configurations of some cells on the questions they share."""

    questions: tuple[str, ...]
    cells: tuple[PricedCell, ...]
    dropped_questions: int
    """Questions that some cell has and another lacks; they take no part."""

    @functools.cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The configurations, [C]."""
        return tuple(setting for cell in self.cells for setting in cell.settings)

    @functools.cached_property
    def models(self) -> tuple[str, ...]:
        """The models, sorted by name as text: the order that settles ties."""
        return tuple(sorted({setting.model for setting in self.settings}))

    @functools.cached_property
    def model_index(self) -> NDArray[np.int64]:
        """Each configuration's model as an index into ``models``, [C]."""
        return np.array([self.models.index(s.model) for s in self.settings], dtype=np.int64)

    @functools.cached_property
    def trials(self) -> NDArray[np.int64]:
        """N of each configuration, [C]."""
        return np.array([setting.trials for setting in self.settings], dtype=np.int64)

    @functools.cached_property
    def length(self) -> Floats:
        """Length n of each configuration in tokens, [C]; of uncut traces their cap or longest."""
        return np.array([float(s.length or cell.longest) for cell in self.cells for s in cell.settings])

    @functools.cached_property
    def kv_budget(self) -> Floats:
        """KV tokens read per head and step, [C]; inf where attention is dense."""
        budgets = [setting.policy.kv_budget for setting in self.settings]
        return np.array([np.inf if budget is None else float(budget) for budget in budgets])

    @property
    def samples(self) -> int:
        """Independent samples of the question that has the fewest, over all cells (1 if greedy)."""
        return min(cell.max_trials for cell in self.cells)

    @functools.cached_property
    def estimates(self) -> Estimates:
        """What all samples together say."""
        return self.estimate([cell.samples_qs for cell in self.cells], shrink=False)

    @property
    def cost(self) -> Floats:
        """Expected cost of each configuration on each question, [Q, C]."""
        return self.estimates.cost

    @property
    def coverage(self) -> Floats:
        """pass@N of each configuration on each question, [Q, C]."""
        return self.estimates.coverage

    @property
    def tokens(self) -> Floats:
        """Expected tokens generated, all N trials together, [Q, C]."""
        return self.estimates.tokens

    def estimate(self, chosen: Sequence[NDArray[np.bool_]], *, shrink: bool) -> Estimates:
        """What some samples say: one mask [Q, S] a cell.

        Args:
            chosen: the samples.
            shrink: whether ``merit`` is the steadier guess rather than the unbiased coverage.
        """
        pairs = zip(self.cells, chosen, strict=True)
        parts = [cell.estimate(mask, shrink=shrink) for cell, mask in pairs]
        return Estimates(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))

    def where(self, predicate: Callable[[Setting], bool]) -> "Study":
        """The study with the configurations that the predicate holds for.

        Raises:
            InputError: it holds for none.
        """
        kept = []
        for cell in self.cells:
            keep = np.array([predicate(setting) for setting in cell.settings])
            if keep.any():
                kept.append(cell.where(keep))
        if not kept:
            raise InputError("no configuration is left: the predicate holds for none of them")
        return dataclasses.replace(self, cells=tuple(kept))


def build_study(
    cells: Sequence[Cell],
    price: Price,
    *,
    trials: Sequence[int] = TRIALS,
    lengths: Sequence[int] = LENGTHS,
    search: Search = "both",
) -> Study:
    """Price and score every configuration of the cells on the questions they all have.

    Args:
        cells: of one dataset; which cells may stand together is for the caller to know.
        price: cost, in one unit, of a request with N trials that are all of this length, such as
            ``lambda *request: costs.price(*request, chip="b200").eflops``.
        trials: numbers of trials N; a cell uses those that it has the samples for.
        lengths: caps n in tokens; a longer trace is cut there, paid for up to there, and wrong. A
            cell uses those below its own cap. The uncut traces are always there.
        search: ``best_of_n`` (every N, uncut), ``long_cot`` (N = 1, every n), ``both`` of them (the
            paper's two searches), or the whole ``grid`` of N and n.

    Raises:
        InputError: no cells, no common question, no N ≥ 1, unknown prompt lengths, prices that are
            not finite.
    """
    if not cells:
        raise InputError("a study needs at least one cell: are there trials of this dataset?")
    for name, values in (("trials", trials), ("lengths", lengths)):
        if any(value < 1 for value in values):
            raise InputError(f"{name}={tuple(values)} must all be at least 1")
    if 1 not in trials:
        raise InputError(f"trials={tuple(trials)} must hold 1, which every cell can give")
    common = set(cells[0].questions).intersection(*(cell.questions for cell in cells))
    if not common:
        raise InputError(
            f"{cells[0].label} and the other {len(cells) - 1} cells share no question: they cannot "
            "stand on one frontier"
        )
    questions = tuple(question for question in cells[0].questions if question in common)
    priced = tuple(price_cell(cell.restrict(questions), price, trials, lengths, search) for cell in cells)
    everything = set().union(*(cell.questions for cell in cells))
    return Study(questions, priced, len(everything) - len(questions))
