"""Answers travel from a grader to cells: recorded, absent, and those that were looked for in vain."""

import io

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.records import SampleRecord
from kinetics_jax.records.sample import Sample
from kinetics_jax.scaling import group_cells, read_trials, write_csv
from kinetics_jax.scaling.traces.answers import NO_ANSWER, answer_codes


def record(trial, answer="12", correct=True, **more):
    fields = {"run": "r", "model": "qwen3-8b", "task": "t", "problem_id": "q", "prompt_tokens": 5}
    return SampleRecord(
        **fields, trial=trial, generated_tokens=9, correct=correct, answer=answer, **more
    ).to_json()


def cell_of(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    (cell,) = group_cells(read_trials(path))
    return cell


def test_a_record_keeps_its_answer_and_says_when_there_is_none():
    assert SampleRecord.from_json(record(0, "12")).answer == "12"
    assert SampleRecord.from_json(record(0, "", False)).answer == ""
    assert SampleRecord.from_json(record(0, None)).answer is None
    assert '"answer"' not in record(0, None)
    sample = Sample(
        task="t",
        problem_id="q",
        trial=0,
        prompt_tokens=1,
        tokens=(1,),
        finish_reason="stop",
        model="qwen3-8b",
    )
    assert sample.graded("r", True, answer="7", reason="equals 7").answer == "7"
    assert sample.graded("r", True).answer is None


def test_answers_that_earlier_versions_and_other_tools_wrote_are_read():
    old = record(0, "12").replace('"answer":"12"', '"answer":null')
    assert SampleRecord.from_json(old).answer == ""
    assert SampleRecord.from_json(record(0).replace('"answer":"12"', '"answer":12')).answer == "12"
    assert SampleRecord.from_json(record(0).replace('"answer":"12"', '"answer":[1, 2]')).answer == "[1,2]"
    with pytest.raises(InputError, match="answer=3 must be a text"):
        record(0, 3)


def test_a_cell_numbers_the_answers_of_each_question(tmp_path):
    cell = cell_of(
        tmp_path / "r.jsonl", record(0), record(1, "7", False), record(2, "", False), record(3), record(4)
    )
    assert cell.answers.tolist() == [[0, 1, NO_ANSWER, 0, 0]]
    assert cell.restrict(("q",)).answers.tolist() == cell.answers.tolist()


@pytest.mark.parametrize("lost", [record(1, None), record(1, "", True)], ids=["absent", "right without one"])
def test_one_answer_that_was_not_kept_makes_the_cell_unknown(tmp_path, lost):
    cell = cell_of(tmp_path / "r.jsonl", record(0), lost)
    assert cell.answers is None
    assert cell.restrict(("q",)).answers is None


def test_a_csv_may_have_a_column_of_answers_and_writes_it_again(tmp_path):
    text = (
        "model,dataset,problem_id,trial,gen_tokens,correct,answer\n"
        "qwen3-8b,t,q,0,9,1,12\nqwen3-8b,t,q,1,9,0,\nqwen3-8b,t,q,2,9,0,=1+1\nqwen3-8b,t,q,3,9,1,12\n"
    )
    (tmp_path / "t.csv").write_text(text)
    trials = read_trials(tmp_path / "t.csv")
    assert trials.answer.tolist() == ["12", "", "=1+1", "12"]
    out = io.StringIO()
    write_csv(trials, out)
    assert "'=1+1" in out.getvalue()  # no formula to a spreadsheet
    (tmp_path / "again.csv").write_text(out.getvalue())
    assert read_trials(tmp_path / "again.csv").answer.tolist() == trials.answer.tolist()


def test_a_csv_without_the_column_has_no_answers_and_gains_none(tmp_path):
    (tmp_path / "t.csv").write_text("model,dataset,problem_id,trial,gen_tokens,correct\nqwen3-8b,t,q,0,9,1\n")
    trials = read_trials(tmp_path / "t.csv")
    assert trials.answer.tolist() == [None]
    out = io.StringIO()
    write_csv(trials, out)
    assert "answer" not in out.getvalue()


def test_padding_is_no_sample():
    texts = np.array([["a", None], ["b", "b"]], dtype=object)
    codes = answer_codes(texts, np.array([[True, False], [True, True]]))
    assert codes.tolist() == [[0, NO_ANSWER], [0, 0]]
