"""bf16 held as its bits in uint16: every op does with it what it means for bf16, in loops too."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import pallas_kernels
from pallas_kernels import BF16_BITS, narrow, widen
from tests.pallas_kernels import problems
from tests.pallas_kernels.op_tests import BF16, F32, close, jitted
from tests.pallas_kernels.problems import Case

BACK_ENDS = ["reference", "xla", "cpu", None]
CASE = Case(lengths=(0, 1, 31, 33, 64, 150), listed=3, pool=BF16, query=F32)


def in_bits(problem: dict[str, Any]) -> dict[str, Any]:
    bits = {"kv_pages", "summaries_mkrph"} & problem.keys()
    return problem | {name: lax.bitcast_convert_type(problem[name], BF16_BITS) for name in bits}


def run(op: str, problem: dict[str, Any], back_end: str | None) -> Any:
    if back_end == "cpu":
        pytest.importorskip("numba", reason="numba compiles the CPU kernels; it is not installed")
    return jitted(op, in_bits(problem), back_end)


def test_narrow_rounds_as_bf16_and_widen_undoes_it():
    numbers = jnp.asarray(np.random.default_rng(0).standard_normal(999) * 1e3, jnp.float32)
    wanted = numbers.astype(jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_array_equal(widen(narrow(numbers, BF16_BITS)), wanted)
    assert jnp.isnan(widen(narrow(jnp.asarray(jnp.nan), BF16_BITS)))


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_attention(back_end):
    problem = problems.attention_problem(CASE)
    out, lse = run("paged_attention", problem, back_end)
    want_out, want_lse = jitted("paged_attention", problem, "reference")
    close(out, want_out, 2e-6)
    close(lse, want_lse, 2e-6)


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_scores(back_end, kinds):
    problem = problems.scores_problem(CASE, kinds)
    wanted = jitted("page_scores", problem, "reference")
    close(run("page_scores", problem, back_end), wanted, 2e-6)


@pytest.mark.parametrize("tokens", [1, 37])
@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_append(back_end, tokens):
    problem = problems.append_problem(CASE, tokens, (tokens, 0, 1, tokens, tokens, 1))
    problem["summaries_mkrph"] = problem["summaries_mkrph"].astype(BF16)
    got = run("kv_append", problem, back_end)
    want = jitted("kv_append", problem, "reference")
    wanted = lax.bitcast_convert_type(want.kv_pages, BF16_BITS)
    held = ~jnp.isnan(want.kv_pages)
    np.testing.assert_array_equal(jnp.where(held, got.kv_pages, 0), jnp.where(held, wanted, 0))
    close(widen(got.summaries), widen(want.summaries), 2**-8)  # the mean's sum may round otherwise


def test_device_kernels_refuse_bits():
    problem = in_bits(problems.attention_problem(CASE))
    with pytest.raises(pallas_kernels.UnsupportedError, match="for CPUs only"):
        pallas_kernels.paged_attention(**problem, implementation="tpu_interpret")


@pytest.mark.parametrize("back_end", ["xla", "cpu"])
def test_a_loop_copies_no_pool(back_end):
    """Append and attend in a loop need no memory of the pool's size beside the donated pool."""
    if back_end == "cpu":
        pytest.importorskip("numba", reason="numba compiles the CPU kernels; it is not installed")
    pool = jax.ShapeDtypeStruct((4096, 2, 2, 16, 128), BF16_BITS)
    token = jnp.zeros((2, 1, 2, 128))
    table = jnp.arange(512, dtype=jnp.int32).reshape(2, 256)

    def step(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        pool, query = carry
        lengths = jnp.array([100, 200]) + i
        pool = pallas_kernels.kv_append(pool, token, token, table, lengths, implementation=back_end).kv_pages
        ids = jnp.broadcast_to(table[:, None, :16], (2, 2, 16))
        out, _ = pallas_kernels.paged_attention(
            query, pool, ids, jnp.full((2, 2), 16, jnp.int32), lengths, implementation=back_end
        )
        return pool, out

    def loop(pool: jax.Array, query: jax.Array) -> tuple[jax.Array, jax.Array]:
        return lax.fori_loop(0, 5, step, (pool, query))

    query = jax.ShapeDtypeStruct((2, 4, 128), jnp.float32)
    compiled = jax.jit(loop, donate_argnums=0).lower(pool, query).compile()
    size = pool.size * pool.dtype.itemsize
    assert compiled.memory_analysis().temp_size_in_bytes < size / 8
