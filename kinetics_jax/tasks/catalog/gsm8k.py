"""GSM8K, test split: 1,319 word problems of primary school, answers are numbers."""

import os

from kinetics_jax.tasks.base import Task
from kinetics_jax.tasks.maths import benchmark


def load(path: str | os.PathLike[str] | None = None, limit: int | None = None) -> Task:
    """See ``kinetics_jax.tasks.load``."""
    return benchmark(
        "gsm8k",
        path=path,
        limit=limit,
        hub=("InfiniAILab/gsm8k", "test"),
        files=("gsm8k_test",),
        max_tokens=4096,
    )
