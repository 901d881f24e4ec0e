"""Damaged checkpoints: one typed error or a whole model; no crash, no hang, no runaway allocation."""

import pathlib
import resource
import shutil

import jax
import pytest

from kinetics_jax import models
from kinetics_jax.spec import InputError, presets
from tests.models.mutate import mutate

_PER_TEST = 50


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> list[pathlib.Path]:
    """A single file, and an index with shards."""
    folders = []
    for preset, limit in (("tiny-dense", 2**30), ("tiny-moe", 40_000)):
        folder = tmp_path_factory.mktemp(preset)
        models.save_hf(models.Qwen3.init(presets[preset], jax.random.key(0)), folder,
                       max_file_bytes=limit)  # fmt: skip
        models.load(folder)
        folders.append(folder)
    return folders


def _refusal(folder: pathlib.Path) -> str | None:
    """The text of the typed error that loading gave, or None where it loaded; others go through."""
    try:
        models.load(folder)
    except InputError as error:
        return str(error)
    return None


def _survive(originals: list[pathlib.Path], seeds: range, tmp_path: pathlib.Path) -> int:
    """Load one mutant per seed; how many were refused."""
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        folder = tmp_path / str(seed)
        shutil.copytree(originals[seed % len(originals)], folder)
        done = mutate(folder, seed)
        message = _refusal(folder)
        if message is not None:
            refused += 1
            assert "\n" not in message, f"{done}: {message}"
            assert folder.name in message, f"{done}: {message}"  # it says which file
        shutil.rmtree(folder)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 300 * 1024, f"seeds {seeds}: peak memory grew by {grown_kib} KiB"
    return refused


@pytest.mark.parametrize("batch", range(4))
def test_two_hundred_mutants(batch, originals, tmp_path):
    seeds = range(batch * _PER_TEST, (batch + 1) * _PER_TEST)
    assert _survive(originals, seeds, tmp_path) > _PER_TEST // 2


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(4, 52))
def test_two_thousand_four_hundred_more(batch, originals, tmp_path):
    seeds = range(batch * _PER_TEST, (batch + 1) * _PER_TEST)
    assert _survive(originals, seeds, tmp_path) > _PER_TEST // 2
