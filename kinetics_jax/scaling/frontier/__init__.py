"""What a cost limit per question buys: priced configurations, frontiers, and how sure they are."""

from kinetics_jax.scaling.frontier.bootstrap import FrontierBootstrap, bootstrap_frontier
from kinetics_jax.scaling.frontier.configurations import Setting
from kinetics_jax.scaling.frontier.frontiers import (
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
from kinetics_jax.scaling.frontier.gaps_and_thresholds import (
    Segment,
    cost_ratio,
    segments,
    threshold_model,
    vertical_gap,
)
from kinetics_jax.scaling.frontier.published_allocation import best_of_n_allocation, long_cot_allocation
from kinetics_jax.scaling.frontier.resampled_laws import fit_optimum, saturation_cost, size_threshold
from kinetics_jax.scaling.frontier.study import LENGTHS, TRIALS, Study, build_study

__all__ = [
    "LENGTHS",
    "TRIALS",
    "Frontier",
    "FrontierBootstrap",
    "HeldOutFrontier",
    "Segment",
    "Setting",
    "Study",
    "StudyFrontier",
    "best_of_n_allocation",
    "bootstrap_frontier",
    "build_study",
    "cost_grid",
    "cost_ratio",
    "fit_optimum",
    "held_out_frontier",
    "largest_token_demand",
    "long_cot_allocation",
    "model_curves",
    "paper_frontier",
    "saturation_cost",
    "segments",
    "size_threshold",
    "study_frontier",
    "threshold_model",
    "vertical_gap",
]
