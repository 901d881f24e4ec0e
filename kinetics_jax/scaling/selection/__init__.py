"""Without an oracle: votes, verifiers that err, and rules that stop drawing samples."""

from kinetics_jax.scaling.selection.judged import JudgedCell, judged_study, why_no_vote
from kinetics_jax.scaling.selection.majority import majority_accuracy
from kinetics_jax.scaling.selection.noisy_verifier import best_of_n
from kinetics_jax.scaling.selection.verifiers import (
    Majority,
    Perfect,
    Roc,
    Verifier,
    parse_verifier,
    parse_verifiers,
)

__all__ = [
    "JudgedCell",
    "Majority",
    "Perfect",
    "Roc",
    "Verifier",
    "best_of_n",
    "judged_study",
    "majority_accuracy",
    "parse_verifier",
    "parse_verifiers",
    "why_no_vote",
]
