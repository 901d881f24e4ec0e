"""AIME 2025, I and II: 30 problems, answers 0 to 999."""

import os

from kinetics_jax.tasks.base import Task
from kinetics_jax.tasks.maths import benchmark


def load(path: str | os.PathLike[str] | None = None, limit: int | None = None) -> Task:
    """See ``kinetics_jax.tasks.load``."""
    return benchmark("aime25", path=path, limit=limit, hub=("math-ai/aime25", "test"))
