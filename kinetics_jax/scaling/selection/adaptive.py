"""What stopping early saves on stored samples: rules set on half of the questions, scored on the others.

The order in which samples come is random: results are means over orders drawn with a fixed seed. Draws of a
rule follow one another, so nothing is shared between them and each pays the price of a single sample; the
fixed number of samples decodes together and shares its prompt.
Axes: Q questions · S samples of a question · O orders · T samples drawn so far (1…N) · K settings of a rule.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.selection.majority import majority_table
from kinetics_jax.scaling.selection.stopping import lead_certainty
from kinetics_jax.scaling.statistics.intervals import interval
from kinetics_jax.scaling.statistics.pass_at_k import fit_beta_binomial, pass_at_k
from kinetics_jax.scaling.statistics.resampling import bootstrap_weights
from kinetics_jax.scaling.traces.answers import NO_ANSWER
from kinetics_jax.scaling.traces.independent_trials import Cell

Floats = NDArray[np.float64]
Kind = Literal["accepted", "majority"]
KINDS: tuple[Kind, ...] = ("accepted", "majority")
WORTHS = (*np.geomspace(1.0, 1000.0, 13).tolist(), np.inf)
"""Worth of a solved question in mean prices of a sample."""
CERTAINTIES = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995, 1.0)
AS_GOOD = 0.005
"""Accuracy that a setting may lose against drawing all N on the questions that it is chosen on."""
ORDERS = 16
SPLITS = 5
RESAMPLES = 1000
FEWEST = 8
"""Questions that can be halved."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopped:
    """A rule against a fixed number of samples, on questions that did not set it. Means over questions."""

    fixed_solved: float
    """Share of questions."""
    fixed_cost: float
    """Per question, in the unit of the prices, as ``cost``."""
    solved: float
    cost: float
    drawn: float
    """Samples that the rule draws of a question."""
    saved: float
    """Share of the fixed number's cost per solved question that the rule saves; negative: it costs more; −∞
    where the rule solves nothing, NaN where it draws nothing either."""
    low: float
    high: float
    """Interval of ``saved`` over questions, 95 %."""
    setting: float
    """Median over the halves of what was chosen on the other half: the worth of a solved question in prices
    of a sample, or the certainty of the vote."""


def compare_stopping(
    cell: Cell, cost_qs: Floats, fixed_cost_qs: Floats, trials: int, kind: Kind, *, seed: int = 0
) -> Stopped:
    """Cost per solved question of a rule and of N samples for every question.

    A rule's setting is the cheapest that loses at most ``AS_GOOD`` against N samples on one half of the
    questions, where the prior of its solve rates is fitted too; it is scored on the other half.

    Args:
        cell: of at least N independent samples a question.
        cost_qs: price of each sample drawn by itself, [Q, S].
        fixed_cost_qs: price of N samples that are all like this one, [Q, S].
        trials: N, also the most that the rule draws; at least 2.
        kind: ``accepted``: a perfect verifier looks at every sample (``FirstAccepted``); ``majority``:
            answers are counted (``LeadingAnswer``).
        seed: of orders, halves and resamples.

    Raises:
        InputError: fewer samples than N, fewer questions than ``FEWEST``, answers that are not recorded, or
            nothing solved by N samples.
    """
    if not 2 <= trials <= cell.max_trials:
        raise InputError(f"trials={trials} must be 2…{cell.max_trials}, the samples that every question has")
    count = len(cell.questions)
    if count < FEWEST:
        raise InputError(
            f"{count} questions are too few to set a rule on half of them: give at least {FEWEST}"
        )
    rng = np.random.default_rng(seed)
    drawn = Drawn.of(cell, cost_qs, trials, kind, rng)
    fixed_solved, fixed_cost = _fixed(cell, fixed_cost_qs, trials, kind)
    if not fixed_solved.any():
        raise InputError(
            f"{cell.label}: {trials} samples solve nothing ({kind}), so there is no cost of a solved question"
        )
    sums, settings = np.zeros((3, count)), []
    every = drawn.settings(np.ones(count, bool)) if kind == "majority" else None  # it has no prior
    for _ in range(SPLITS):
        half = rng.permutation(count) < count // 2
        for chosen_on in (half, ~half):
            tables = drawn.settings(chosen_on) if every is None else every  # [3, Q, K]: solved, cost, samples
            solved, cost = (table[chosen_on].mean(axis=0) for table in tables[:2])
            good = solved >= solved[-1] - AS_GOOD  # the last setting draws all that could change anything
            at = int(np.argmin(np.where(good, cost, np.inf)))
            settings.append(drawn.names[at])
            sums[:, ~chosen_on] += tables[:, ~chosen_on, at]
    rows = np.stack([*(sums / SPLITS), fixed_solved, fixed_cost])
    weights = np.concatenate([np.full((1, count), 1 / count), bootstrap_weights(count, RESAMPLES, seed)])
    solved_r, cost_r, samples_r, fixed_solved_r, fixed_cost_r = rows @ weights.T
    with np.errstate(divide="ignore", invalid="ignore"):  # the rule may solve nothing
        saved_r = 1.0 - (cost_r / solved_r) / (fixed_cost_r / fixed_solved_r)
    ends = interval(saved_r[1:])
    return Stopped(
        fixed_solved=float(fixed_solved_r[0]),
        fixed_cost=float(fixed_cost_r[0]),
        solved=float(solved_r[0]),
        cost=float(cost_r[0]),
        drawn=float(samples_r[0]),
        saved=float(saved_r[0]),
        low=float(ends.low),
        high=float(ends.high),
        setting=float(np.median(settings)),
    )


def _fixed(cell: Cell, cost_qs: Floats, trials: int, kind: Kind) -> tuple[Floats, Floats]:
    """Accuracy and cost of N samples for every question, [Q] each: exact, not over the orders."""
    cost_q = np.where(cell.present, cost_qs, 0.0).sum(axis=1) / cell.samples
    if kind == "accepted":
        return pass_at_k(cell.samples, cell.correct.sum(axis=1), trials), cost_q
    assert cell.answers is not None, "looked at by Drawn.of"
    return majority_table(cell.answers, cell.correct, cell.present, trials), cost_q


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """What a rule may see and get after each of the samples drawn so far, in every order."""

    kind: Kind
    cell: Cell
    solved: Floats
    """Expected accuracy of stopping after T samples, [O, Q, T]."""
    paid: Floats
    """Price of the first T samples, [O, Q, T]."""
    certainty: Floats
    """``majority``: of the lead after T samples, above 1 where it is decided, [O, Q, T]."""
    names: tuple[float, ...]
    """The settings, [K]."""

    @classmethod
    def of(cls, cell: Cell, cost_qs: Floats, trials: int, kind: Kind, rng: np.random.Generator) -> "Drawn":
        """Draw the orders. Raises ``InputError`` where a vote lacks answers."""
        key = rng.random((ORDERS, *cell.present.shape))
        order = np.argsort(np.where(cell.present, key, np.inf), axis=2)[:, :, :trials]

        def in_order(values_qs: NDArray) -> NDArray:
            return np.take_along_axis(np.broadcast_to(values_qs, key.shape), order, axis=2)

        right, paid = in_order(cell.correct), in_order(cost_qs).cumsum(axis=2)
        if kind == "accepted":
            found = np.logical_or.accumulate(right, axis=2).astype(np.float64)
            return cls(kind, cell, found, paid, np.zeros(0), WORTHS)
        if cell.answers is None:
            raise InputError(
                f"{cell.label} does not record the answer of every sample, so none can be counted"
            )
        solved, certainty = _votes(in_order(cell.answers), _value_of_answers(cell), trials)
        return cls(kind, cell, solved, paid, certainty, CERTAINTIES)

    def settings(self, chosen_on: NDArray[np.bool_]) -> Floats:
        """Accuracy, cost and samples of every question under every setting, [3, Q, K].

        ``chosen_on`` [Q] are the questions that a prior is fitted on.
        """
        stops = self._accepted(chosen_on) if self.kind == "accepted" else self._majority()
        out = np.empty((3, self.paid.shape[1], len(self.names)))
        for k, stop_oq in enumerate(stops):
            at = np.maximum(stop_oq - 1, 0)[:, :, None]
            any_oq = stop_oq > 0
            for row, table in enumerate((self.solved, self.paid)):
                out[row, :, k] = (np.take_along_axis(table, at, axis=2)[..., 0] * any_oq).mean(axis=0)
            out[2, :, k] = stop_oq.mean(axis=0)
        return out

    def _accepted(self, chosen_on: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
        """Samples that ``FirstAccepted`` draws, worth being in mean prices of ``chosen_on``: K of [O, Q]."""
        counts, right = self.cell.samples[chosen_on], self.cell.correct.sum(axis=1)[chosen_on]
        prior = fit_beta_binomial(counts, right)
        drawn = np.arange(1, self.paid.shape[2] + 1)
        price = float(self.paid[:, chosen_on, -1].mean()) / len(drawn)
        wanted = self.paid / drawn * (prior.alpha + prior.beta + drawn) / (prior.alpha * price)
        for worth in self.names:
            if prior.alpha / (prior.alpha + prior.beta) * worth < 1.0:  # not even the first is worth it
                yield np.zeros(wanted.shape[:2], np.int64)
            else:
                yield _first((self.solved > 0) | (wanted > worth))

    def _majority(self) -> Iterator[NDArray[np.int64]]:
        """Samples that ``LeadingAnswer`` draws: K of [O, Q]."""
        return (_first(self.certainty >= certainty) for certainty in self.names)


def _first(enough_oqt: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Samples after which it is enough for the first time, all of them where it never is, [O, Q]."""
    trials = enough_oqt.shape[2]
    return np.where(enough_oqt.any(axis=2), enough_oqt.argmax(axis=2) + 1, trials)


def _value_of_answers(cell: Cell) -> Floats:
    """Share of right ones among the samples that gave each answer, [Q, answers]."""
    assert cell.answers is not None
    out = np.zeros((len(cell.questions), int(cell.answers.max(initial=0)) + 1))
    for q, (answers, correct) in enumerate(zip(cell.answers, cell.correct, strict=True)):
        voted = answers != NO_ANSWER
        counts = np.bincount(answers[voted], minlength=out.shape[1])
        right = np.bincount(answers[voted], weights=correct[voted], minlength=out.shape[1])
        out[q] = right / np.maximum(counts, 1)
    return out


def _votes(answer_oqt: NDArray[np.int64], value_qa: Floats, trials: int) -> tuple[Floats, Floats]:
    """Accuracy of the leader, ties at random, and the certainty of its lead after T samples, [O, Q, T]."""
    table = np.array(
        [[lead_certainty(max(a, b), min(a, b)) for b in range(trials + 1)] for a in range(trials + 1)]
    )
    votes = np.zeros((*answer_oqt.shape[:2], value_qa.shape[1]), np.int64)
    solved, certainty = np.zeros(answer_oqt.shape), np.zeros(answer_oqt.shape)
    for t in range(trials):
        given = answer_oqt[:, :, t]
        o, q = np.nonzero(given != NO_ANSWER)
        votes[o, q, given[o, q]] += 1
        first = votes.max(axis=2)
        leading = (votes == first[..., None]) & (votes > 0)
        solved[:, :, t] = (leading * value_qa).sum(axis=2) / np.maximum(leading.sum(axis=2), 1)
        others = np.sort(votes, axis=2)[:, :, -2] if votes.shape[2] > 1 else np.zeros_like(first)
        decided = first - others > trials - 1 - t
        certainty[:, :, t] = np.where(decided, 2.0, table[first, others])
    return solved, certainty
