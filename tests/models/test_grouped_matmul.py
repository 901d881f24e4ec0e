"""Both grouped matmuls against a loop over rows. Letters: M rows · D in · F out · E experts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.errors import InputError
from kinetics_jax.models.grouped_matmul import grouped_matmul


def _inputs(rows_e, spare, seed):
    draw = np.random.default_rng(seed)
    M, E = sum(rows_e) + spare, len(rows_e)
    return draw.normal(size=(M, 6)).astype("f"), draw.normal(size=(E, 6, 5)).astype("f")


def _expected(x, weight, rows_e):
    owners = np.repeat(np.arange(len(rows_e)), rows_e)
    y = np.zeros((len(x), weight.shape[2]), np.float32)
    for row, expert in enumerate(owners):
        y[row] = x[row] @ weight[expert]
    return y


@pytest.mark.parametrize("implementation", ["ragged", "tiled", None])
@pytest.mark.parametrize("rows_e", [[3, 0, 5], [0, 0, 70], [1], [17, 16, 15, 0], [1] * 9, [0, 0]])
def test_every_row_meets_its_own_expert(implementation, rows_e):
    for spare in (0, 4):
        x, weight = _inputs(rows_e, spare, 0)
        if not len(x):
            continue
        found = grouped_matmul(x, weight, jnp.array(rows_e), implementation=implementation)
        np.testing.assert_allclose(found, _expected(x, weight, rows_e), atol=1e-5)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 30))
def test_tiles_hold_any_split(rows_e, spare):
    if not sum(rows_e) + spare:
        return
    x, weight = _inputs(rows_e, spare, len(rows_e))
    found = grouped_matmul(x, weight, jnp.array(rows_e), implementation="tiled")
    np.testing.assert_allclose(found, _expected(x, weight, rows_e), atol=1e-5)


def test_no_implementation_multiplies_every_expert_with_every_row():
    x, weight = _inputs([2] * 64, 0, 0)

    def program(implementation):
        product = functools.partial(grouped_matmul, implementation=implementation)
        return jax.jit(product).lower(x, weight, jnp.array([2] * 64)).as_text()

    dense = "64x128"  # [E, M, …] is what XLA's expansion for CPU holds
    assert dense in program("ragged")
    assert dense not in program(None)


def test_unknown_implementation():
    x, weight = _inputs([2], 0, 0)
    with pytest.raises(InputError, match="'loop'"):
        grouped_matmul(x, weight, jnp.array([2]), implementation="loop")
