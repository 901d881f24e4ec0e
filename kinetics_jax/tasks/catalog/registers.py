"""The built-in suite: traces of a register machine, for the tiny models that the package ships."""

import os

from kinetics_jax.errors import InputError
from kinetics_jax.tasks.base import InlineGrader, Task
from kinetics_jax.tasks.registers import grade, make_problems
from kinetics_jax.tasks.registers.machine import TOKENS_PER_STEP
from kinetics_jax.tasks.registers.problems import LONGEST, NAME, SHORTEST


def load(
    path: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    split: str = "test",
    seed: int = 0,
    shortest: int = SHORTEST,
    longest: int = LONGEST,
) -> Task:
    """See ``kinetics_jax.tasks.load``; ``limit`` is the number of problems made (240 without it).

    Args:
        path: nothing is read: must be None.
        limit: number of problems.
        split: ``train``, ``validation`` or ``test``; no starting memory is in two of them.
        seed: another seed, other problems.
        shortest: steps of the shortest problem.
        longest: steps of the longest.

    Raises:
        InputError: a path, an unknown split, or lengths out of order.
    """
    if path is not None:
        raise InputError("the registers task is built in and reads no file; leave its path out")
    problems = make_problems(limit or 240, split=split, seed=seed, shortest=shortest, longest=longest)
    return Task(
        name=NAME, problems=problems, grader=InlineGrader(grade), max_tokens=TOKENS_PER_STEP * longest + 1
    )
