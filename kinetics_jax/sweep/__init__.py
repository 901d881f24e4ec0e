"""The sweep: sizes × policies × tasks decoded for real, graded, resumable, and handed to the laws."""

from typing import TYPE_CHECKING

from kinetics_jax import _lazy

if TYPE_CHECKING:
    from kinetics_jax.sweep.experiment import EngineChoice, Experiment, ModelChoice, Slice, TaskChoice
    from kinetics_jax.sweep.plan import CellPlan, make_plan, plan_table
    from kinetics_jax.sweep.sweep import Outcome, Sweep, plan_sweep

__all__ = [
    "CellPlan",
    "EngineChoice",
    "Experiment",
    "ModelChoice",
    "Outcome",
    "Slice",
    "Sweep",
    "TaskChoice",
    "make_plan",
    "plan_sweep",
    "plan_table",
]

__getattr__, __dir__ = _lazy.face(
    __name__,
    {
        **dict.fromkeys(("EngineChoice", "Experiment", "ModelChoice", "Slice", "TaskChoice"), "experiment"),
        **dict.fromkeys(("CellPlan", "make_plan", "plan_table"), "plan"),
        **dict.fromkeys(("Outcome", "Sweep", "plan_sweep"), "sweep"),
    },
)
