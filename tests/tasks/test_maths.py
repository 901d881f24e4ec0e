"""Final answers: a table of pairs with the verdict a mathematician gives, and what must always hold."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinetics_jax import tasks
from kinetics_jax.errors import InputError
from kinetics_jax.records import Problem
from kinetics_jax.tasks.maths import MathGrader, answers
from kinetics_jax.tasks.maths.benchmark import PROMPT

pytest.importorskip("math_verify", reason="math-verify is not installed (extra: tasks)")

TABLE = Path(__file__).with_name("math_pairs.tsv").read_text("utf-8").splitlines()
PAIRS = [dict(zip(TABLE[0].split("\t"), line.split("\t"), strict=True)) for line in TABLE[1:]]


@pytest.fixture(scope="module")
def graders():
    made = {form: MathGrader(form) for form in ("expression", "latex")}
    yield made
    for grader in made.values():
        grader.close()


def problem(gold):
    return Problem(task="t", problem_id="1", prompt="q", answer=gold)


def test_the_table_is_large_and_has_both_verdicts():
    assert len(PAIRS) >= 1100
    assert len({(p["form"], p["gold"], p["text"]) for p in PAIRS}) == len(PAIRS)
    assert {p["verdict"] for p in PAIRS} == {"right", "wrong"}


@pytest.mark.parametrize("form", ["expression", "latex"])
def test_verdicts_of_the_table(graders, form):
    pairs = [p for p in PAIRS if p["form"] == form]
    grades = graders[form].grade_many(
        [(problem(p["gold"]), p["text"].replace("⏎", "\n")) for p in pairs], workers=2
    )
    differ = {
        (p["gold"], p["text"])
        for p, grade in zip(pairs, grades, strict=True)
        if grade.correct != (p["verdict"] == "right")
    }
    # A known disagreement that vanishes is good news: take its remark out of the table.
    assert differ == {(p["gold"], p["text"]) for p in pairs if p["disagreement"]}
    assert all(grade.reason and "\n" not in grade.reason for grade in grades)


@pytest.mark.parametrize(
    ("name", "count"), [("aime24", 30), ("aime25", 30), ("amc23", 40), ("math500", 500), ("gsm8k", 1319)]
)
def test_every_known_answer_equals_itself(benchmarks, name, count):
    task = tasks.load(name, benchmarks)
    assert len(task.problems) == count
    grades = task.grade_many(
        (
            p,
            f"<think>Is it 31337?</think> Therefore, the final answer is: $\\boxed{{{p.answer}}}$. "
            "I hope it is correct.",
        )
        for p in task.problems
    )
    wrong = [(p.answer, g) for p, g in zip(task.problems, grades, strict=True) if not g.correct]
    assert not wrong


@pytest.mark.parametrize("name", ["aime24", "aime25", "amc23", "gsm8k"])
def test_every_known_answer_differs_from_its_neighbour(benchmarks, name):
    task = tasks.load(name, benchmarks, limit=200)
    grades = task.grade_many(
        (p, f"\\boxed{{{int(p.answer.replace(',', '').split('.')[0]) + 1}}}") for p in task.problems
    )
    assert not any(g.correct for g in grades)


def test_known_answers_of_different_problems_are_told_apart(benchmarks):
    task = tasks.load("math500", benchmarks, limit=150)
    pairs = list(zip(task.problems, task.problems[1:], strict=False))
    grades = task.grade_many((p, f"$\\boxed{{{q.answer}}}$") for p, q in pairs)

    def plain(answer):
        return re.sub(r"\\left|\\right|\\[,!]|\s|dfrac|tfrac|\$|^[a-z]=", "", answer)

    alike = [(p.answer, q.answer) for (p, q), g in zip(pairs, grades, strict=True) if g.correct]
    assert [pair for pair in alike if plain(pair[0]) != plain(pair[1])] == []


whole = st.integers(-(10**12), 10**12)
fraction = st.builds(Fraction, st.integers(-999, 999), st.integers(1, 99))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(whole, whole)
def test_whole_numbers_equal_iff_they_are(graders, gold, said):
    grade = graders["expression"].grade_many([(problem(gold), f"so $\\boxed{{{said:,}}}$")], 1)[0]
    assert grade.correct == (gold == said)
    same = graders["expression"].grade_many([(problem(gold), f"so $\\boxed{{{gold:,}}}$")], 1)[0]
    assert same.correct


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fraction, fraction, st.integers(2, 9))
def test_fractions_equal_iff_they_are(graders, gold, said, scale):
    def latex(x, scale=1):
        return rf"\frac{{{x.numerator * scale}}}{{{x.denominator * scale}}}"

    texts = [rf"$\boxed{{{latex(said)}}}$", rf"$\boxed{{{latex(gold, scale)}}}$"]
    other, same = graders["latex"].grade_many([(problem(latex(gold)), t) for t in texts], 1)
    assert other.correct == (gold == said)
    assert same.correct


def test_what_is_read_is_reported(graders):
    def grade(text):
        return graders["expression"].grade_many([(problem("7"), text)], 1)[0]

    assert grade("\\boxed{5}, no, \\boxed{7}").answer == "7"
    assert grade("\\boxed{8}") == tasks.Grade(correct=False, answer="8", reason="is not 7")
    assert grade("The final answer is 7.").answer == "7"
    assert grade("no idea") == tasks.Grade(correct=False, answer=None, reason="no answer found")
    assert grade("") == tasks.Grade(correct=False, answer=None, reason="no answer found")


def test_without_math_verify_it_says_what_to_install(monkeypatch):
    from kinetics_jax.tasks.maths import grader

    monkeypatch.setattr(grader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"kinetics-jax\[tasks\]"):
        MathGrader("latex").grade_many([(problem("7"), "7")], 1)
    with pytest.raises(InputError, match="form='roman'"):
        MathGrader("roman")


def test_prompt_asks_for_the_sentence_that_is_read():
    assert "$\\boxed{ANSWER}$. I hope it is correct" in PROMPT


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\boxed{1}", ["1"]),
        (r"\boxed {1} and \boxed{\frac{1}{2}}", ["1", r"\frac{1}{2}"]),
        (r"\boxed{a \boxed{b} c}", [r"a \boxed{b} c"]),
        (r"\boxed{\{1,2\}}", [r"\{1,2\}"]),
        (r"\boxed{\left\{1\right\}} {x", [r"\left\{1\right\}"]),
        (r"\boxed{cut", []),
        (r"}}} \boxed{1}", ["1"]),
        (r"\boxed 5", []),
    ],
)
def test_boxes(text, found):
    assert [text[a:b] for a, b in answers.boxes(text)] == found


@given(st.text(alphabet="{}\\boxed ab", max_size=60))
def test_boxes_are_balanced_disjoint_and_in_order(text):
    at = 0
    for start, end in answers.boxes(text):
        assert at <= start <= end
        assert text[end] == "}"
        assert answers.boxes(rf"\boxed{{{text[start:end]}}}")
        at = end


@given(st.text(max_size=200))
def test_tidying_text_never_fails_and_keeps_plain_words(text):
    answers.in_words(text)
    answers.numeral(text)
    answers.is_text(text)
    assert isinstance(answers.tidy(text), str)
    assert answers.tidy("the value is 12 there") == "the value is 12 there"
