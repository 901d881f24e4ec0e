"""The parity check where torch is absent: logits that transformers gave, kept beside its checkpoints."""

import pathlib

import numpy as np
import pytest

from kinetics_jax import models

GOLDEN = sorted(path.parent for path in pathlib.Path(__file__).parent.glob("golden/*/golden.npz"))


def test_there_are_golden_files():
    assert len(GOLDEN) == 7
    size = sum(file.stat().st_size for folder in GOLDEN for file in folder.iterdir())
    assert size <= 300_000


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
@pytest.mark.parametrize("unroll", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_logits_are_those_transformers_gave(folder, unroll):
    golden = np.load(folder / "golden.npz")
    model = models.load(folder, dtype="float32", unroll=unroll)
    found = np.asarray(model(golden["tokens"].astype(np.int32)))[:, ::15]
    assert np.abs(found - golden["logits"]).max() <= 1e-4 * np.abs(golden["logits"]).max()
