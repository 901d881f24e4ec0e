"""The command from the outside: one line for what is wrong, and one command from a config to a report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS, TRIALS, POLICIES = 12, 3, 2


def command(*flags):
    return subprocess.run(
        [sys.executable, "-m", "experiments.sweep", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
    )


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    pytest.importorskip("math_verify", reason="answers are graded with math-verify")
    file = tmp_path_factory.mktemp("problems") / "gsm8k.jsonl"
    rows = [{"id": f"q{i}", "question": f"{i}?", "answer": "1"} for i in range(QUESTIONS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (
        "--models=tiny-dense=random",
        "--policies=dense,block_topk(16, 2)",
        f"--tasks=gsm8k={file}",
        f"--trials={TRIALS}",
        "--max_tokens=8",
        "--lengths=4",
        "--config.slice.chip=b200",
        "--config.slice.slots=8",
        "--limit=0",
        "--bootstrap=10",
        "--splits=1",
        "--temperature=1",
        "--prefill_chunk=128",
    )


@pytest.fixture(scope="module")
def finished(flags, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "sweep"
    return command(*flags, f"--out={out}"), out


def test_one_command_ends_with_law_and_report(finished):
    process, out = finished
    assert process.returncode == 0, process.stderr
    total = QUESTIONS * TRIALS * POLICIES
    assert f"{total} of {total} samples" in process.stdout
    assert f"report: {out}/report/report.html" in process.stdout
    law = json.loads((out / "report" / "law.json").read_text())
    assert law["settings"]["trials"] == TRIALS
    assert (out / "report" / "report.html").stat().st_size > 10_000
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert len(records) == 2 * total  # at the cap, and cut at 4
    assert {r["max_tokens"] for r in records} == {4, 8}
    assert all(r["generated_tokens"] <= r["max_tokens"] for r in records)
    assert {r["run"] for r in records} == {"tiny"}
    session = json.loads((out / "sessions-00000-of-00001.jsonl").read_text())
    assert session["libraries"]["jax"]


def test_grading_again_finds_the_same(finished, flags):
    _, out = finished
    before = (out / "records.jsonl").read_text()
    process = command(*flags, f"--out={out}", "--regrade", "--noreport")
    assert process.returncode == 0, process.stderr
    assert (out / "records.jsonl").read_text() == before
    assert len((out / "samples.jsonl").read_text().splitlines()) == QUESTIONS * TRIALS * POLICIES


def test_another_experiment_is_refused(finished, flags):
    _, out = finished
    before = sorted(p for p in out.rglob("*"))
    process = command(*flags, f"--out={out}", "--seed=3")
    assert process.returncode == 2
    assert process.stderr.strip().splitlines()[-1] == (
        f"sweep: {out} holds another experiment: its sampling seed is 0, not 3. Give another --out"
    )
    assert sorted(p for p in out.rglob("*")) == before


def test_a_dry_run_says_the_plan_and_writes_nothing(flags, tmp_path):
    process = command(*flags, f"--out={tmp_path / 'out'}", "--dry_run")
    assert process.returncode == 0, process.stderr
    assert "2 cells, 72 samples" in process.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--out="], "--out is empty"),
        (["--config=configs/nowhere.py"], "configs/nowhere.py"),
        (["extra"], "unexpected argument 'extra'"),
        (["--merge"], "no sweep is there"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(flags, more, word, tmp_path):
    out = tmp_path / "out"
    process = command(*flags, f"--out={out}", *more)
    assert process.returncode == 2
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("sweep: ")
    assert word in last
    assert "Traceback" not in process.stderr
    assert not out.exists()
