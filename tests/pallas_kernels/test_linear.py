"""`linear` and `look_up` on every back end against their references, at the sizes where tiles end."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pallas_kernels as pk
from pallas_kernels.quantize import encode

SHAPES = (  # M, C, N
    (1, 1, 1),
    (3, 15, 5),
    (4, 16, 64),
    (8, 64, 256),
    (7, 130, 321),
    (13, 300, 515),
    (32, 1024, 96),
)
DTYPES = (jnp.float32, jnp.bfloat16, pk.BF16_BITS, jnp.int8)


def problem(M: int, C: int, N: int, transposed: bool, dtype: Any) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(M + C + N)
    x = jnp.asarray(rng.standard_normal((M, C)), jnp.float32)
    numbers = jnp.asarray(rng.standard_normal((N, C) if transposed else (C, N)), jnp.float32)
    if dtype == jnp.int8:
        return x, encode(numbers * 40, jnp.int8, 127.0)
    return x, pk.narrow(numbers, dtype)


def needs_numba(back_end: str | None) -> None:
    if back_end == "cpu":
        pytest.importorskip("numba", reason="numba compiles the CPU kernels; it is not installed")


@pytest.mark.parametrize("back_end", ["xla", "cpu", None])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: jnp.dtype(d).name)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_linear_equals_reference(shape, transposed, dtype, back_end):
    needs_numba(back_end)
    x, weight = problem(*shape, transposed, dtype)
    wanted = pk.linear(x, weight, transposed=transposed, implementation="reference")
    got = pk.linear(x, weight, transposed=transposed, implementation=back_end)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, atol=3e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("transposed", [False, True])
def test_rows_do_not_depend_on_their_neighbours(transposed):
    """A row's results are the same bits whatever the other rows hold."""
    needs_numba("cpu")
    x, weight = problem(8, 300, 515, transposed, jnp.bfloat16)
    alone = jnp.zeros_like(x).at[2].set(x[2])
    got = [pk.linear(rows, weight, transposed=transposed, implementation="cpu") for rows in (x, alone)]
    np.testing.assert_array_equal(got[0][2], got[1][2])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_linear_has_derivatives(dtype):
    needs_numba("cpu")
    x, weight = problem(5, 40, 30, False, dtype)

    def loss(back_end: str) -> Any:
        return lambda x, w: (pk.linear(x, w, implementation=back_end) ** 2).sum()

    got = jax.grad(loss("cpu"), (0, 1))(x, weight)
    wanted = jax.grad(loss("reference"), (0, 1))(x, weight)
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        scale = np.abs(np.asarray(theirs, np.float32)).max()
        tolerance = (1e-5 if dtype == jnp.float32 else 1e-2) * scale
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs.astype(jnp.float32), atol=tolerance)


def test_many_rows_are_left_to_xla():
    needs_numba("cpu")
    x, weight = problem(33, 8, 8, False, jnp.float32)
    with pytest.raises(pk.UnsupportedError, match="up to 32 rows"):
        pk.linear(x, weight, implementation="cpu")


@pytest.mark.parametrize("back_end", ["xla", "cpu", None])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: jnp.dtype(d).name)
def test_look_up(dtype, back_end):
    needs_numba(back_end)
    _, table = problem(1, 24, 50, True, dtype)
    ids = jnp.asarray([0, 49, 7, 7, 50, -1], jnp.int32)
    wanted = pk.look_up(table, ids, implementation="reference")
    np.testing.assert_array_equal(pk.look_up(table, ids, implementation=back_end), wanted)
    np.testing.assert_array_equal(wanted[:4], pk.widen(table)[np.array([0, 49, 7, 7])])


@pytest.mark.parametrize(
    ("x", "weight", "message"),
    [
        (jnp.zeros(3), jnp.zeros((3, 2)), r"x is \[M, C\]"),
        (jnp.zeros((1, 3)), jnp.zeros((2, 3)), r"the weight is \[3, N\]"),
        (jnp.zeros((1, 3), jnp.int32), jnp.zeros((3, 2)), "x is bfloat16 or float32"),
        (jnp.zeros((1, 3)), jnp.zeros((3, 2), jnp.int32), "not int32"),
    ],
)
def test_bad_arguments_are_refused(x, weight, message):
    with pytest.raises(pk.ArgumentError, match=message):
        pk.linear(x, weight)
