"""What to run to answer a question with a given interval: variance components, power, and what to run next.

``make_plan`` is the whole of it; ``cheapest_design`` and ``best_design`` are its two directions. No JAX.
"""

from kinetics_jax.scaling.plans.arms import Arm, Contrast, pilot_arms, pilot_contrasts
from kinetics_jax.scaling.plans.assumed import assumed_arms, assumed_contrasts
from kinetics_jax.scaling.plans.plan import Answer, Plan, Question, make_plan
from kinetics_jax.scaling.plans.power import (
    Design,
    best_design,
    cheapest_design,
    needed_questions,
    smallest_visible,
)

__all__ = [
    "Answer",
    "Arm",
    "Contrast",
    "Design",
    "Plan",
    "Question",
    "assumed_arms",
    "assumed_contrasts",
    "best_design",
    "cheapest_design",
    "make_plan",
    "needed_questions",
    "pilot_arms",
    "pilot_contrasts",
    "smallest_visible",
]
