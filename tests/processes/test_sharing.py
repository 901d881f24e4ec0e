"""Processes that share work are gone when the one that asked is, whatever ended it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.processes.sharing import map_in_processes
from tests.live_processes import alive, descendants, wait_until

ROOT = Path(__file__).resolve().parents[2]
SLOW = """
import time
from kinetics_jax.processes.sharing import map_in_processes
list(map_in_processes(time.sleep, [0, 600, 600], 2))
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")


def test_results_come_in_order():
    assert list(map_in_processes(abs, [-3, 2, -1], 2)) == [3, 2, 1]


def test_each_computes_with_one_thread_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list(map_in_processes(os.getenv, ["OMP_NUM_THREADS"] * 3, 2)) == ["1"] * 3
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert list(map_in_processes(os.getenv, ["OMP_NUM_THREADS"] * 3, 2)) == ["3"] * 3


def test_what_a_task_raises_is_raised():
    results = map_in_processes(int, ["1", "x"], 2)
    assert next(results) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        next(results)


@needs_proc
def test_closing_early_ends_what_is_at_work():
    before = descendants(os.getpid())
    with contextlib.closing(map_in_processes(time.sleep, [0, 600, 600], 2)) as results:
        next(results)
        workers = descendants(os.getpid()) - before
        assert workers
    begun = time.monotonic()
    assert wait_until(lambda: sum(map(alive, workers)) <= 1)  # multiprocessing's tracker stays
    assert time.monotonic() - begun < 30


def test_a_worker_that_is_killed_is_one_line():
    with pytest.raises(InputError, match="was killed") as caught:
        list(map_in_processes(os._exit, [9, 9], 2))
    assert "\n" not in str(caught.value)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_no_worker_outlives_its_parent(number):
    parent = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: len(descendants(parent.pid)) >= 3)  # and the resource tracker
        time.sleep(1)
        workers = descendants(parent.pid)
        parent.send_signal(number)
        parent.wait(60)
        assert wait_until(lambda: not any(map(alive, workers)))
    finally:
        parent.kill()
