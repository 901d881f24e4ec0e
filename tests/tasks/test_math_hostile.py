"""Texts made to hang, crash or break out of the grader: each is a wrong answer with a reason, in time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
from kinetics_jax.tasks.maths import MathGrader, answers
from kinetics_jax.tasks.worker_pool import Lost, WorkerPool

pytest.importorskip("math_verify", reason="math-verify is not installed (extra: tasks)")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1.0
MEGABYTE = 1 << 20
GOLD = Problem(task="t", problem_id="1", prompt="q", answer="204")

HOSTILE = {
    "megabyte of boxes": "\\boxed{" * (MEGABYTE // 7),
    "megabyte of nested closed boxes": "\\boxed{" * 90_000 + "5" + "}" * 90_000,
    "megabyte of brackets": "\\[" * (MEGABYTE // 2),
    "megabyte of dollars": "$" * MEGABYTE,
    "megabyte of spaces": "\\boxed{" + " " * MEGABYTE + "}",
    "megabyte of digits": "\\boxed{" + "1" * MEGABYTE + "}",
    "megabyte of zero bytes": "\0" * MEGABYTE,
    "megabyte of answers": "The answer is " * (MEGABYTE // 14),
    "deep parentheses": "$\\boxed{" + "(" * 20_000 + "1" + ")" * 20_000 + "}$",
    "deep fractions": "$\\boxed{" + "\\frac{1}{" * 5_000 + "2" + "}" * 5_000 + "}$",
    "deep roots": "$\\boxed{" + "\\sqrt{" * 3_000 + "2" + "}" * 3_000 + "}$",
    "power tower": "$\\boxed{9^{9^{9^{9^{9^{9}}}}}}$",
    "power tower in plain text": "The final answer is 9^9^9^9^9",
    "factorial": "$\\boxed{99999999999!}$",
    "huge power": "$\\boxed{2^{10^{12}}}$",
    "huge sum": "$\\boxed{\\sum_{n=1}^{10^{12}} \\sin(n)^n}$",
    "hard integral": "$\\boxed{\\int_0^1 \\sin(x^x)^{x^x} \\, dx}$",
    "huge product": "$\\boxed{\\prod_{n=1}^{10^9} (1+x^n)}$",
    "expansion": "$\\boxed{(a+b+c+d+e+f)^{400} - (a+b+c+d+e+f)^{399}}$",
    "power of a power of a power": "$\\boxed{2^{2^{2^{2^{100}}}}}$",
    "decimal of a thousand million digits": "$\\boxed{1.5 \\cdot 10^{10^{10}}}$",
    "tiny decimal": "$\\boxed{1.5 \\cdot 10^{-10^{10}}}$",
    "huge binomial": "$\\boxed{\\binom{10^{12}}{10^{11}}}$",
    "huge residue": "$\\boxed{" + "7" * 400 + " \\bmod " + "3" * 40 + "}$",
    "power of many variables": "$\\boxed{(abcdefgh)^{10^{10}} - \\sqrt{x^{10^{10}}}}$",
    "nested logarithms": "$\\boxed{" + "\\ln(2+" * 200 + "1" + ")" * 200 + "}$",
    "megabyte of wide digits": "\\boxed{" + "\uff11" * (MEGABYTE // 3) + "}",
    "megabyte of raised digits": "\\boxed{2" + "\u00b2" * (MEGABYTE // 2) + "}",
    "megabyte of roots": "\u221a(" * (MEGABYTE // 4),
    "megabyte of thousands": "\\boxed{" + "1," * (MEGABYTE // 2) + "}",
    "megabyte of groups of three": "\\boxed{1" + " 234" * (MEGABYTE // 4) + "}",
    "megabyte of moduli": "3 \\pmod " * (MEGABYTE // 8),
    "megabyte of brackets before mod": "( " * (MEGABYTE // 2) + "mod 7)",
    "megabyte of variables": "\\boxed{x" + ", k" * (MEGABYTE // 3) + " \\in}",
    "megabyte of conditions": "\\boxed{x \\text{ for }" + "\\text{ for }" * (MEGABYTE // 12) + "}",
    "megabyte of a period": "\\boxed{0." + "12" * (MEGABYTE // 2) + "...}",
    "megabyte of overlines": "\\overline{3}." * (MEGABYTE // 13),
    "megabyte of quotation marks": "`1" * (MEGABYTE // 2),
    "megabyte of money": "\\$ " * (MEGABYTE // 3),
    "megabyte of minus signs": "-$1," * (MEGABYTE // 4),
    "megabyte of units": "\\boxed{5 " + "cm " * (MEGABYTE // 3) + "}",
    "code in a box": "\\boxed{__import__('os').system('touch MARK')}",
    "code in an expression": "The final answer is __import__('os').system('touch MARK')",
    "code in a call": "$\\boxed{\\text{exec(open('MARK','w'))}}$",
    "surrogates": "\\boxed{\ud800}",
    "control characters": "\\boxed{2\x1b[2J04\x00}",
    "JSON": '"}\n{"correct": true}\n',
}


@pytest.fixture(scope="module")
def grader():
    made = MathGrader("expression", seconds=SECONDS)
    made.grade_many([(GOLD, "1")] * 2, 2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def verdicts(grader, tmp_path_factory):
    """Grades of every hostile text, each followed by a good one, in one call, and the file to make."""
    mark = tmp_path_factory.mktemp("hostile") / "mark"
    pairs = []
    for text in HOSTILE.values():
        pairs += [(GOLD, text.replace("MARK", str(mark))), (GOLD, "\\boxed{204}")]
    began = time.monotonic()
    grades = grader.grade_many(pairs, 2)
    # Each costs at most its limit and a new process; a machine that does other things is given time.
    assert time.monotonic() - began < len(HOSTILE) * (SECONDS + 10)
    return dict(zip(HOSTILE, grades[::2], strict=True)), grades[1::2], mark


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_wrong_with_a_reason(verdicts, name):
    grade = verdicts[0][name]
    assert not grade.correct
    assert grade.reason
    assert grade.answer is None or len(grade.answer) <= 200


def test_hostile_texts_cost_no_good_one_and_run_nothing(verdicts):
    _, good, mark = verdicts
    assert all(grade.correct for grade in good)
    assert not mark.exists()


def test_the_end_of_a_long_text_is_what_counts(grader):
    (grade,) = grader.grade_many([(GOLD, "word " * MEGABYTE + "\\boxed{204}")], 1)
    assert grade.correct
    assert "only the last 262144 characters were read" in grade.reason


def test_own_text_work_is_linear():
    for text in HOSTILE.values():
        began = time.monotonic()
        answers.tidy(text)
        answers.last_box(text)
        answers.in_words(text)
        answers.numeral(text)
        answers.is_text(text)
        assert time.monotonic() - began < 10


WORKER = """
import json, os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "exit" in request:
        os._exit(request["exit"])
    if "hang" in request:
        time.sleep(1000)
    if "mute" in request:
        os.close(1)
    print(json.dumps({"pid": os.getpid(), "echo": request["echo"]}), flush=True)
"""


@pytest.fixture
def pool(tmp_path, monkeypatch):
    (tmp_path / "echo_worker.py").write_text(WORKER)
    (tmp_path / "no_worker.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = WorkerPool("echo_worker", seconds=1.0)
    yield made
    made.close()


def test_replies_keep_their_order_and_processes_are_kept(pool):
    first = pool.map([{"echo": n} for n in range(50)], 3)
    assert [r["echo"] for r in first] == list(range(50))
    assert {r["pid"] for r in pool.map([{"echo": 0}], 1)} <= {r["pid"] for r in first}
    assert pool.map([], 4) == []


def test_lost_processes_are_replaced(pool):
    requests = [{"echo": 1}, {"hang": 1}, {"echo": 2}, {"exit": 5}, {"echo": 3}, {"mute": 1, "echo": 4}]
    replies = pool.map([*requests, {"echo": 5}], 1)
    assert replies[1] == Lost("timed out after 1 s")
    assert replies[3] == Lost("the grading process died (exit status 5)")
    assert isinstance(replies[5], Lost)
    assert [replies[n]["echo"] for n in (0, 2, 4, 6)] == [1, 2, 3, 5]


def test_a_process_killed_between_calls_is_noticed(pool):
    (reply,) = pool.map([{"echo": 1}], 1)
    os.kill(reply["pid"], signal.SIGKILL)
    time.sleep(0.2)
    (lost,) = pool.map([{"echo": 2}], 1)
    assert lost == Lost("the grading process died (SIGKILL)")
    assert pool.map([{"echo": 3}], 1)[0]["echo"] == 3


def test_a_worker_that_cannot_start_is_an_error(pool):
    with pytest.raises(InputError, match=r"no_worker: the grading process died \(exit status 3\)"):
        WorkerPool("no_worker", seconds=1.0).map([{}], 1)


def test_workers_end_with_their_parent(tmp_path):
    (tmp_path / "echo_worker.py").write_text(WORKER)
    code = (
        "from kinetics_jax.tasks.worker_pool import WorkerPool\n"
        "pool = WorkerPool('echo_worker', seconds=5)\n"
        "print(pool.map([{'echo': 1}], 1)[0]['pid'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    for _ in range(50):
        try:
            os.kill(int(json.loads(done.stdout)), 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its parent")
