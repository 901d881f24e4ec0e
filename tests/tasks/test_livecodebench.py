"""LiveCodeBench from its published form to verdicts."""

import base64
import json
import pickle
import zlib

import pytest

from kinetics_jax import tasks
from kinetics_jax.errors import InputError
from kinetics_jax.tasks.catalog.livecodebench_v5 import prompt
from kinetics_jax.tasks.programs import SandboxError, sandbox


def row(name, public, private, function=None, starter="", pack=False):
    def stored(cases):
        kind = "stdin" if function is None else "functional"
        return json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in cases])

    hidden = stored(private)
    if pack:
        hidden = base64.b64encode(zlib.compress(pickle.dumps(hidden))).decode()
    return {
        "question_id": name,
        "question_title": name,
        "question_content": f"What is {name}?",
        "starter_code": starter,
        "difficulty": "easy",
        "platform": "atcoder",
        "contest_id": "c1",
        "contest_date": "2024-10-12T00:00:00",
        "public_test_cases": stored(public),
        "private_test_cases": hidden,
        "metadata": json.dumps({"func_name": function} if function else {}),
    }


STARTER = "class Solution:\n    def total(self, xs: List[int]) -> int:\n        "
ROWS = [
    row("double", [("1\n", "2\n")], [("2\n", "4\n"), ("5\n", "10\n")], pack=True),
    row("total", [("[1, 2]", "3")], [("[]", "0")], "total", STARTER, pack=True),
]


def fenced(program):
    return f"<think>```python\nprint('no')\n```</think>I would say\n```python\n{program}\n```\n"


@pytest.fixture(params=["sandbox", "unsafe"])
def task(request, write_rows):
    if request.param == "sandbox" and sandbox.unavailable():
        pytest.skip(f"no sandbox here: {sandbox.unavailable()}")
    unsafe = request.param == "unsafe"
    return tasks.load("livecodebench_v5", write_rows(ROWS), unsafe_local_exec=unsafe, seconds=2)


def test_problems(task):
    double, total = task.problems
    assert (double.problem_id, double.task) == ("double", "livecodebench_v5")
    assert double.prompt == prompt("What is double?", None)
    assert total.prompt == prompt("What is total?", STARTER)
    assert "```python\n# YOUR CODE HERE\n```" in double.prompt
    assert f"```python\n{STARTER}\n```" in total.prompt
    assert double.extra["difficulty"] == "easy"
    assert "private_test_cases" not in double.extra


def test_verdicts(task):
    double, total = task.problems
    asked = [
        (double, fenced("print(2 * int(input()))"), True, "passed 3 tests"),
        (double, fenced("print(int(input()) + 1)"), False, "test 2 of 3: wrong output"),
        (double, fenced("print(2 * n)"), False, "test 1 of 3: exit status 1 NameError: name 'n'"),
        (double, fenced("while True: pass"), False, "test 1 of 3: timed out (2 s of CPU, 6 s in all)"),
        (double, fenced("import os\nos.kill(os.getpid(), 11)"), False, "1 of 3: killed by SIGSEGV"),
        (double, "print(2 * int(input()))", False, "no program found"),
        (double, fenced("  "), False, "no program found"),
        (double, fenced("x = 1\n" * 60_000), False, "program longer than 262144 characters"),
        (total, fenced(STARTER + "return sum(xs)"), True, "passed 2 tests"),
        (total, fenced(STARTER + "return len(xs) + 1"), False, "test 2 of 2: wrong output"),
        (total, fenced("def total(xs): return sum(xs)"), True, "passed 2 tests"),
        (total, fenced("print(3)"), False, "test 1 of 2: exit status 1 NameError: the program def"),
    ]
    grades = task.grade_many(((p, text) for p, text, _, _ in asked), workers=2)
    for (_, _, right, why), grade in zip(asked, grades, strict=True):
        assert grade.correct == right, grade.reason
        assert why in grade.reason
        assert "\n" not in grade.reason
    assert grades[0].answer == "print(2 * int(input()))"


def test_an_expected_output_cannot_be_forged(task):
    """The usual tricks: objects equal to everything, a result written past the driver."""
    equal = "class Any(list):\n  def __eq__(self, other): return True\n  __hash__ = None\n"
    texts = [
        fenced(equal + "def total(xs): return Any([7])"),
        fenced("import os\ndef total(xs):\n  os.write(3, b'3')\n  return 99"),
        fenced("import os\ndef total(xs):\n  os.write(1, b'3')\n  os._exit(0)"),
        fenced("import json\njson.dump = lambda *a, **k: None\ndef total(xs): return 3"),
    ]
    assert not any(task.grade(task.problems[1], text).correct for text in texts)


def test_prompts_without_tests_can_be_asked_but_not_graded(benchmarks):
    task = tasks.load("livecodebench_v5", benchmarks)
    assert len(task.problems) == 279
    with pytest.raises(InputError, match="livecodebench_v5/abc365_b has no tests"):
        task.grade(task.problems[0], fenced("print(1)"))


def test_our_prompt_is_the_one_that_others_used(benchmarks):
    lines = (benchmarks / "livecodebench_v5_prompts.jsonl").read_text().splitlines()
    checked = 0
    for published in (json.loads(line)["prompt"] for line in lines):
        question, split, _ = published.partition("\n\nRead the inputs from stdin solve")
        if split and question.count("Question: ") == 1:
            checked += 1
            assert prompt(question.partition("Question: ")[2], None) == published
    assert checked > 100


def test_without_a_sandbox_nothing_is_run(write_rows, monkeypatch):
    monkeypatch.setattr(sandbox, "unavailable", lambda: "bubblewrap is not installed")
    task = tasks.load("livecodebench_v5", write_rows(ROWS))
    with pytest.raises(SandboxError, match=r"bubblewrap is not installed.*unsafe_local_exec=True"):
        task.grade(task.problems[0], fenced("print(1)"))


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"metadata": "["}, "metadata is not a JSON object"),
        ({"question_id": None}, "lacks question_id"),
        ({"public_test_cases": 5}, "lacks public_test_cases"),
        ({"private_test_cases": [{"input": "1", "output": "2"}]}, "lacks private_test_cases"),
        ({"metadata": '{"func_name": ["f"]}'}, "func_name in its metadata must be a text"),
        ({"prompt": ["Say hi."], "id": 1}, "its prompt must be a text"),
        ({"prompt": "Say hi.", "id": None}, "lacks id"),
    ],
)
def test_a_broken_row_says_where(write_rows, wrong, what):
    with pytest.raises(InputError, match=f"problem 2.*{what}"):
        tasks.load("livecodebench_v5", write_rows([ROWS[0], ROWS[1] | wrong]))


def test_a_problem_with_an_empty_list_of_tests_is_not_passed(write_rows):
    task = tasks.load("livecodebench_v5", write_rows([row("none", [], [])]), unsafe_local_exec=True)
    with pytest.raises(InputError, match="empty list of tests"):
        task.grade(task.problems[0], fenced("print(1)"))
