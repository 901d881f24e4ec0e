"""Real processes, really killed: SIGKILL at random moments, SIGTERM, two on one directory or one sweep."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinetics_jax.engine.sample_log import merged_samples
from tests.live_processes import alive, descendants, wait_until

ROOT = Path(__file__).resolve().parents[2]
TRIALS, PROBLEMS, CELLS = 4, 4, 2


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Programs compiled once for all child processes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def start(problems, cache):
    """A function that starts the command as a child process."""

    def run(out, *flags, **variables):
        command = [
            sys.executable,
            "-m",
            "experiments.sweep",
            f"--out={out}",
            "--models=tiny-dense=random",
            "--policies=dense,block_topk(16, 2)",
            f"--tasks=gsm8k={problems}",
            f"--trials={TRIALS}",
            "--max_tokens=24",
            "--chunk_steps=2",
            "--temperature=1",
            "--top_k=0",
            "--top_p=1",
            "--config.slice.chip=b200",
            "--config.slice.slots=3",
            "--nograde",
            "--noreport",
            "--max_context=640",
            "--limit=0",
            "--prefill_chunk=128",
            *flags,
        ]
        environment = (
            os.environ
            | {
                "JAX_PLATFORMS": "cpu",
                "JAX_COMPILATION_CACHE_DIR": str(cache),
                "XLA_FLAGS": "",
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            }
            | variables
        )
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return run


def finish(process, status=0):
    output, errors = process.communicate(timeout=900)
    assert process.returncode == status, errors
    return output, errors


def lines(out) -> list[bytes]:
    """Whole lines of all samples on the disk."""
    return [
        line
        for file in sorted(Path(out).glob("cells/**/samples-*.jsonl"))
        for line in file.read_bytes().split(b"\n")[:-1]
    ]


def keys(found):
    rows = [json.loads(line) for line in found]
    return [(str(r["policy"]), r["problem_id"], r["trial"]) for r in rows]


def merged(out) -> list[str]:
    """Every sample once, sorted."""
    folders = sorted({file.parent for file in Path(out).glob("cells/**/samples-*.jsonl")})
    return [sample.to_json() for folder in folders for sample in merged_samples(folder)]


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    output, _ = finish(start(out))
    assert f"{CELLS * PROBLEMS * TRIALS} of {CELLS * PROBLEMS * TRIALS} samples" in output
    finish(start(out, "--merge"))
    found = merged(out)
    assert sorted((out / "samples.jsonl").read_text().splitlines()) == sorted(found)
    return found


def die_and_resume(start, out, kills, seed):
    """Kill the sweep so many times, then let it end; says what each killed run left."""
    draw, total = random.Random(seed), CELLS * PROBLEMS * TRIALS
    there: list[bytes] = []
    for number in range(kills):
        process = start(out)
        # Spread the deaths over the samples that are left, and over start-up too.
        left = (total - len(there)) // (kills - number)
        goal = len(there) + draw.randint(0, max(1, left))
        deadline = time.monotonic() + draw.choice([120, 120, 120, 4 * draw.random()])
        while process.poll() is None and len(lines(out)) < goal and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(0.02 * draw.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = lines(out)
        assert set(there) <= set(now), "a finished sample was lost"
        assert len(set(keys(now))) == len(now), "a finished sample was decoded again"
        there = now
    finish(start(out))
    found = lines(out)
    assert len(set(keys(found))) == len(found) == total
    assert set(there) <= set(found)


def test_killed_and_resumed_it_is_as_if_nothing_had_been(start, uninterrupted, tmp_path):
    die_and_resume(start, tmp_path / "out", kills=3, seed=0)
    assert merged(tmp_path / "out") == uninterrupted


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_real_kills(start, uninterrupted, tmp_path):
    for seed in range(10):
        die_and_resume(start, tmp_path / str(seed), kills=5, seed=100 + seed)
        assert merged(tmp_path / str(seed)) == uninterrupted, f"seed {seed}"


def wait_for_samples(process, out, count):
    while process.poll() is None and len(lines(out)) < count:
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_says_so_in_its_status_and_the_sweep_goes_on_from_there(
    start, uninterrupted, tmp_path, number
):
    out = tmp_path / "out"
    process = start(out)
    wait_for_samples(process, out, 5)
    process.send_signal(number)
    output, errors = finish(process, status=128 + number)  # 143: preempted; 130: Ctrl-C
    there = lines(out)
    assert 5 <= len(there) < CELLS * PROBLEMS * TRIALS
    assert "stopped; every finished sample is kept" in output
    assert "Traceback" not in errors
    finish(start(out))
    assert set(there) <= set(lines(out))
    assert merged(out) == uninterrupted


def test_the_second_process_in_a_directory_is_refused_in_one_line(start, uninterrupted, tmp_path):
    out = tmp_path / "out"
    first = start(out)
    wait_for_samples(first, out, 1)
    first.send_signal(signal.SIGSTOP)  # so that it is surely still there
    try:
        _, errors = finish(start(out), status=2)
    finally:
        first.send_signal(signal.SIGCONT)
    last = errors.strip().splitlines()[-1]
    assert last.startswith(f"sweep: {out}: another run is at work there (process {first.pid}")
    assert "Traceback" not in errors
    finish(first)
    assert merged(out) == uninterrupted


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start_two(start, out, *flags):
    address = f"localhost:{free_port()}"
    return [
        start(
            out,
            "--distributed",
            *flags,
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
        )
        for number in range(2)
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_share_a_sweep(start, uninterrupted, tmp_path):
    out = tmp_path / "out"
    for process in start_two(start, out):
        finish(process)
    files = sorted(path.name for path in out.glob("cells/**/dense/samples-*.jsonl"))
    assert files == ["samples-00000-of-00002.jsonl", "samples-00001-of-00002.jsonl"]
    assert merged(out) == uninterrupted


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_model_over_two_processes_stops_and_goes_on(start, tmp_path):
    """Each process has one device; the model's two shares of sequences need both."""
    out, across = tmp_path / "out", ("--config.slice.data=2", "--config.slice.slots=2")
    processes = start_two(start, out, *across)
    wait_for_samples(processes[0], out, 5)
    processes[1].send_signal(signal.SIGTERM)  # one is told, both stop
    for process in processes:
        finish(process, status=128 + signal.SIGTERM)
    there = lines(out)
    assert 5 <= len(there) < CELLS * PROBLEMS * TRIALS
    for process in start_two(start, out, *across):
        finish(process)
    assert set(there) <= set(lines(out))
    assert len(set(keys(lines(out)))) == len(lines(out)) == CELLS * PROBLEMS * TRIALS
    assert all(list(out.glob(f"cells/**/samples-0000{number}-of-00002.jsonl")) for number in (0, 1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stop_while_laws_are_sought_leaves_no_process_and_no_half_report(
    start, uninterrupted, tmp_path, number
):
    pytest.importorskip("math_verify", reason="answers are graded with math-verify")
    out = tmp_path / "out"
    flags = (
        "--grade",
        "--report",
        "--bootstrap=200000",
        "--splits=1",
        "--min_questions=2",
        "--chip=b200,h100,tpu_v6e",
    )
    process = start(out, *flags)
    total = CELLS * PROBLEMS * TRIALS

    def seeking():
        busy = (out / "records.jsonl").exists() and len(descendants(process.pid)) >= 2
        return process.poll() is not None or busy

    assert wait_until(seeking)
    time.sleep(3)
    assert process.poll() is None, process.communicate()
    below = descendants(process.pid)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert wait_until(lambda: not any(map(alive, below)), 60)
    assert not (out / "report").exists()
    if number != signal.SIGKILL:
        assert not [path.name for path in out.iterdir() if path.name.endswith(".part")]
    assert len(lines(out)) == total
    finish(start(out, *flags[:2], "--bootstrap=10", *flags[3:]))
    assert (out / "report" / "law.json").exists()
