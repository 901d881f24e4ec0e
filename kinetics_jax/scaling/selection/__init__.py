"""Without an oracle: votes, verifiers that err, and rules that stop drawing samples."""

from kinetics_jax.scaling.selection.adaptive import Stopped, compare_stopping
from kinetics_jax.scaling.selection.judged import JudgedCell, judged_study, why_no_vote
from kinetics_jax.scaling.selection.larger_caps import CapPrediction, leave_out_caps, predict_larger_cap
from kinetics_jax.scaling.selection.majority import majority_accuracy
from kinetics_jax.scaling.selection.noisy_verifier import best_of_n
from kinetics_jax.scaling.selection.stopping import (
    FirstAccepted,
    LeadingAnswer,
    SameInWindow,
    StopRule,
    stop_by,
)
from kinetics_jax.scaling.selection.verifiers import (
    Majority,
    Perfect,
    Roc,
    Verifier,
    parse_verifier,
    parse_verifiers,
)

__all__ = [
    "CapPrediction",
    "FirstAccepted",
    "JudgedCell",
    "LeadingAnswer",
    "Majority",
    "Perfect",
    "Roc",
    "SameInWindow",
    "StopRule",
    "Stopped",
    "Verifier",
    "best_of_n",
    "compare_stopping",
    "judged_study",
    "leave_out_caps",
    "majority_accuracy",
    "parse_verifier",
    "parse_verifiers",
    "predict_larger_cap",
    "stop_by",
    "why_no_vote",
]
