"""Benchmarks from files and from the hub: every field read, every fault one clear line."""

import gzip
import json
import sys
import types

import pytest

from kinetics_jax import tasks
from kinetics_jax.errors import InputError
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
        ("aime25", {"id": 1, "problem": "q", "answer": ["588"]}, "588"),
        ("aime25", {"id": 1, "problem": "q", "answer": [16]}, "16"),
        ("amc23", {"id": 1, "problem": "q", "answer": [["2.5"]]}, "2.5"),
        ("aime25", {"id": 1, "problem": "q", "answer": "['117']"}, "117"),
        ("math500", {"id": 1, "problem": "q", "answer": '["x+1"]'}, "x+1"),
        ("math500", {"id": 1, "problem": "q", "answer": "[1, 2]"}, "[1, 2]"),
        ("math500", {"id": 1, "problem": "q", "answer": r"\{1, 2\}"}, r"\{1, 2\}"),
        ("gsm8k", {"id": 1, "problem": "q", "answer": 0}, "0"),
        ("gsm8k", {"id": 1, "problem": "q", "answer": 1e-8}, "0.00000001"),
        ("gsm8k", {"id": 1, "problem": "q", "answer": 12345678901234567890}, "12345678901234567890"),
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
        ('{"problem": "q", "answer": null}\n', "problem 1 lacks answer"),
        (f"{json.dumps(ROW)}\n\n{json.dumps(ROW)}\n", ":3: problem 'a' is there twice, see"),
        ('\n{"problem": "q", "answer": ["1", "2"]}\n', ":2: problem 1: its answer must be a text"),
        ('{"problem": "q", "answer": ["1", "2"]}\n', "not a list of 2"),
        ('{"problem": "q", "answer": []}\n', "not a list of 0"),
        ('{"problem": "q", "answer": {"value": 1}}\n', "not an object"),
        ('{"problem": "q", "answer": [true]}\n', "not true or false"),
        ('{"problem": "q", "answer": NaN}\n', "not this number: 'nan'"),
        ('{"problem": "q", "answer": -Infinity}\n', "not this number: '-inf'"),
        ('{"problem": "q", "answer": "[\'1\', \'2\']"}\n', "not this text"),
        ('{"problem": "q", "answer": "{\'value\': 1}"}\n', "not this text"),
        ('{"id": [1], "problem": "q", "answer": 1}\n', "its id must be a text or a number"),
        ('{"problem": "q", "answer": 1, "answer": 2}\n', ":1: 'answer' is there twice"),
        ('{"problem": "q", "answer": 1},\n', ":1: not a JSON object"),
        ('{"problem": "\\ud83d", "answer": 1}\n', r":1: holds \ud83d, half of a surrogate pair"),
        ('{"problem": "q", "answer": 1, "x": ["\\uDE00"]}\n', r":1: holds \ude00"),
    ],
)
def test_a_fault_is_one_line_that_says_where(content, what, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        tasks.load("aime24", path)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"problem": "One?", "answer": "1"}\n{"problem": "Two?", "answer": "2"}\n',
        b'{"problem": "One?", "answer": "1"}\r\n{"problem": "Two?", "answer": "2"}\r\n',
        b'{"problem": "One?", "answer": "1"}\r{"problem": "Two?", "answer": "2"}',
        b'\n \t\n{"problem": "One?", "answer": "1"}\n\n\r\n{"problem": "Two?", "answer": "2"}\n\n',
        b'{"problem": "One?", "answer": "1"}\n\xef\xbb\xbf{"problem": "Two?", "answer": "2"}\n',
        b'\xef\xbb\xbf\r\n{"problem": "One?", "answer": 1}\r\n{"problem": "Two?", "answer": [2]}',
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_how_a_system_writes_lines_changes_nothing(content, ending, tmp_path):
    path = tmp_path / f"aime24{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    problems = tasks.load("aime24", tmp_path).problems
    assert [p.answer for p in problems] == ["1", "2"]
    assert [p.prompt for p in problems] == [f"{PROMPT}\n\nOne?", f"{PROMPT}\n\nTwo?"]


def test_pairs_of_surrogates_and_line_separators_are_characters(tmp_path):
    row = '{"problem": "\\ud83d\\ude00 \u2028 \\u2029", "answer": "1"}\n'
    (tmp_path / "p.jsonl").write_text(row, "utf-8")
    (problem,) = tasks.load("aime24", tmp_path / "p.jsonl").problems
    assert problem.prompt.endswith("\U0001f600 \u2028 \u2029")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        tasks.load("aime24", tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"holds no gsm8k\.jsonl or gsm8k_test\.jsonl"):
        tasks.load("gsm8k", tmp_path)
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match="cannot be read"):
        tasks.load("gsm8k", tmp_path / "bad.jsonl.gz")
    (tmp_path / "latin.jsonl").write_bytes(b'{"problem": "\xe9"}\n')
    with pytest.raises(InputError, match=r"cannot be read \(byte 0xe9.*save it as UTF-8"):
        tasks.load("gsm8k", tmp_path / "latin.jsonl")
    (tmp_path / "wide.jsonl").write_text(json.dumps(ROW), "utf-16")
    with pytest.raises(InputError, match="is UTF-16; save it as UTF-8"):
        tasks.load("gsm8k", tmp_path / "wide.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(json.dumps(ROW).encode() * 99)[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        tasks.load("gsm8k", tmp_path / "cut.jsonl.gz")


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


def test_an_answer_that_is_a_list_is_refused_from_the_hub_too(monkeypatch):
    hub(monkeypatch, lambda repo, split: [ROW, ROW | {"id": "b", "answer": ["1", "2"]}])
    with pytest.raises(InputError, match="HuggingFaceH4/MATH-500 2: problem 2: its answer must be"):
        tasks.load("math500")


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
