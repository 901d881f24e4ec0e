"""From trials to laws: pass@k, priced configurations, frontiers, allocation, fits, uncertainty.

NumPy only at import; SciPy is imported by the functions that fit.
"""

from kinetics_jax.scaling.allocation import best_of_n_allocation, long_cot_allocation
from kinetics_jax.scaling.bootstrap import (
    FrontierBootstrap,
    Interval,
    bootstrap_frontier,
    bootstrap_weights,
    interval,
)
from kinetics_jax.scaling.cells import Cell, group_cells
from kinetics_jax.scaling.fits import (
    ExponentiatedPowerLaw,
    PowerLaw,
    extrapolation_error,
    fit_exponentiated_power_law,
    fit_power_law,
)
from kinetics_jax.scaling.frontier import (
    Frontier,
    HeldOutFrontier,
    StudyFrontier,
    cost_grid,
    held_out_frontier,
    largest_token_demand,
    model_curves,
    paper_frontier,
    study_frontier,
)
from kinetics_jax.scaling.gaps import Segment, cost_ratio, segments, threshold_model, vertical_gap
from kinetics_jax.scaling.pass_at_k import BetaBinomial, fit_beta_binomial, pass_at_k
from kinetics_jax.scaling.readers import read_trials
from kinetics_jax.scaling.study import LENGTHS, TRIALS, Setting, Study, build_study
from kinetics_jax.scaling.trials import InputFile, Trials

__all__ = [
    "LENGTHS", "TRIALS", "BetaBinomial", "Cell", "ExponentiatedPowerLaw", "Frontier",
    "FrontierBootstrap", "HeldOutFrontier", "InputFile", "Interval", "PowerLaw", "Segment", "Setting",
    "Study", "StudyFrontier", "Trials", "best_of_n_allocation", "bootstrap_frontier",
    "bootstrap_weights", "build_study", "cost_grid", "cost_ratio", "extrapolation_error",
    "fit_beta_binomial", "fit_exponentiated_power_law", "fit_power_law", "group_cells",
    "held_out_frontier", "interval", "largest_token_demand", "long_cot_allocation", "model_curves",
    "paper_frontier", "pass_at_k", "read_trials", "segments", "study_frontier", "threshold_model",
    "vertical_gap",
]  # fmt: skip
