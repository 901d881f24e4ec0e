"""Words of slots: what goes in comes out, on the host and on the device."""

import jax
import numpy as np

from kinetics_jax.engine.packing import Packing


def test_a_tree_survives_words():
    rng = np.random.default_rng(0)
    tree = {
        "floats": rng.normal(size=5).astype(np.float32),
        "bits": rng.integers(0, 2**32, (5, 2), dtype=np.uint32),
        "flags": rng.random(5) < 0.5,
        "none": np.zeros((5, 0), np.int32),
        "more": [rng.integers(-(2**31), 2**31, (5, 3, 2)).astype(np.int32)],
    }
    tree["floats"][:3] = np.nan, -0.0, np.inf
    packing = Packing(tree)
    words = packing.pack(tree)
    assert words.shape == (5, 1 + 2 + 1 + 0 + 6)
    found = jax.jit(packing.unpack)(words)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(tree), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.asarray(ours).tobytes() == theirs.tobytes()


def test_views_write_into_the_words():
    packing = Packing({"a": np.zeros(3, np.float32), "b": np.zeros((3, 2), bool)})
    words = packing.pack({"a": np.zeros(3, np.float32), "b": np.zeros((3, 2), bool)})
    views = packing.views(words)
    views["a"][1], views["b"][2, 0] = 1.5, True
    found = packing.unpack(jax.numpy.asarray(words))
    assert found["a"].tolist() == [0, 1.5, 0]
    assert found["b"].tolist() == [[False, False], [False, False], [True, False]]
