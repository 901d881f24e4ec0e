"""Tasks by name: what there is, what is refused, and that looking costs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from kinetics_jax import tasks
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.records import Problem
from kinetics_jax.tasks import catalog

ROOT = Path(__file__).resolve().parents[2]


def test_the_papers_benchmarks_are_there():
    assert {"aime24", "aime25", "amc23", "gsm8k", "math500", "livecodebench_v5"} <= set(tasks.names())


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean math500"):
        tasks.load("math-500")


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_a_limit_is_a_whole_number(limit, write_rows):
    with pytest.raises(InputError, match="limit="):
        tasks.load("aime24", write_rows([{"problem": "q", "answer": "1"}]), limit=limit)


def test_an_option_of_another_task_is_refused(write_rows):
    path = write_rows([{"problem": "q", "answer": "1"}])
    with pytest.raises(InputError, match="aime24 has no option unsafe_local_exec; it has none"):
        tasks.load("aime24", path, unsafe_local_exec=True)


NEW_TASK = '''
"""HMMT February 2025: 30 problems, answers in LaTeX."""

from kinetics_jax.tasks.maths import benchmark


def load(path=None, limit=None):
    return benchmark("hmmt25", path=path, limit=limit, hub=("owner/data", "train"), form="latex")
'''


def test_a_new_task_is_one_file(tmp_path, monkeypatch, write_rows):
    (tmp_path / "hmmt25.py").write_text(NEW_TASK)
    monkeypatch.setattr(catalog, "__path__", [*catalog.__path__, str(tmp_path)])
    assert "hmmt25" in tasks.names()
    rows = [{"id": str(n), "problem": "q", "answer": "1"} for n in range(3)]
    task = tasks.load("hmmt25", write_rows(rows), limit=2)
    assert [(p.task, p.problem_id) for p in task.problems] == [("hmmt25", "0"), ("hmmt25", "1")]
    # What the documentation tells people to write is what was tried here.
    shown = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    assert NEW_TASK.strip() in shown


def test_a_task_of_ones_own_is_a_file_by_its_path(tmp_path, write_rows):
    (tmp_path / "hmmt25.py").write_text(NEW_TASK)
    file = f"{tmp_path}/hmmt25.py"
    task = tasks.load(file, write_rows([{"problem": "q", "answer": "1"}]))
    assert (task.name, tasks.name_of(file), tasks.name_of("aime24")) == ("hmmt25", "hmmt25", "aime24")
    with pytest.raises(InputError, match="has no option seed; it has none"):
        tasks.load(file, seed=3)
    with pytest.raises(InputError, match="there is no file"):
        tasks.load(f"{tmp_path}/none.py")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(InputError, match="has no load; define it there"):
        tasks.load(f"{tmp_path}/empty.py")


def test_looking_and_loading_import_nothing_heavy(write_rows):
    path = write_rows([{"problem": "q", "answer": "1"}])
    code = (
        "import sys, kinetics_jax.tasks as tasks\n"
        "before = set(sys.modules)\n"
        "tasks.names()\n"
        "assert set(sys.modules) == before\n"
        f"tasks.load('aime24', {str(path)!r})\n"
        "heavy = {'jax', 'sympy', 'math_verify', 'datasets', 'huggingface_hub', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def grade_length(problem, text):
    return tasks.Grade(correct=len(text) == problem.answer, answer=text)


def test_an_inline_task():
    problems = tuple(Problem(task="length", problem_id=str(n), prompt=(n,), answer=n) for n in range(3))
    task = tasks.Task(name="length", problems=problems, grader=tasks.InlineGrader(grade_length))
    assert task.grade(problems[2], "ab") == tasks.Grade(correct=True, answer="ab")
    grades = task.grade_many(((p, "a") for p in problems), workers=2)
    assert [g.correct for g in grades] == [False, True, False]
    with pytest.raises(InputError, match="workers=0"):
        task.grade_many([], workers=0)


def test_a_task_has_problems_and_each_once():
    grader = tasks.InlineGrader(grade_length)
    with pytest.raises(InputError, match="no problems"):
        tasks.Task(name="t", problems=(), grader=grader)
    one = Problem(task="t", problem_id="1", prompt="q")
    with pytest.raises(InputError, match="'1' is there twice"):
        tasks.Task(name="t", problems=(one, one), grader=grader)
    with pytest.raises(InputError, match="max_tokens=0"):
        tasks.Task(name="t", problems=(one,), grader=grader, max_tokens=0)
