"""maj@N: how often the commonest answer of N of the stored samples is right, exactly.

The N are drawn without replacement, every subset alike; ties are broken at random and counted as what that
gives on average. Samples without an answer are drawn and paid for, and vote for nothing.

An answer stored ``own`` times wins with x votes if no other has more than x. The ways to draw the rest are
the coefficient of z^(N−x) in a product over the other answers: of Σ C(m, y) z^y for y < x, plus
u·C(m, x) z^x for one that ties; 1/(1 + ties) is what u becomes. Answers with fewer samples than x cannot tie,
so all of them and the silent samples are one pool.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.traces.answers import NO_ANSWER

Floats = NDArray[np.float64]
_MOST_SUBSETS = 1e280
"""What a float holds."""


def majority_accuracy(answers: Sequence[int], correct: Sequence[bool], trials: int) -> float:
    """Expected accuracy of the commonest of ``trials`` answers of one question.

    Args:
        answers: which answer each of n samples gave; negative: none.
        correct: whether it was graded right. Where a grader calls one answer both, its share counts.
        trials: N, 1…n.

    Returns:
        In [0, 1]; 0 where no sample has an answer.

    Raises:
        InputError: N < 1 or N > n, lengths that differ, or more subsets than a float can count.
    """
    given, right = np.asarray(answers, np.int64), np.asarray(correct, bool)
    if given.shape != right.shape or given.ndim != 1:
        raise InputError(f"{given.shape} answers and {right.shape} grades: give one of each a sample")
    if not 1 <= trials <= len(given):
        raise InputError(f"trials={trials} must be 1…{len(given)}, the samples of the question")
    if math.comb(len(given), trials) > _MOST_SUBSETS:
        raise InputError(f"maj@{trials} of {len(given)} samples: too many subsets; ask for fewer trials")
    voted = given != NO_ANSWER
    _, code = np.unique(given[voted], return_inverse=True)
    counts = np.bincount(code)
    values = np.bincount(code, weights=right[voted]) / np.maximum(counts, 1)
    silent = int((~voted).sum())
    total = 0.0
    for at in np.flatnonzero(values > 0):
        others = tuple(sorted(int(m) for m in np.delete(counts, at)))
        total += float(values[at]) * wins(int(counts[at]), others, silent, trials)
    return total


@functools.lru_cache(maxsize=1 << 18)
def wins(own: int, others: tuple[int, ...], silent: int, trials: int) -> float:
    """Chance that an answer of ``own`` samples is chosen among N of them all.

    Args:
        own: samples that gave it, ≥ 1.
        others: samples that gave each other answer, sorted.
        silent: samples without an answer.
        trials: N, at most all of them.
    """
    ways = 0.0
    for votes in range(1, min(own, trials) + 1):
        ways += math.comb(own, votes) * _rest(others, silent, votes, trials - votes)
    return ways / math.comb(own + sum(others) + silent, trials)


def _rest(others: tuple[int, ...], silent: int, votes: int, left: int) -> float:
    """Ways to draw ``left`` more samples with no other answer above ``votes``, shared where some tie."""
    loose = silent + sum(m for m in others if m < votes)
    rivals = [m for m in others if m >= votes]
    most_ties = min(len(rivals), left // votes)
    ways = np.zeros((most_ties + 1, left + 1))
    ways[0] = [math.comb(loose, d) for d in range(left + 1)]
    for m in rivals:
        below = np.array([float(math.comb(m, y)) for y in range(min(votes, left + 1))])
        new = np.stack([np.convolve(row, below)[: left + 1] for row in ways])
        if votes <= left:
            new[1:, votes:] += math.comb(m, votes) * ways[:-1, : left + 1 - votes]
        ways = new
    return float((ways[:, left] / np.arange(1, most_ties + 2)).sum())


def majority_table(
    answer_qs: NDArray[np.int64], correct_qs: NDArray[np.bool_], chosen_qs: NDArray[np.bool_], trials: int
) -> Floats:
    """``majority_accuracy`` of the chosen samples of each question, [Q]; all inputs are [Q, S]."""
    if trials <= 2:
        return _few(answer_qs, correct_qs, chosen_qs, trials)
    rows = zip(answer_qs, correct_qs, chosen_qs, strict=True)
    return np.array([majority_accuracy(a[m], c[m], trials) for a, c, m in rows])


def _few(
    answer_qs: NDArray[np.int64], correct_qs: NDArray[np.bool_], chosen_qs: NDArray[np.bool_], trials: int
) -> Floats:
    """maj@1 and maj@2 of all questions at once: a vote alone counts whole, two different ones half each."""
    voted_qs = chosen_qs & (answer_qs != NO_ANSWER)
    n, votes, right = (m.sum(axis=1) for m in (chosen_qs, voted_qs, voted_qs & correct_qs))
    if trials == 1:
        return right / n
    return right * ((votes - 1) / 2 + (n - votes)) / (n * (n - 1) / 2)
