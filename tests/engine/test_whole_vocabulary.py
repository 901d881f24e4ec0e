import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax.engine.sampler.candidates import top_candidates
from kinetics_jax.engine.sampler.whole_vocabulary import keep_prefix


def some_logits(rng, B, V):
    """Few distinct values, so that ties are everywhere, with −inf and both zeros."""
    logits = rng.integers(-3, 4, (B, V)).astype(np.float32) / 2
    logits[rng.random((B, V)) < 0.1] = -np.inf
    logits[rng.random((B, V)) < 0.1] = -0.0
    logits[: B // 2] += rng.normal(size=(B // 2, V)).astype(np.float32)
    return logits


@pytest.mark.parametrize(("V", "count"), [(5, 128), (272, 128), (5003, 128), (4096, 20), (10_000, 128)])
def test_candidates_are_the_stable_sort(V, count):
    rng = np.random.default_rng(V)
    logits = some_logits(rng, 6, V)
    value_bk, id_bk = jax.jit(top_candidates, static_argnums=1)(jnp.asarray(logits), count)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(value_bk, np.take_along_axis(logits, order, axis=1))
    finite = np.asarray(value_bk) > -np.inf
    np.testing.assert_array_equal(np.asarray(id_bk)[finite], order[finite])
    assert (np.asarray(id_bk) < V).all()


@pytest.mark.parametrize("V", [1, 7, 300, 1025])
def test_keep_prefix_keeps_what_a_sort_would(V):
    rng = np.random.default_rng(V)
    logits = some_logits(rng, 8, V)
    weight = rng.integers(0, 5, (8, V)).astype(np.float32)  # whole numbers: sums are exact
    order = np.argsort(-logits, axis=1, kind="stable")
    before = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    before = np.concatenate([np.zeros((8, 1)), before[:, :-1]], axis=1)
    for limit in (0.0, 1.0, 2.0 * V, V / 3, 5.0 * V, np.inf):
        want = np.zeros((8, V), bool)
        np.put_along_axis(want, order, before <= limit, axis=1)
        got = jax.jit(keep_prefix)(logits, weight, jnp.full(8, limit, jnp.float32))
        np.testing.assert_array_equal(got, want, err_msg=f"limit {limit}")
