"""Benchmarks from files and from the hub: every field read, every fault one clear line."""

import gzip
import json
import sys
import types

import pytest

from kinetics_jax import tasks
from kinetics_jax.spec import InputError
from kinetics_jax.tasks import rows
from kinetics_jax.tasks.maths.benchmark import PROMPT

ROW = {"id": "a", "problem": "One?", "answer": "1", "level": 3}


def test_fields_of_a_row(write_rows):
    (problem,) = tasks.load("math500", write_rows([ROW])).problems
    assert problem.problem_id == "a"
    assert problem.task == "math500"
    assert problem.answer == "1"
    assert problem.extra == {"level": 3}
    assert problem.prompt == f"{PROMPT}\n\nOne?"


@pytest.mark.parametrize(
    ("task", "row", "answer"),
    [
        ("gsm8k", {"question": "q", "answer": "She sells 3.\n#### 1,018"}, "1,018"),
        ("gsm8k", {"id": "x", "problem": "q", "answer": "18", "solution": "#### 18"}, "18"),
        ("amc23", {"id": 0, "question": "q", "answer": 27.0}, "27.0"),
        ("aime24", {"id": 60, "problem": "q", "answer": "204", "solution": "s"}, "204"),
        ("math500", {"unique_id": "test/1", "problem": "q", "answer": r"\frac12"}, r"\frac12"),
    ],
)
def test_published_forms(task, row, answer, write_rows):
    (problem,) = tasks.load(task, write_rows([row])).problems
    assert problem.answer == answer
    identifier = row.get("id", row.get("unique_id", "gsm8k-0"))
    assert problem.problem_id == str(identifier)


def test_limit_folder_gzip_and_blank_lines(tmp_path):
    lines = [json.dumps(ROW | {"id": str(n)}) for n in range(5)]
    with gzip.open(tmp_path / "gsm8k_test.jsonl.gz", "wt") as file:
        file.write("\n\n".join(lines) + "\n")
    assert len(tasks.load("gsm8k", tmp_path).problems) == 5
    assert [p.problem_id for p in tasks.load("gsm8k", tmp_path, limit=2).problems] == ["0", "1"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "holds no problems"),
        ("{\n", ":1: not a JSON object"),
        (json.dumps(ROW) + "\n[1]\n", ":2: not a JSON object"),
        ("[" * 100_000, ":1: not a JSON object"),
        ('{"answer": "1"}\n', "problem 1 lacks problem or question"),
        ('{"problem": 5, "answer": "1"}\n', "problem 1 lacks problem or question"),
        ('{"problem": "q"}\n', "problem 1 lacks answer"),
        ('{"problem": "q", "answer": " "}\n', "problem 1 lacks answer"),
        (f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n", "'a' is there twice"),
    ],
)
def test_a_fault_is_one_line_that_says_where(content, what, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        tasks.load("aime24", path)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        tasks.load("aime24", tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"holds no gsm8k\.jsonl or gsm8k_test\.jsonl"):
        tasks.load("gsm8k", tmp_path)
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match="cannot be read"):
        tasks.load("gsm8k", tmp_path / "bad.jsonl.gz")
    (tmp_path / "latin.jsonl").write_bytes(b'{"problem": "\xe9"}\n')
    with pytest.raises(InputError, match="cannot be read"):
        tasks.load("gsm8k", tmp_path / "latin.jsonl")


def hub(monkeypatch, load):
    module = types.ModuleType("datasets")
    module.load_dataset = load  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_download(monkeypatch):
    asked = []

    def load(repo, split):
        asked.append((repo, split))
        return [ROW | {"id": n} for n in range(4)]

    hub(monkeypatch, load)
    task = tasks.load("math500", limit=3)
    assert asked == [("HuggingFaceH4/MATH-500", "test")]
    assert [p.problem_id for p in task.problems] == ["0", "1", "2"]
    assert len(tasks.load("math500").problems) == 4


@pytest.mark.parametrize(
    "error", [ConnectionError("Couldn't reach it\nmore"), ValueError("Couldn't reach split")]
)
def test_a_download_that_fails_says_what_to_do(monkeypatch, error):
    def load(repo, split):
        raise error

    hub(monkeypatch, load)
    with pytest.raises(InputError) as caught:
        tasks.load("aime25")
    assert "cannot download math-ai/aime25 (Couldn't reach" in str(caught.value)
    assert "give the path" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_datasets_the_path_is_asked_for(monkeypatch):
    monkeypatch.setattr(rows.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs datasets: give the path"):
        tasks.load("aime24")
    with pytest.raises(InputError, match="needs huggingface_hub: give the path"):
        tasks.load("livecodebench_v5")
