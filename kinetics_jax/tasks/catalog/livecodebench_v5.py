"""LiveCodeBench, release v5: 167 programming problems of late 2024, judged by running the answers."""

import json
import os
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
from kinetics_jax.tasks import rows
from kinetics_jax.tasks.base import Task
from kinetics_jax.tasks.programs import CodeGrader, Limits, StoredTests

NAME = "livecodebench_v5"
HUB = ("livecodebench/code_generation_lite", "test5.jsonl")
FILES = (NAME, "test5", f"{NAME}_prompts")

_TASK = (
    "You will be given a question (problem specification) and will generate a correct Python program "
    "that matches the specification and passes all tests.\n\nQuestion: {question}\n\n"
)
_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your "
    "code within delimiters.\n```python\n{starter}\n```\n\n"
)
_STDIN = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly "
    "test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the "
    "python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.\n"
    "```python\n# YOUR CODE HERE\n```\n\n"
)


def load(
    path: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    *,
    unsafe_local_exec: bool = False,
    seconds: float = 20.0,
) -> Task:
    """See ``kinetics_jax.tasks.load``.

    Args:
        path: the published file (test5.jsonl), a folder that holds it, or rows of {id, prompt},
            which can be decoded but not graded.
        limit: keep the first ``limit`` problems.
        unsafe_local_exec: run programs without a sandbox.
        seconds: CPU time of one test (docs/paper_facts.md, "Grading"), three times that by the clock.
    """
    file = rows.hub_file(*HUB) if path is None else path
    found = list(rows.from_file(file, FILES, limit))
    if not found:
        raise InputError(f"{file}: holds no problems")
    if not seconds > 0:
        raise InputError(f"seconds={seconds!r} must be positive")
    limits = Limits(seconds=seconds, clock_seconds=3 * seconds)
    grader = CodeGrader(limits, unsafe_local_exec=unsafe_local_exec)
    problems = tuple(_problem(row, f"{at}: problem {n}") for n, (at, row) in enumerate(found, 1))
    return Task(name=NAME, problems=problems, grader=grader, max_tokens=30_500)


def prompt(question: str, starter: str | None) -> str:
    """The user's turn, worded as in lighteval 0.10.0 (MIT), so that accuracies can be compared."""
    task = _TASK.replace("{question}", question)
    return task + (_STARTER.replace("{starter}", starter) if starter else _STDIN)


_PUBLISHED = ("question_id", "question_content", "public_test_cases", "private_test_cases")


def _problem(row: dict[str, Any], where: str) -> Problem:
    if "prompt" in row:
        rest = {key: value for key, value in row.items() if key not in ("id", "prompt")}
        if not isinstance(row.get("id"), str | int):
            raise InputError(f"{where} lacks id")
        if not isinstance(row["prompt"], str):
            raise InputError(f"{where}: its prompt must be a text")
        return Problem(task=NAME, problem_id=str(row["id"]), prompt=row["prompt"], extra=rest)
    missing = [key for key in _PUBLISHED if not isinstance(row.get(key), str)]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)} (a text each, as published)")
    try:
        function = json.loads(row.get("metadata") or "{}").get("func_name")
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise InputError(f"{where}: metadata is not a JSON object") from None
    if not isinstance(function, str | None):
        raise InputError(f"{where}: func_name in its metadata must be a text")
    tests = StoredTests(public=row["public_test_cases"], private=row["private_test_cases"], function=function)
    shown = ("question_title", "platform", "contest_id", "contest_date", "difficulty")
    return Problem(
        task=NAME,
        problem_id=row["question_id"],
        prompt=prompt(row["question_content"], row.get("starter_code")),
        answer=tests,
        extra={key: row[key] for key in shown if key in row},
    )
