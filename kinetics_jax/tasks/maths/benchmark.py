"""A benchmark of questions with short answers as a task: prompt, known answer, grader."""

import decimal
import math
import os
import re
from collections.abc import Iterator
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
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
        InputError: the problems cannot be read; the text says where and how to fix it.
    """
    found: Iterator[tuple[str, rows.Row]]
    if path is None:
        found = ((f"{hub[0]} {n}", row) for n, row in enumerate(rows.from_hub(*hub, limit), 1))
    else:
        found = rows.from_file(path, (name, *files), limit)
    problems: list[Problem] = []
    places: dict[str, str] = {}
    for index, (where, row) in enumerate(found):
        problem = _problem(name, row, index, where)
        first = places.setdefault(problem.problem_id, where)
        if first != where:
            raise InputError(f"{where}: problem {problem.problem_id!r} is there twice, see {first}")
        problems.append(problem)
    if not problems:
        raise InputError(f"{hub[0] if path is None else path}: holds no problems")
    return Task(name=name, problems=tuple(problems), grader=MathGrader(form), max_tokens=max_tokens)


_QUESTION = ("problem", "question")
_ID = ("id", "problem_id", "unique_id")


def _problem(name: str, row: dict[str, Any], index: int, where: str) -> Problem:
    where = f"{where}: problem {index + 1}"
    question = next((row[key] for key in _QUESTION if row.get(key)), None)
    if not isinstance(question, str):
        raise InputError(f"{where} lacks {' or '.join(_QUESTION)}")
    identifier = next((row[key] for key in _ID if row.get(key) not in (None, "")), f"{name}-{index}")
    if not isinstance(identifier, str | int | float):
        raise InputError(f"{where}: its id must be a text or a number, not {_kind(identifier)}")
    used = {*_QUESTION, *_ID, "answer"}
    return Problem(
        task=name,
        problem_id=str(identifier),
        prompt=f"{PROMPT}\n\n{question}",
        answer=known_answer(row.get("answer"), where),
        extra={key: value for key, value in row.items() if key not in used},
    )


_LIST_OF_ONE = re.compile(r"""\[\s*(?:'([^']*)'|"([^"]*)")\s*,?\s*\]""")
_WRITTEN_LIST = re.compile(r"""[\[({]\s*['"]""")


def known_answer(value: Any, where: str) -> str:
    """The text that answers are compared with.

    A number is written out as it stands; a list of one answer is that answer, also where it was
    written as text (``"['70']"``). Everything else is refused: graded as text, it would turn every
    right answer into a wrong one.

    Raises:
        InputError: a value that is not one answer; the text opens with ``where``.
    """
    if isinstance(value, list) and len(value) == 1:
        return known_answer(value[0], where)
    if isinstance(value, float) and math.isfinite(value):
        return f"{decimal.Decimal(repr(value)):f}"  # 1e-08 is not what an answer looks like
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # GSM8K as published gives the solution and, after ####, the answer.
    text = value.rpartition("####")[2].strip() if isinstance(value, str) else ""
    one = _LIST_OF_ONE.fullmatch(text)
    if one:
        text = (one[1] or one[2] or "").strip()
    if text and not _WRITTEN_LIST.match(text):
        return text
    if value is None or value == "" or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where} lacks answer")
    raise InputError(
        f"{where}: its answer must be a text, a number or a list of one of them, "
        f"not {_kind(value)}: {str(value)[:60]!r}"
    )


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    names = {dict: "an object", bool: "true or false", float: "this number", str: "this text"}
    return names.get(type(value), "null")
