"""AMC 12 of 2023: 40 problems with whole-number answers."""

import os

from kinetics_jax.tasks.base import Task
from kinetics_jax.tasks.maths import benchmark


def load(path: str | os.PathLike[str] | None = None, limit: int | None = None) -> Task:
    """See ``kinetics_jax.tasks.load``."""
    return benchmark("amc23", path=path, limit=limit, hub=("math-ai/amc23", "test"))
