"""The configurations of a cell (trials N, length n), each priced and scored sample by sample.

Costs are averages of the price over traces, never the price of the average trace (eq. 10 of the
paper). Axes: Q questions · C configurations · S samples of a question.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.statistics.largest import expected_largest
from kinetics_jax.scaling.statistics.pass_at_k import pass_at_k_table
from kinetics_jax.scaling.statistics.shrinkage import expected_pass_at_k
from kinetics_jax.scaling.traces.independent_trials import Cell

Floats = NDArray[np.float64]
Price = Callable[[str, Policy, Floats, Floats, NDArray[np.int64]], Any]
"""Model, policy, prompt tokens, generated tokens, trials → cost; arrays broadcast."""
Search = Literal["best_of_n", "long_cot", "both", "grid"]


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
class PricedCell:
    """What every configuration of a cell costs and solves, sample by sample."""

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
    slowest: bool = dataclasses.field(default=False, kw_only=True)
    """Whether a cost is that of the dearest of N samples, as waiting is, and not of the mean one."""

    def estimate(self, chosen_qs: NDArray[np.bool_], *, shrink: bool) -> Estimates:
        """Means over the chosen samples; every question needs at least the largest N of them."""
        count_q = chosen_qs.sum(axis=1)
        weights_qs1 = (chosen_qs / count_q[:, None])[:, :, None]
        trials_c = np.array([setting.trials for setting in self.settings])
        solved_qc = (self.solved_qcs @ chosen_qs[:, :, None].astype(np.float64))[..., 0]
        coverage = pass_at_k_table(count_q, np.rint(solved_qc).astype(np.int64), trials_c)
        if self.slowest:
            cost = expected_largest(self.cost_qcs, chosen_qs, trials_c)
        else:
            cost = (self.cost_qcs @ weights_qs1)[..., 0]
        return Estimates(
            cost=cost,
            coverage=coverage,
            tokens=(self.tokens_qcs @ weights_qs1)[..., 0] * trials_c,
            merit=expected_pass_at_k(count_q, solved_qc, trials_c) if shrink else coverage,
        )

    def where(self, keep: NDArray[np.bool_]) -> "PricedCell":
        """The cell with some of its configurations only."""
        settings = tuple(s for s, kept in zip(self.settings, keep, strict=True) if kept)
        arrays = ("cost_qcs", "solved_qcs", "tokens_qcs")
        picked = {name: getattr(self, name)[:, keep] for name in arrays}
        return dataclasses.replace(self, settings=settings, **picked)


def price_cell(
    cell: Cell, price: Price, trials: Sequence[int], lengths: Sequence[int], search: Search
) -> PricedCell:
    """Price and score every configuration of a cell; see ``build_study``."""
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
    cost = price(cell.model, cell.policy, cell.prompt_tokens[:, None, None], tokens_qcs, trials_c[:, None])
    cost_qcs = np.broadcast_to(np.asarray(cost, np.float64), tokens_qcs.shape)
    if not np.isfinite(cost_qcs).all():
        raise InputError(f"{cell.label}: the price of some trace is not finite")
    solved = cell.correct[:, None, :] & (cell.generated_tokens[:, None, :] <= cut_c[:, None])
    longest = float(cell.max_tokens or cell.generated_tokens.max())
    return PricedCell(
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
