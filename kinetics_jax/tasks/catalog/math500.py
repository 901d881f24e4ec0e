"""MATH-500: 500 problems of the MATH test set, answers in LaTeX."""

import os

from kinetics_jax.tasks.base import Task
from kinetics_jax.tasks.maths import benchmark


def load(path: str | os.PathLike[str] | None = None, limit: int | None = None) -> Task:
    """See ``kinetics_jax.tasks.load``."""
    return benchmark("math500", path=path, limit=limit, hub=("HuggingFaceH4/MATH-500", "test"), form="latex")
