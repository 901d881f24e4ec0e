"""Problems, prompts and graders. What a grader needs (math-verify …) is imported when it grades."""

from kinetics_jax.tasks.base import Grade, Grader, InlineGrader, Task
from kinetics_jax.tasks.registry import load, name_of, names

__all__ = ["Grade", "Grader", "InlineGrader", "Task", "load", "name_of", "names"]
