"""Mathematics with a short final answer: prompt, extraction, and math-verify behind time limits."""

from kinetics_jax.tasks.maths.benchmark import benchmark
from kinetics_jax.tasks.maths.grader import MathGrader

__all__ = ["MathGrader", "benchmark"]
