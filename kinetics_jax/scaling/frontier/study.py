"""A study: every configuration (model, policy, trials N, length n) priced and scored per question.

Costs are averages of the price over traces, never the price of the average trace (eq. 10 of the
paper). Axes: Q questions · C configurations · S samples of a question.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.statistics.pass_at_k import pass_at_k
from kinetics_jax.scaling.statistics.shrinkage import expected_pass_at_k
from kinetics_jax.scaling.traces.independent_trials import Cell
from kinetics_jax.shapes import presets

Floats = NDArray[np.float64]
Search = Literal["best_of_n", "long_cot", "both", "grid"]
TRIALS = (1, 2, 4, 8, 16, 32)
"""The paper's numbers of trials (App. D.2)."""
LENGTHS = tuple(2048 * i for i in range(1, 17))
"""The paper's generation lengths (App. D.2)."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One configuration: what a person would run."""

    source: str
    model: str
    policy: Policy
    variant: str
    max_tokens: int | None
    """Cap of the run that the traces are from."""
    trials: int
    """N."""
    length: int | None
    """n, at which traces are cut; None: not cut."""

    @property
    def label(self) -> str:
        """A short text for tables."""
        cut = f"n={self.length}" if self.length else f"cap {self.max_tokens}" * bool(self.max_tokens)
        parts = (self.model, self.policy.label, self.variant, f"N={self.trials}", cut)
        return ", ".join(part for part in parts if part)


class Estimates(NamedTuple):
    """What a set of samples says about every configuration; arrays [Q, C]."""

    cost: Floats
    coverage: Floats
    """pass@N of the traces cut at n."""
    tokens: Floats
    """N times the mean length."""
    merit: Floats
    """What a choice maximises: the coverage itself, or a steadier guess at it (``shrinkage``)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """The configurations of one cell, sample by sample."""

    settings: tuple[Setting, ...]
    samples_qs: NDArray[np.bool_]
    """Which entries are samples and not padding, [Q, S]."""
    max_trials: int
    """Independent samples of the question that has the fewest."""
    cost_qcs: Floats
    """Price of the configuration if all N trials were like this sample, [Q, C, S]."""
    solved_qcs: Floats
    """1 where the cut trace is right, [Q, C, S]."""
    tokens_qcs: Floats
    longest: float
    """Tokens that an uncut trace may have: the cap, or the longest trace where it is not known."""

    def estimate(self, chosen_qs: NDArray[np.bool_], *, shrink: bool) -> Estimates:
        """Means over the chosen samples; every question needs at least the largest N of them."""
        count_q = chosen_qs.sum(axis=1)
        weights_qs1 = (chosen_qs / count_q[:, None])[:, :, None]
        trials_c = np.array([setting.trials for setting in self.settings])
        solved_qc = (self.solved_qcs @ chosen_qs[:, :, None].astype(np.float64))[..., 0]
        coverage = _coverage(count_q, np.rint(solved_qc).astype(np.int64), trials_c)
        return Estimates(
            cost=(self.cost_qcs @ weights_qs1)[..., 0],
            coverage=coverage,
            tokens=(self.tokens_qcs @ weights_qs1)[..., 0] * trials_c,
            merit=expected_pass_at_k(count_q, solved_qc, trials_c) if shrink else coverage,
        )

    def where(self, keep: NDArray[np.bool_]) -> "Block":
        """The block with some of its configurations only."""
        settings = tuple(s for s, kept in zip(self.settings, keep, strict=True) if kept)
        arrays = ("cost_qcs", "solved_qcs", "tokens_qcs")
        picked = {name: getattr(self, name)[:, keep] for name in arrays}
        return dataclasses.replace(self, settings=settings, **picked)


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """All configurations of some cells on the questions they share."""

    questions: tuple[str, ...]
    blocks: tuple[Block, ...]
    measure: str
    """What cost means: the attribute of the price that was taken (``eflops``, ``seconds`` …)."""
    dropped_questions: int
    """Questions that some cell has and another lacks; they take no part."""

    @functools.cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The configurations, [C]."""
        return tuple(setting for block in self.blocks for setting in block.settings)

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
        return np.array([float(s.length or b.longest) for b in self.blocks for s in b.settings])

    @functools.cached_property
    def kv_budget(self) -> Floats:
        """KV tokens read per head and step, [C]; inf where attention is dense."""
        budgets = [setting.policy.kv_budget for setting in self.settings]
        return np.array([np.inf if budget is None else float(budget) for budget in budgets])

    @property
    def samples(self) -> int:
        """Independent samples of the question that has the fewest, over all cells (1 if greedy)."""
        return min(block.max_trials for block in self.blocks)

    @functools.cached_property
    def estimates(self) -> Estimates:
        """What all samples together say."""
        return self.estimate([block.samples_qs for block in self.blocks], shrink=False)

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
        """What some samples say: one mask [Q, S] a block.

        Args:
            chosen: the samples.
            shrink: whether ``merit`` is the steadier guess rather than the unbiased coverage.
        """
        pairs = zip(self.blocks, chosen, strict=True)
        parts = [block.estimate(mask, shrink=shrink) for block, mask in pairs]
        return Estimates(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))

    def where(self, predicate: Callable[[Setting], bool]) -> "Study":
        """The study with the configurations that the predicate holds for.

        Raises:
            InputError: it holds for none.
        """
        blocks = []
        for block in self.blocks:
            keep = np.array([predicate(setting) for setting in block.settings])
            if keep.any():
                blocks.append(block.where(keep))
        if not blocks:
            raise InputError("no configuration is left: the predicate holds for none of them")
        return dataclasses.replace(self, blocks=tuple(blocks))

    def for_halves(self) -> "Study":
        """The configurations whose pass@N half of the samples can estimate.

        Raises:
            InputError: a question has one sample only.
        """
        if self.samples < 2:
            raise InputError(
                "some question has one sample, so there is no second half to score a choice per "
                'question on: use choice="shared", or traces with more trials'
            )
        kept = []
        for block in self.blocks:
            fits = np.array([s.trials <= block.max_trials // 2 for s in block.settings])
            kept.append(block.where(fits))
        return dataclasses.replace(self, blocks=tuple(kept))

    def halves(self, rng: np.random.Generator) -> tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]:
        """One random split of every question's samples: two masks [Q, S] a block.

        Samples of the same rank go to the same half in every cell, so that copies of one trace (cut
        at several caps) are never on both sides.
        """
        most = max(block.samples_qs.shape[1] for block in self.blocks)
        key_qs = rng.random((len(self.questions), most))
        first, second = [], []
        for block in self.blocks:
            present = block.samples_qs
            key = np.where(present, key_qs[:, : present.shape[1]], np.inf)
            rank = np.argsort(np.argsort(key, axis=1), axis=1)
            in_first = rank < (present.sum(axis=1) // 2)[:, None]
            first.append(in_first)
            second.append(present & ~in_first)
        return first, second


def build_study(
    cells: Sequence[Cell],
    price: Callable[..., Any],
    *,
    measure: str = "eflops",
    trials: Sequence[int] = TRIALS,
    lengths: Sequence[int] = LENGTHS,
    search: Search = "both",
    resolve: Callable[[str], Any] = presets.__getitem__,
) -> Study:
    """Price and score every configuration of the cells on the questions they all have.

    Args:
        cells: of one dataset; which cells may stand together is for the caller to know.
        price: ``price(model, policy, prompt_tokens, generated_tokens, trials)`` of one request with
            N trials, all of this length; arrays broadcast.
        measure: attribute of what ``price`` returns that is the cost.
        trials: numbers of trials N; a cell uses those that it has the samples for.
        lengths: caps n in tokens; a longer trace is cut there, paid for up to there, and wrong. A
            cell uses those below its own cap. The uncut traces are always there.
        search: ``best_of_n`` (every N, uncut), ``long_cot`` (N = 1, every n), ``both`` of them (the
            paper's two searches), or the whole ``grid`` of N and n.
        resolve: model name → what ``price`` takes as the model.

    Raises:
        InputError: no cells, no common question, no N ≥ 1, unknown prompt lengths, prices that are
            not finite.
        UnknownNameError: a model that ``resolve`` does not know.
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
    blocks = tuple(
        _block(cell.restrict(questions), price, measure, trials, lengths, search, resolve) for cell in cells
    )
    everything = set().union(*(cell.questions for cell in cells))
    return Study(questions, blocks, measure, len(everything) - len(questions))


def _block(
    cell: Cell,
    price: Callable[..., Any],
    measure: str,
    trials: Sequence[int],
    lengths: Sequence[int],
    search: Search,
    resolve: Callable[[str], Any],
) -> Block:
    if np.isnan(cell.prompt_tokens).any():
        raise InputError(
            f"{cell.label}: prompt lengths are not recorded; fill them in with "
            "trials.with_prompt_tokens(default)"
        )
    pairs = _pairs(cell, trials, lengths, search)
    settings = tuple(
        Setting(cell.source, cell.model, cell.policy, cell.variant, cell.max_tokens, n, length)
        for n, length in pairs
    )
    cut_c = np.array([np.inf if length is None else length for _, length in pairs])
    trials_c = np.array([n for n, _ in pairs])
    tokens_qcs = np.minimum(cell.generated_tokens[:, None, :], cut_c[:, None])
    cost = price(
        resolve(cell.model), cell.policy, cell.prompt_tokens[:, None, None], tokens_qcs, trials_c[:, None]
    )
    cost_qcs = np.broadcast_to(np.asarray(getattr(cost, measure), np.float64), tokens_qcs.shape)
    if not np.isfinite(cost_qcs).all():
        raise InputError(f"{cell.label}: the price in {measure} is not finite for some trace")
    solved = cell.correct[:, None, :] & (cell.generated_tokens[:, None, :] <= cut_c[:, None])
    longest = float(cell.max_tokens or cell.generated_tokens.max())
    return Block(
        settings, cell.present, cell.max_trials, cost_qcs, solved.astype(np.float64), tokens_qcs, longest
    )


def _pairs(
    cell: Cell, trials: Sequence[int], lengths: Sequence[int], search: Search
) -> list[tuple[int, int | None]]:
    """The (N, n) of a cell, n = None uncut."""
    fit = sorted({n for n in trials if n <= cell.max_trials})
    limit = cell.max_tokens or cell.generated_tokens[cell.present].max()
    cuts = sorted({n for n in lengths if n < limit})
    if search == "best_of_n":
        return [(n, None) for n in fit]
    if search == "long_cot":
        return [(1, n) for n in [*cuts, None]]
    if search == "both":
        return [(1, n) for n in cuts] + [(n, None) for n in fit]
    if search == "grid":
        return [(n, length) for n in fit for length in [*cuts, None]]
    raise InputError(f"search={search!r} must be best_of_n, long_cot, both or grid")


def _coverage(count_q: NDArray[Any], solved_qc: NDArray[Any], trials_c: NDArray[Any]) -> Floats:
    """pass@N for each question's count, from one table a distinct count: [Q, C]."""
    coverage_qc = np.empty(solved_qc.shape)
    distinct, column_c = np.unique(trials_c, return_inverse=True)
    for count in np.unique(count_q):
        table = pass_at_k(count, np.arange(count + 1)[:, None], distinct)
        rows = count_q == count
        coverage_qc[rows] = table[solved_qc[rows], column_c]
    return coverage_qc
