"""A benchmark of questions with short answers as a task: prompt, known answer, grader."""

import os
from typing import Any

from kinetics_jax.spec import InputError, Problem
from kinetics_jax.tasks import rows
from kinetics_jax.tasks.base import Task
from kinetics_jax.tasks.maths.grader import MathGrader

PROMPT = (
    "Solve the following math problem efficiently and clearly.  The last line of your response "
    "should be of the following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope "
    "it is correct' (without quotes) where ANSWER is just the final number or expression that "
    "solves the problem. Think step by step before answering."
)
"""The instruction before every question, so that accuracies can be compared with the paper's: the
wording of MATH_QUERY_TEMPLATE in lighteval 0.10.0 (MIT), which it adapted from simple-evals and from
Llama 3's evaluations. Two spaces after the first sentence, as there."""


def benchmark(
    name: str,
    *,
    path: str | os.PathLike[str] | None,
    limit: int | None,
    hub: tuple[str, str],
    files: tuple[str, ...] = (),
    form: str = "expression",
    max_tokens: int = 30_768,
) -> Task:
    """The task called ``name``.

    Args:
        name: of the task, and of its file in a folder.
        path: JSON Lines file or folder; None downloads ``hub``.
        limit: keep the first ``limit`` problems.
        hub: data set and split on the Hugging Face hub.
        files: further file names (without ending) to look for in a folder.
        form: how known answers are written, see ``MathGrader``.
        max_tokens: default cap on generated tokens.

    Raises:
        InputError: the problems cannot be read; the text says where and how to mend it.
    """
    if path is None:
        found, where = iter(rows.from_hub(*hub, limit)), hub[0]
    else:
        found, where = rows.from_file(path, (name, *files), limit), str(path)
    problems = tuple(_problem(name, row, index, where) for index, row in enumerate(found))
    if not problems:
        raise InputError(f"{where}: holds no problems")
    return Task(name=name, problems=problems, grader=MathGrader(form), max_tokens=max_tokens)


_QUESTION = ("problem", "question")
_ID = ("id", "problem_id", "unique_id")


def _problem(name: str, row: dict[str, Any], index: int, where: str) -> Problem:
    question = next((row[key] for key in _QUESTION if row.get(key)), None)
    answer = row.get("answer")
    if not isinstance(question, str) or answer is None or not str(answer).strip():
        missing = "answer" if isinstance(question, str) else " or ".join(_QUESTION)
        raise InputError(f"{where}: problem {index + 1} lacks {missing}")
    # GSM8K as published gives the solution and, after ####, the answer.
    answer = str(answer).rpartition("####")[2].strip()
    identifier = next(
        (row[key] for key in _ID if row.get(key) not in (None, "")), f"{name}-{index}"
    )
    used = {*_QUESTION, *_ID, "answer"}
    return Problem(
        task=name,
        problem_id=str(identifier),
        prompt=f"{PROMPT}\n\n{question}",
        answer=answer,
        extra={key: value for key, value in row.items() if key not in used},
    )
