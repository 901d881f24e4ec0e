"""Schedules of deaths in one process: at every place where a kill can strike, nothing finished is lost.

A kill is an exception that nobody catches; what it leaves half written stays as it is. Real kills of real
processes are in ``test_kills.py``.
"""

import collections
import os

import numpy as np
import pytest

from kinetics_jax.engine.sample_log import iterate_samples, merged_samples
from kinetics_jax.storage import line_log
from kinetics_jax.sweep.results import write_samples
from kinetics_jax.sweep.shares import cell_folder, wanted_keys
from kinetics_jax.sweep.sweep import Sweep


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Counts the places where a kill may strike and strikes at one of them."""

    def __init__(self, at: int, part: float) -> None:
        self.left, self.part = at, part
        self.dead = False

    def strikes(self) -> bool:
        self.left -= 1
        self.dead = self.dead or self.left < 0
        return self.dead

    def write(self, handle, data):
        """A write that the kill may cut anywhere."""
        if self.strikes():
            REAL_WRITE(handle, data[: int(self.part * (len(data) + 1))])
            raise Killed
        return REAL_WRITE(handle, data)

    def fsync(self, handle):
        if self.strikes():
            raise Killed
        return REAL_FSYNC(handle)


REAL_WRITE, REAL_FSYNC = os.write, os.fsync


@pytest.fixture(scope="module")
def uninterrupted(small, engines, tmp_path_factory):
    root = tmp_path_factory.mktemp("whole") / "out"
    experiment = small()
    outcome = Sweep(experiment, root, opener=engines, quiet=True).run()
    assert outcome.complete
    assert outcome.signal is None
    return write_samples(root, experiment).read_bytes()


def recorded(engines, yielded, killer):
    """Engines that note which samples they hand out, and where a chunk may be the last."""

    class Recorded(engines):
        def __init__(self, experiment, observe):
            def watched(progress):
                if killer.strikes():
                    raise Killed
                observe(progress)

            super().__init__(experiment, watched)

        def engine(self, choice, policy, max_context):
            inner = super().engine(choice, policy, max_context)

            class Wrapped:
                def generate(self, *args, **options):
                    samples = inner.generate(*args, **options)
                    try:
                        for sample in samples:
                            yielded[policy, sample.key] += 1
                            yield sample
                    finally:
                        samples.close()

            return Wrapped()

    return Recorded


def on_disk(root, experiment):
    return {
        (cell.policy, sample.key)
        for cell in experiment.cells
        for sample in iterate_samples(cell_folder(root, cell))
    }


def one_schedule(seed, small, engines, root, monkeypatch):
    """Run a sweep to its end through random deaths; returns (deaths, merged bytes)."""
    draw, experiment, deaths = np.random.default_rng(seed), small(), 0
    while True:
        before = on_disk(root, experiment)
        killer = Killer(int(draw.integers(0, 30)), draw.random())
        yielded = collections.Counter()
        monkeypatch.setattr(line_log.os, "write", killer.write)
        monkeypatch.setattr(line_log.os, "fsync", killer.fsync)
        try:
            outcome = Sweep(experiment, root, opener=recorded(engines, yielded, killer), quiet=True).run()
        except Killed:
            deaths += 1
        else:
            assert outcome.complete
            break
        finally:
            monkeypatch.setattr(line_log.os, "write", REAL_WRITE)
            monkeypatch.setattr(line_log.os, "fsync", REAL_FSYNC)
            assert not before & set(yielded), "a finished sample was decoded again"
            assert set(yielded.values()) <= {1}
            after = on_disk(root, experiment)
            assert before <= after, "a finished sample was lost"
    for cell in experiment.cells:
        keys = [sample.key for sample in iterate_samples(cell_folder(root, cell))]
        assert sorted(keys) == sorted(wanted_keys(cell, Sweep(experiment, root).tasks[cell.task]))
    return deaths, write_samples(root, experiment).read_bytes()


def run_schedules(seeds, small, engines, tmp_path, monkeypatch, uninterrupted):
    deaths = 0
    for seed in seeds:
        died, merged = one_schedule(seed, small, engines, tmp_path / str(seed), monkeypatch)
        deaths += died
        assert merged == uninterrupted, f"seed {seed}"
    return deaths


def test_eight_schedules(small, engines, tmp_path, monkeypatch, uninterrupted):
    deaths = run_schedules(range(8), small, engines, tmp_path, monkeypatch, uninterrupted)
    assert deaths > 8  # it did strike


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(4))
def test_two_hundred_schedules(part, small, engines, tmp_path, monkeypatch, uninterrupted):
    seeds = range(100 + 50 * part, 150 + 50 * part)
    deaths = run_schedules(seeds, small, engines, tmp_path, monkeypatch, uninterrupted)
    print(f"{deaths} deaths in {len(seeds)} schedules")
    assert deaths > 75


def test_a_done_sweep_opens_no_model(small, engines, tmp_path):
    experiment = small()
    assert Sweep(experiment, tmp_path / "out", opener=engines, quiet=True).run().complete

    class NoEngines(engines):
        def engine(self, choice, policy, max_context):
            raise AssertionError("nothing is left to decode")

    outcome = Sweep(experiment, tmp_path / "out", opener=NoEngines, quiet=True).run()
    assert outcome.complete


def test_more_trials_and_policies_use_what_is_there(small, engines, tmp_path, uninterrupted):
    root = tmp_path / "out"
    assert Sweep(small(trials=2, policies=("dense",)), root, opener=engines, quiet=True).run().complete
    first = merged_samples(cell_folder(root, small().cells[0]))
    yielded = collections.Counter()
    opener = recorded(engines, yielded, Killer(10**9, 0))
    assert Sweep(small(), root, opener=opener, quiet=True).run().complete
    assert len(yielded) == 24 - len(first) == 16
    assert write_samples(root, small()).read_bytes() == uninterrupted
