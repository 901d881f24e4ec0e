"""Equal answers vote together: one text each, without a look at the right one."""

import pytest

from kinetics_jax import tasks
from kinetics_jax.tasks.registers import write_text
from kinetics_jax.tasks.registers.symbols import HALT


@pytest.fixture(scope="module")
def vote():
    pytest.importorskip("math_verify")
    from kinetics_jax.tasks.maths.worker import judge

    def text(answer):
        found = judge("7", "latex", rf"so \boxed{{{answer}}}")
        return found["answer"] if found.get("canonical") is None else found["canonical"]

    return text


@pytest.mark.parametrize(
    "same",
    [
        ("1/2", r"\frac{1}{2}", "0.5", ".50"),
        ("1,000", "1000", "1000.0"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("x+1", "1+x"),
        ("Friday", r"\text{friday}"),
        ("B", r"\text{(B)}"),
        (r"50\%", "50"),
        ("(3,4)", "(3, 4)"),
    ],
    ids=lambda same: same[0],
)
def test_equal_answers_are_one_text(vote, same):
    assert len({vote(answer) for answer in same}) == 1


def test_different_answers_are_different_texts(vote):
    answers = ("1/2", "1/3", "0.333", "2", "-2", "x", "2x", r"\sqrt{2}", "B", "C", "Friday", "(3,4)", "(4,3)")
    assert len({vote(answer) for answer in answers}) == len(answers)


def test_what_nobody_would_write_is_taken_as_it_stands(vote):
    assert vote("2^{100000000}") == "2^{100000000}"
    assert vote("e^{10^{60}}") == "exp(10**60)"  # no float holds it


def test_a_number_of_too_many_digits_costs_no_grade(vote):
    """Each part is small, and Python refuses to write the whole as text."""
    from kinetics_jax.tasks.maths.worker import judge

    assert vote("(2^{8})^{8}") == str(2**64)
    huge = "((2^{64})^{64})^{64}"
    assert judge(huge, "latex", rf"so \boxed{{{huge}}}")["correct"]
    assert vote(huge) != vote(huge.replace("2", "3"))


def test_a_register_machines_answer_is_its_whole_trace():
    task = tasks.load("registers", limit=3)
    problem = task.problems[0]
    right = task.grade(problem, write_text(problem.answer))
    other = task.grade(problem, write_text(task.problems[1].answer))
    cut = task.grade(problem, write_text(problem.answer[:-1]))
    assert right.vote == task.grade(problem, write_text(problem.answer)).vote != ""
    assert other.vote not in ("", right.vote)  # both end in halt, and are not the same answer
    assert problem.answer[-1] == HALT
    assert cut.vote == ""


def test_a_vote_is_the_answer_unless_the_grader_says_otherwise():
    assert tasks.Grade(correct=True, answer="12").vote == "12"
    assert tasks.Grade(correct=False).vote == ""
    assert tasks.Grade(correct=False, answer=r"\frac{1}{2}", canonical="1/2").vote == "1/2"
    assert tasks.Grade(correct=False, answer="halt", canonical="").vote == ""
