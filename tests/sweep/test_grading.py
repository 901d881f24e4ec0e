"""Cutting and grading of stored samples: exact, once each, again when asked, while decoding goes on."""

import dataclasses
import threading

import pytest

from kinetics_jax.engine.sample_log import SampleLog
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense
from kinetics_jax.records import Problem
from kinetics_jax.records.sample import Sample
from kinetics_jax.sweep.experiment import Cell
from kinetics_jax.sweep.grading import BackgroundGrading, CellGrader, read_grades
from kinetics_jax.sweep.options import read
from kinetics_jax.sweep.results import grade_missing, write_records
from kinetics_jax.sweep.shares import cell_folder
from kinetics_jax.sweep.shorter_caps import cut
from kinetics_jax.tasks import Grade, InlineGrader, Task


def decode(tokens):
    return " ".join(map(str, tokens))


def sample(problem="q0", trial=0, tokens=10, **more):
    ids = tuple(range(tokens))
    fields = {
        "task": "gsm8k",
        "problem_id": problem,
        "trial": trial,
        "prompt_tokens": 5,
        "tokens": ids,
        "text": decode(ids),
        "finish_reason": "stop",
        "model": "tiny-dense",
        "max_tokens": 16,
    }
    return Sample(**(fields | more))


class Counting:
    """A grader that says whether a text ends in 9, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, problem, text):
        self.asked.append((problem.problem_id, text))
        return Grade(correct=text.endswith("9"), answer=text[-1:], reason="looked")


@pytest.fixture
def judged():
    grader = Counting()
    problems = tuple(Problem(task="gsm8k", problem_id=f"q{i}", prompt="?", answer="9") for i in range(3))
    return grader, Task(name="gsm8k", problems=problems, grader=InlineGrader(grader), max_tokens=16)


@pytest.fixture
def experiment():
    return read(
        {
            "models": ("tiny-dense=random",),
            "tasks": ("gsm8k",),
            "trials": 4,
            "max_tokens": 16,
            "lengths": (4, 10, 12, 99),
            "report": False,
        }
    )


@pytest.fixture
def grader_of(experiment, judged, tmp_path):
    def make(**options):
        return CellGrader(
            experiment, experiment.cells[0], judged[1], tmp_path, decode=lambda: decode, **options
        )

    return make


@pytest.mark.parametrize("length", [1, 9, 10, 11])
def test_a_cut_sample_is_what_the_shorter_cap_would_have_made(length):
    short = cut(sample(tokens=10, logprobs=(-1.0,) * 10), length, decode)
    assert short.max_tokens == length
    assert short.tokens == tuple(range(min(10, length)))
    assert short.text == decode(short.tokens)
    # An answer of 10 tokens needs an 11th step to draw its end.
    assert short.finish_reason == ("stop" if length > 10 else "length")
    assert len(short.logprobs) == len(short.tokens)
    assert dataclasses.replace(short, max_tokens=16) == sample(logprobs=(-1.0,) * 10) or length < 11


def test_a_sample_is_graded_at_every_cap_and_judged_once_a_text(grader_of, judged, experiment, tmp_path):
    grader = grader_of()
    grader.grade([sample(tokens=10), sample("q1", tokens=3)])
    grades = read_grades(cell_folder(tmp_path, experiment.cells[0]))
    right = {key[1:]: record.correct for key, record in grades.items()}
    assert right == {
        ("q0", 0, 16): True,
        ("q0", 0, 12): True,
        ("q0", 0, 10): True,
        ("q0", 0, 4): False,
        ("q1", 0, 16): False,
        ("q1", 0, 12): False,
        ("q1", 0, 10): False,
        ("q1", 0, 4): False,
    }
    assert len(judged[0].asked) == 3  # ten tokens, four tokens, three tokens
    assert {record.generated_tokens for record in grades.values()} == {10, 4, 3}
    grader.grade([sample(tokens=10)])
    assert len(judged[0].asked) == 3


def store(tmp_path, experiment, samples):
    with SampleLog(cell_folder(tmp_path, experiment.cells[0])) as log:
        for one in samples:
            log.append(one)


def test_what_was_not_graded_is_graded_later_and_all_of_it_anew_when_asked(
    grader_of, judged, experiment, tmp_path
):
    samples = [sample(f"q{i % 3}", i // 3, tokens=i + 2) for i in range(9)]
    store(tmp_path, experiment, samples)
    first = grader_of()
    first.grade(samples[:4])
    first.close()
    before = len(judged[0].asked)
    tasks = {"gsm8k": judged[1]}
    grade_missing(tmp_path, experiment, tasks, lambda cell: decode)
    assert {text for _, text in judged[0].asked[before:]}.isdisjoint({samples[0].text})
    path = write_records(tmp_path, experiment)
    records = path.read_text()
    assert len(records.splitlines()) == 9 * 4
    judged[0].asked.clear()
    grade_missing(tmp_path, experiment, tasks, lambda cell: decode, anew=True)
    assert {text for _, text in judged[0].asked} >= {one.text for one in samples}
    assert write_records(tmp_path, experiment).read_text() == records


def test_a_sample_of_no_known_problem_is_named(grader_of):
    with pytest.raises(InputError, match="problem 'q7'"):
        grader_of().grade([sample("q7")])


def test_without_a_tokenizer_texts_that_are_not_there_cannot_be_read(experiment, judged, tmp_path):
    grader = CellGrader(experiment, experiment.cells[0], judged[1], tmp_path, decode=lambda: None)
    with pytest.raises(InputError, match="has no tokenizer"):
        grader.grade([sample(text=None)])


def test_grading_does_not_hold_up_whoever_submits(grader_of, judged, experiment, tmp_path):
    gate, grader = threading.Event(), grader_of()
    slow = dataclasses.replace(
        judged[1], grader=InlineGrader(lambda p, t: gate.wait(30) and Grade(correct=True))
    )
    grader._task = slow
    background = BackgroundGrading()
    for number in range(8):
        background.submit(grader, sample("q0", number))  # returns though nothing is graded yet
    assert not grader.done
    gate.set()
    background.finish()
    assert len(grader.done) == 8 * 4


def test_an_error_in_grading_reaches_whoever_decodes(grader_of):
    background, grader = BackgroundGrading(), grader_of()
    background.submit(grader, sample("q7"))
    with pytest.raises(InputError, match="q7"):
        background.finish()


def test_abandoned_grading_stops_and_leaves_whole_files(grader_of, experiment, tmp_path):
    background, grader = BackgroundGrading(), grader_of()
    for number in range(200):
        background.submit(grader, sample("q0", number))
    background.abandon()
    grader.close()
    read_grades(cell_folder(tmp_path, experiment.cells[0]))


def test_two_policies_of_one_name_have_two_folders(tmp_path):
    options = {"models": ("tiny-dense=random",), "tasks": ("gsm8k",)}
    policies = (
        "topk(k=8)",
        "topk(k=8, local=2)",
        "topk(k=8, sink=2)",
        "dense",
        "sliding_window(8)",
        "block_topk(16, 4)",
        "quest(16, 4)",
        "block_topk(16, 4, dense_layers=0)",
    )
    cells = read(options | {"policies": policies}).cells
    assert len({str(cell_folder(tmp_path, cell)) for cell in cells}) == len(policies)
    assert isinstance(cells[3], Cell)
    assert cells[3].policy == Dense()
