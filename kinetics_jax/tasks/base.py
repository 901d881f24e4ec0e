"""What a task is: problems, and a grader that says whether a text solves one. No JAX."""

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem

Pair = tuple[Problem, str]
"""A problem and the text a model wrote for it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grade:
    """A verdict on one text."""

    correct: bool
    answer: str | None = None
    """What was read as the answer; None where nothing was found."""
    reason: str = ""
    """Why, in one line: what was compared, or what went wrong."""
    canonical: str | None = None
    """The answer as a text that all equal answers share, where ``answer`` itself is not that; empty where the
    text has nothing that could be voted for."""

    @property
    def vote(self) -> str:
        """What samples vote for when their answers are counted; empty where there is nothing."""
        return (self.answer or "") if self.canonical is None else self.canonical


class Grader(Protocol):
    """Judges texts. Never raises for what a model wrote: a bad text is a wrong answer with a reason."""

    def grade_many(self, pairs: Sequence[Pair], workers: int) -> list[Grade]:
        """One grade per pair, in order, on at most ``workers`` (≥ 1) processes."""
        ...


@dataclasses.dataclass(frozen=True)
class InlineGrader:
    """A grader for tasks whose check is a quick, trusted function of this library."""

    function: Callable[[Problem, str], Grade]

    def grade_many(self, pairs: Sequence[Pair], workers: int) -> list[Grade]:
        """See ``Grader``; runs in this process, one after the other."""
        del workers
        return [self.function(problem, text) for problem, text in pairs]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A benchmark: its problems and how their answers are judged."""

    name: str
    problems: tuple[Problem, ...]
    grader: Grader
    max_tokens: int = 30_768
    """Default cap on generated tokens: the paper's for mathematics (docs/paper_facts.md, "Sampling")."""

    def __post_init__(self) -> None:
        if not self.problems:
            raise InputError(f"task {self.name}: no problems")
        if self.max_tokens < 1:
            raise InputError(f"task {self.name}: max_tokens={self.max_tokens} must be ≥ 1")
        seen: set[str] = set()
        for problem in self.problems:
            if problem.problem_id in seen:
                raise InputError(f"task {self.name}: problem {problem.problem_id!r} is there twice")
            seen.add(problem.problem_id)

    def grade(self, problem: Problem, text: str) -> Grade:
        """Judge one text; for many, ``grade_many`` is faster."""
        return self.grade_many([(problem, text)], workers=1)[0]

    def grade_many(self, pairs: Iterable[Pair], workers: int | None = None) -> list[Grade]:
        """One grade per (problem, text), in order.

        Args:
            pairs: what was asked and what was written.
            workers: processes to use; None takes the CPUs this process may run on.

        Raises:
            InputError: ``workers`` below 1, or what the grader needs is not installed.
        """
        if workers is None:
            workers = _cpus()
        if workers < 1:
            raise InputError(f"workers={workers} must be ≥ 1")
        return self.grader.grade_many(list(pairs), workers)


def _cpus() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
