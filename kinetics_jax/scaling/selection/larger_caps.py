"""What a larger cap would solve, from samples cut at a smaller one, and how far off such guesses have been.

Axes: Q questions · S samples of a question.
"""

import dataclasses
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from kinetics_jax.checks import check_whole
from kinetics_jax.errors import InputError
from kinetics_jax.scaling.statistics.censored_lengths import fit_censored_lengths
from kinetics_jax.scaling.statistics.resampling import bootstrap_weights
from kinetics_jax.scaling.traces.independent_trials import Cell


@dataclasses.dataclass(frozen=True, kw_only=True)
class CapPrediction:
    """Accuracy of one sample at a cap, said from samples cut at another."""

    run: float
    """Cap in tokens that the samples are cut at."""
    cap: float
    """Cap that is asked about."""
    counted_wrong: float
    """Accuracy where what met the cap stays wrong: that of the cap that was run."""
    censored: float
    """Accuracy by the model of lengths and correctness together."""
    low: float
    high: float
    """Interval of ``censored`` over questions, 95 % in name and about 90 % at 60 questions; without the
    model's own error, which ``leave_out_caps`` measures."""
    actual: float | None
    """Accuracy at ``cap`` where it was run, else None."""
    met: float
    """Share of samples that met the cap."""
    note: str


def predict_larger_cap(
    cell: Cell, run: float, cap: float, *, resamples: int = 100, seed: int = 0
) -> CapPrediction:
    """Cut a cell's samples at ``run`` tokens and say what ``cap`` would solve.

    Args:
        cell: samples, with the cap of their own run.
        run: at most the cell's own cap, where it is known.
        cap: larger than ``run``.
        resamples: of the questions, at least 2.
        seed: of the resamples.

    Raises:
        InputError: caps out of order, fewer than two resamples, or as ``fit_censored_lengths`` and
            ``bootstrap_weights``.
    """
    own = float(cell.max_tokens or cell.generated_tokens.max())
    if not 1 <= run < cap or run > own:
        raise InputError(f"run={run:g} must be below cap={cap:g} and at most {own:g}, the cap of the samples")
    check_whole("resamples", resamples, 2)
    q, _ = there = np.nonzero(cell.present)
    tokens, correct = cell.generated_tokens[there], cell.correct[there]
    even = 1.0 / cell.samples[q]
    count = len(cell.questions)
    whole = fit_censored_lengths(tokens, correct, run, even)
    # No resample leaves a question out, so where the questions as they are can be fitted, each of them can.
    others = [
        float(fit_censored_lengths(tokens, correct, run, even * weight_q[q]).accuracy(cap))
        for weight_q in bootstrap_weights(count, resamples, seed)
    ]
    # Few resamples say how wide, not where the 2.5 % are; Student's t is in their weights.
    half = NormalDist().inv_cdf(0.975) * float(np.std(others, ddof=1))
    guess = float(whole.accuracy(cap))

    def accuracy(at: float) -> float:
        return float((even * (correct & (tokens <= at))).sum() / count)

    return CapPrediction(
        run=run,
        cap=cap,
        counted_wrong=accuracy(run),
        censored=guess,
        low=max(guess - half, 0.0),
        high=min(guess + half, 1.0),
        actual=accuracy(cap) if cap <= own else None,
        met=whole.censored,
        note=whole.note,
    )


def leave_out_caps(cell: Cell, caps: Sequence[float], *, resamples: int = 100) -> list[CapPrediction]:
    """Every smaller cap's word on every larger one that was run: how far off the model has been.

    Raises:
        InputError: as ``predict_larger_cap``, and where fewer than two caps are within the cell's own.
    """
    own = float(cell.max_tokens or cell.generated_tokens.max())
    known = sorted({float(cap) for cap in caps if cap <= own})
    if len(known) < 2:
        raise InputError(f"caps={tuple(caps)}: give two or more that are at most {own:g}")
    return [
        predict_larger_cap(cell, run, cap, resamples=resamples)
        for at, run in enumerate(known)
        for cap in known[at + 1 :]
    ]
