"""Training of the tiny models that the built-in suite is decoded with. Numbers: docs/suite.md."""

from kinetics_jax.training.exact import ExactScore, exact_score
from kinetics_jax.training.recipe import SIZES, Recipe, Stage
from kinetics_jax.training.report import about
from kinetics_jax.training.trainer import TrainingFailedError, train

__all__ = ["SIZES", "ExactScore", "Recipe", "Stage", "TrainingFailedError", "about", "exact_score", "train"]
