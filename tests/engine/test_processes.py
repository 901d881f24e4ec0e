"""Two processes of four devices, real collectives between them: the samples of one process of eight."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from kinetics_jax.records import Sample

ROOT = pathlib.Path(__file__).resolve().parents[2]


def start(out: pathlib.Path, of: int, pause: float = 0.0) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out.mkdir(exist_ok=True)
    # Their own number of devices, not that of this process.
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.engine.one_of_several",
                str(out),
                str(process),
                str(of),
                str(port),
                str(pause),
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for process in range(of)
    ]


def finish(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        output, _ = process.communicate(timeout=500)
        assert process.returncode == 0, output.decode()[-3000:]


def samples(out: pathlib.Path) -> dict:
    """Every sample of a folder; a line that is not whole, or a sample that is there twice, fails."""
    found: dict = {}
    for file in sorted(out.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            sample = Sample.from_json(line)
            assert sample.key not in found
            found[sample.key] = sample
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("one")
    finish(start(out, 1))
    return samples(out)


@pytest.mark.slow
def test_two_processes_make_the_samples_of_one(expected, tmp_path):
    out = tmp_path / "two"
    finish(start(out, 2))
    assert samples(out) == expected
    assert len(expected) == 12
    for process in (0, 1):  # each had its share
        assert (out / f"{process}.jsonl").read_text().count("\n") >= 4


@pytest.mark.slow
def test_one_process_killed_the_rest_is_whole_and_a_rerun_completes(expected, tmp_path):
    out = tmp_path / "killed"
    processes = start(out, 2, pause=0.3)
    deadline = time.monotonic() + 400
    while len(list(out.glob("1.jsonl"))) == 0 or (out / "1.jsonl").stat().st_size == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGKILL)
    time.sleep(2)
    processes[0].kill()  # it waits for a partner that is gone
    for process in processes:
        process.wait()
    survived = samples(out)
    assert 0 < len(survived) < 12
    assert all(expected[key] == sample for key, sample in survived.items())
    finish(start(out, 2))
    assert samples(out) == expected
