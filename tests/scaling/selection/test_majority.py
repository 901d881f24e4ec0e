"""maj@N counted over every subset, and by drawing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.selection.majority import majority_accuracy, majority_table


def counted(answers, correct, trials):
    """Every subset by itself: the share of right answers among those with the most votes."""
    scores = []
    for subset in itertools.combinations(range(len(answers)), trials):
        votes = [answers[i] for i in subset if answers[i] >= 0]
        if not votes:
            scores.append(0.0)
            continue
        most = max(votes.count(v) for v in votes)
        leading = [v for v in set(votes) if votes.count(v) == most]
        value = {v: np.mean([c for a, c in zip(answers, correct, strict=True) if a == v]) for v in leading}
        scores.append(np.mean([value[v] for v in leading]))
    return float(np.mean(scores))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=9), st.integers(1, 9), st.integers(0, 4))
def test_it_is_the_mean_over_every_subset(answers, trials, gold):
    trials = min(trials, len(answers))
    correct = [a == gold for a in answers]
    expected = counted(answers, correct, trials)
    assert majority_accuracy(answers, correct, trials) == pytest.approx(expected, abs=1e-12)
    (found,) = majority_table(
        np.array([answers]), np.array([correct]), np.ones((1, len(answers)), bool), trials
    )
    assert found == pytest.approx(expected, abs=1e-12)


def test_many_samples_agree_with_drawing():
    rng = np.random.default_rng(0)
    answers = rng.choice(8, 64, p=[0.3, 0.25, 0.15, 0.1, 0.05, 0.05, 0.05, 0.05]) - 1
    correct = answers == 1
    drawn = np.array([_vote(rng.choice(answers, 24, replace=False), rng) == 1 for _ in range(20_000)])
    assert majority_accuracy(answers, correct, 24) == pytest.approx(drawn.mean(), abs=0.015)


def _vote(votes, rng):
    counts = np.bincount(votes[votes >= 0], minlength=7)
    return rng.choice(np.flatnonzero(counts == counts.max()))


def test_silent_samples_vote_for_nothing():
    assert majority_accuracy([0, -1, -1], [True, False, False], 3) == 1.0
    assert majority_accuracy([-1, -1], [False, False], 2) == 0.0
    assert majority_accuracy([0, 1, -1], [True, False, False], 3) == 0.5


def test_a_grader_that_contradicts_itself_counts_by_its_share():
    assert majority_accuracy([0, 0, 0, 1], [True, True, False, False], 4) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("answers", "correct", "trials", "what"),
    [
        ([0], [True], 2, "trials=2 must be 1…1"),
        ([0], [True, False], 1, "one of each"),
        ([0], [True], 0, "1…1"),
    ],
)
def test_what_cannot_be_asked_is_refused(answers, correct, trials, what):
    with pytest.raises(InputError, match=what):
        majority_accuracy(answers, correct, trials)


def test_more_subsets_than_a_float_counts_are_refused():
    with pytest.raises(InputError, match="too many subsets"):
        majority_accuracy(np.zeros(2000, int), np.ones(2000, bool), 900)
