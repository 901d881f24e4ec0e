"""The main job from the outside: what it writes, what it prints, and how it fails."""

import csv
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kinetics_jax.cli import law as law_command
from kinetics_jax.cli.law import run
from kinetics_jax.cli.law_options import defaults
from kinetics_jax.commands.configs import load_config
from kinetics_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HEADER = "source,model,dataset,problem_id,trial,gen_tokens,correct,max_tokens,temperature,prompt_tokens"


def command(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.scaling_law", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def traces(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    rows = [HEADER]
    for model, skill in (("Qwen3-0.6B", 0.3), ("Qwen3-8B", 0.7)):
        for question in range(16):
            for trial in range(4):
                tokens, right = int(rng.integers(100, 4000)), int(rng.random() < skill)
                rows.append(f"sim,{model},math,{question},{trial},{tokens},{right},4096,0.6,80")
    path = tmp_path_factory.mktemp("in") / "traces.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def finished(traces, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = tmp_path_factory.mktemp("out") / "result"
    return command(f"--traces={traces}", "--chip=b200,tpu_v6e", f"--out={out}", "--bootstrap=30"), out


def test_it_says_the_answer_in_few_lines(finished):
    process, out = finished
    assert process.returncode == 0, process.stderr
    lines = process.stdout.strip().splitlines()
    assert len(lines) <= 25 + 2
    assert "Qwen3-8B" in process.stdout
    assert str(out / "report.html") in lines[-1]


def test_it_writes_everything_it_promises(finished, traces):
    _, out = finished
    law = json.loads((out / "law.json").read_text(), parse_constant=pytest.fail)
    text = json.dumps(law)
    assert hashlib.sha256(traces.read_bytes()).hexdigest() in text
    for word in ("kinetics-jax", "numpy", "unit", "points of accuracy", "0.95"):
        assert word in text
    with open(out / "frontier.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["chip"] for row in rows} == {"b200", "tpu_v6e"}
    assert {row["flavour"] for row in rows} == {"paper", "held_out"}
    with open(out / "trials.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 16 * 4
    stems = {path.stem for path in (out / "figures").iterdir()}
    assert stems
    for stem in stems:
        for kind in (".png", ".svg"):
            assert (out / "figures" / f"{stem}{kind}").stat().st_size > 1000
    assert "<svg" in (out / "report.html").read_text() or "data:image" in (out / "report.html").read_text()
    assert not [path for path in out.parent.iterdir() if path != out]


def test_without_traces_it_needs_no_accuracy(tmp_path):
    config = defaults()
    config.out, config.decode = str(tmp_path / "shapes"), False
    out = run(config)
    assert (out / "report.html").is_file()
    assert json.loads((out / "law.json").read_text())
    assert not (out / "trials.csv").exists()


def test_a_config_file_is_read_and_flags_override_it(traces, tmp_path):
    out = tmp_path / "o"
    process = command("--config=law:paper", f"--traces={traces}", f"--out={out}", "--bootstrap=7", "--jobs=1")
    assert process.returncode == 0, process.stderr
    text = (out / "law.json").read_text()
    settings = json.loads(text)["settings"]
    assert settings["cost_mode"] == "paper"
    assert settings["bootstrap"] == 7 or settings["bootstrap"]["value"] == 7


@pytest.mark.parametrize("config", ["law", "law:paper", "law:every_chip"])
def test_every_config_has_the_same_options(config):
    assert set(load_config(config)) == set(defaults())


BAD_ROWS = {
    "missing column": ("model,dataset,problem_id,trial,gen_tokens\nQwen3-8B,m,1,0,5\n", "correct"),
    "negative length": (f"{HEADER}\ns,Qwen3-8B,m,1,0,-5,1,100,0.6,10\n", "-5"),
    "NaN": (f"{HEADER}\ns,Qwen3-8B,m,1,0,nan,1,100,0.6,10\n", "nan"),
    "not a verdict": (f"{HEADER}\ns,Qwen3-8B,m,1,0,5,maybe,100,0.6,10\n", "maybe"),
    "torn last line": (f"{HEADER}\ns,Qwen3-8B,m,1,0,5,1,100,0.6,10\ns,Qwen3-8B,m,1,1,5", "3"),
    "empty file": ("", "empty"),
    "junk": ("\x00\x01\x02" * 1000, ""),
    "unknown model": (f"{HEADER}\ns,Llama-9,m,1,0,5,1,100,0.6,10\n", "Llama-9"),
    "twice": (f"{HEADER}\n" + "s,Qwen3-8B,m,1,0,5,1,100,0.6,10\n" * 2, ""),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_traces_are_one_clear_line_and_leave_nothing(kind, tmp_path):
    text, word = BAD_ROWS[kind]
    path = tmp_path / "bad.csv"
    path.write_text(text)
    config = defaults()
    config.traces, config.out, config.jobs = (str(path),), str(tmp_path / "out"), 1
    with pytest.raises(InputError) as caught:
        run(config)
    message = str(caught.value)
    assert "\n" not in message
    assert word in message
    assert "bad.csv:" in message
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--traces=nowhere.csv"], "nowhere.csv"),
        (["--chip=b2000"], "unknown chip 'b2000'"),
        (["--cost_mode=papr"], "cost_mode='papr' must be one of"),
        (["--prices=calibrated", "--measure=eflops"], "eFLOPs are ideal"),
        (["--measure=minutes"], "measure='minutes' must be one of"),
        (["extra"], "unexpected argument 'extra'"),
        (["--project_policy=topk(k=0)"], "k=0 must be"),
        (["--project_policy=dense"], "give a sparse policy"),
        (["--config=configs/nowhere.py"], "configs/nowhere.py"),
        (["--chip=b200,b200"], "each once"),
    ],
)
def test_bad_flags_exit_with_2_and_one_line(flags, word, traces, tmp_path):
    out = tmp_path / "out"
    given = [] if any("--traces" in flag for flag in flags) else [f"--traces={traces}"]
    process = command(*given, *flags, f"--out={out}", "--bootstrap=5")
    assert process.returncode == 2
    lines = process.stderr.strip().splitlines()
    assert lines[-1].startswith("scaling_law: ")
    assert word in lines[-1]
    assert "Traceback" not in process.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"datasets": "nothing"}, "no row is left"),
        ({"models": "("}, "no regular expression"),
        ({"tokenizer": "nowhere.json"}, "cannot be read"),
        ({"frontier": "best"}, "must be paper, held_out or both"),
        ({"bootstrap": 0}, "bootstrap=0"),
        ({"jobs": -1}, "jobs=-1"),
        ({"min_questions": -3}, "min_questions=-3"),
        ({"out": ""}, "--out is empty"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(change, word, traces, tmp_path):
    config = defaults()
    config.traces, config.out = (str(traces),), str(tmp_path / "out")
    config.update(change)
    with pytest.raises(InputError, match=word):
        run(config)
    assert not list(tmp_path.iterdir())


def test_one_unknown_model_among_known_ones_is_named_with_its_line(traces, tmp_path):
    path = tmp_path / "mixed.csv"
    path.write_text(traces.read_text().replace("Qwen3-8B", "Foo-4B"))
    config = defaults()
    config.traces, config.out = (str(path),), str(tmp_path / "out")
    with pytest.raises(InputError, match=r"mixed\.csv:66: unknown model 'Foo-4B'.*--models="):
        run(config)
    config.models, config.jobs, config.bootstrap = "Qwen3", 1, 5
    assert (run(config) / "law.json").is_file()


def test_somebody_elses_folder_is_not_overwritten(traces, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    config = defaults()
    config.traces, config.out = (str(traces),), str(tmp_path)
    with pytest.raises(InputError, match=r"notes\.txt"):
        run(config)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def small_suite(name):
    """The suite with random weights: as many cells, hardly a token."""
    config = load_config(name)
    del config.models.registers_m
    for model in config.models.values():
        model.source, model.trials, model.slice.slots = "random", 0, 8
    config.policies, config.limit, config.trials, config.max_tokens = ("dense",), 10, 2, 16
    config.max_context, config.prefill_chunk, config.unroll = 192, 64, False
    return config


def test_without_traces_it_decodes_the_suite_once(tmp_path, monkeypatch):
    monkeypatch.setattr(law_command, "load_config", small_suite)
    config = defaults()
    config.out, config.jobs, config.bootstrap, config.splits = str(tmp_path / "law"), 1, 5, 1
    out = run(config)
    law = json.loads((out / "law.json").read_text())
    assert {law["dataset"] for law in law["laws"]} == {"registers"}
    records = tmp_path / "law-samples-seed0" / "records.jsonl"
    assert len(records.read_text().splitlines()) == 2 * 10 * 2
    samples = {path: path.read_bytes() for path in tmp_path.rglob("samples-*.jsonl")}
    assert len(samples) == 2
    run(config)  # nothing is left to decode
    assert {path: path.read_bytes() for path in tmp_path.rglob("samples-*.jsonl")} == samples


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_sigterm_while_laws_are_sought_is_143_and_leaves_nothing(traces, tmp_path):
    out = tmp_path / "result"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "experiments.scaling_law",
            f"--traces={traces}",
            f"--out={out}",
            "--chip=b200,h100",
            "--bootstrap=200000",
            "--jobs=2",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 120
    while len(children.read_text().split()) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)  # two workers and multiprocessing's tracker
    time.sleep(1)
    workers = [Path(f"/proc/{number}/stat") for number in children.read_text().split()]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors.strip().splitlines()[-1] == "scaling_law: stopped; no report was written"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    while any(stat.exists() for stat in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(stat.exists() for stat in workers)
