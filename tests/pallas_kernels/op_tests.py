"""What every back end of an op must do; a back end's test subclasses these and says how to call it.

A subclass may leave out what its interpreter is too slow for, but not loosen what is compared.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pallas_kernels
from tests.pallas_kernels import problems
from tests.pallas_kernels.problems import Case

STATIC = {"page_size", "top_k", "sink_pages", "local_pages", "scale"}
BF16, F32, INT8, FP8 = jnp.bfloat16, jnp.float32, jnp.int8, jnp.float8_e4m3fn


def ragged(page_size: int, pages: int) -> tuple[int, ...]:
    """The lengths at which paging goes wrong: nothing, one, and around a page's edge."""
    p = page_size
    return (0, 1, p - 1, p, p + 1, pages * p, pages * p - 3)


def fast(rows: Sequence[Any], *few: int) -> list[Any]:
    """Rows of a parametrized test of which all but a few are slow (on a slow interpreter)."""
    return [
        row if i in few else pytest.param(*_as_tuple(row), marks=pytest.mark.slow)
        for i, row in enumerate(rows)
    ]


def _as_tuple(row: Any) -> tuple[Any, ...]:
    return row if isinstance(row, tuple) else (row,)


def close(got: jax.Array, want: jax.Array, tolerance: float) -> None:
    """Equal within ``tolerance`` of the largest expected number; −inf only where it is expected."""
    got, want = np.asarray(got, np.float32), np.asarray(want, np.float32)
    assert got.shape == want.shape
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    assert np.isfinite(got[finite]).all(), "NaN or inf leaked from memory that is not listed"
    if finite.any():
        worst = np.abs(got[finite] - want[finite]).max()
        assert worst <= tolerance * max(1.0, np.abs(want[finite]).max()), worst


def jitted(op: str, arguments: dict[str, Any], implementation: str | None) -> Any:
    """Call the public op under jit, its options static."""
    static = {name: value for name, value in arguments.items() if name in STATIC}
    arrays = {name: value for name, value in arguments.items() if name not in STATIC}
    return _jitted(op, implementation, tuple(static.items()))(arrays)


@functools.cache
def _jitted(op: str, implementation: str | None, static: tuple[tuple[str, Any], ...]) -> Any:
    function = functools.partial(getattr(pallas_kernels, op), **dict(static))
    return jax.jit(lambda arrays: function(**arrays, implementation=implementation))


CALLS = {
    "kv_append": pallas_kernels.KvAppend,
    "linear": pallas_kernels.Linear,
    "look_up": pallas_kernels.LookUp,
    "page_scores": pallas_kernels.PageScores,
    "paged_attention": pallas_kernels.PagedAttention,
    "prefix_attention": pallas_kernels.PrefixAttention,
    "select_pages": pallas_kernels.SelectPages,
}


def typed(op: str, arguments: dict[str, Any]) -> Any:
    """The op's typed call as a back end gets it: rows numbered, every option there."""
    call = CALLS[op](**arguments)
    if hasattr(call, "rows_b") and call.rows_b is None:
        call = dataclasses.replace(call, rows_b=jnp.arange(len(call.lengths_b), dtype=jnp.int32))
    if hasattr(call, "scale") and call.scale is None:
        call = dataclasses.replace(call, scale=call.query_bnh.shape[-1] ** -0.5)
    if hasattr(call, "top_k"):
        call = dataclasses.replace(call, top_k=min(call.top_k, call.scores_bkp.shape[2]))
    return call


class OpTests:
    """How to call the back end under test."""

    def call(self, op: str, **arguments: Any) -> Any:
        """Run ``op`` on the back end."""
        raise NotImplementedError

    def want(self, op: str, **arguments: Any) -> Any:
        """What the op means."""
        return jitted(op, arguments, implementation="reference")


ATTENTION_CASES = (
    Case(lengths=ragged(32, 6), listed=4),
    Case(lengths=(129, 0, 512), listed=3, page_size=128, query_heads=2, head_dim=80, query=BF16, pool=BF16),
    Case(lengths=(70, 5, 512), listed=6, page_size=16, query_heads=32, query=BF16, pool=BF16),
    Case(lengths=(64, 33, 31), listed=4, pool=INT8, query=BF16, query_heads=10),
    Case(lengths=(64, 33, 0), listed=2, pool=FP8, query=BF16, head_dim=64),
)
ATTENTION_MATRIX = tuple(
    Case(
        lengths=ragged(p, 256 // p + 2),
        listed=listed,
        page_size=p,
        pool=pool,
        query=query,
        query_heads=2 * G,
        head_dim=H,
        seed=p + G,
    )
    for p, listed in ((32, 4), (64, 6), (256, 3))
    for pool, query in ((F32, F32), (BF16, BF16), (INT8, BF16), (FP8, F32), (BF16, F32))
    for G, H in ((1, 128), (5, 96), (16, 64))
)


class PagedAttentionTests(OpTests):
    """`paged_attention` against its reference."""

    def compare(self, case: Case) -> None:
        problem = problems.attention_problem(case)
        out, lse = self.call("paged_attention", **problem, scale=0.2)
        want_out, want_lse = self.want("paged_attention", **problem, scale=0.2)
        assert out.dtype == case.query
        assert lse.dtype == jnp.float32
        close(out, want_out, case.tolerance)
        close(lse, want_lse, case.tolerance)

    @pytest.mark.parametrize("case", ATTENTION_CASES, ids=str)
    def test_equals_reference(self, case: Case) -> None:
        self.compare(case)

    @pytest.mark.slow
    @pytest.mark.parametrize("case", ATTENTION_MATRIX, ids=str)
    def test_matrix_equals_reference(self, case: Case) -> None:
        self.compare(case)

    def test_dense_decode_is_every_page_listed(self) -> None:
        case = Case(lengths=(100, 7), listed=4)
        problem = problems.attention_problem(case)
        table = problems.page_table(case)
        dense = np.repeat(table[:, None, ::-1], case.kv_heads, axis=1).copy()
        dense[1, :, 0] = table[1, 0]
        problem |= {
            "kv_pages": jnp.nan_to_num(problem["kv_pages"]),
            "page_ids_bkj": jnp.asarray(dense),
            "num_pages_bk": jnp.asarray([[4, 4], [1, 1]], jnp.int32),
        }
        out, _ = self.call("paged_attention", **problem)
        for b, length in enumerate(case.lengths):
            pages = problem["kv_pages"][table[b]]  # [P, K, 2, p, H]
            key, value = pages.transpose(2, 1, 0, 3, 4).reshape(2, 2, -1, 128)[:, :, :length]
            query = problem["query_bnh"][b].reshape(2, 2, 128)
            scores = jnp.einsum("kgh,kth->kgt", query, key, precision="highest") / 128**0.5
            weights = jax.nn.softmax(scores)
            plain = jnp.einsum("kgt,kth->kgh", weights, value, precision="highest")
            close(out[b].reshape(2, 2, 128), plain, 2e-6)


SCORES_CASES = (
    (Case(lengths=ragged(16, 20), listed=1, page_size=16), 1, 1),
    (Case(lengths=(300, 0, 16), listed=1, page_size=16, query_heads=8, head_dim=80), 2, 2),
    (Case(lengths=(1000, 40), listed=1, page_size=16, pool=BF16, query=BF16), 1, 1),
)


class PageScoresTests(OpTests):
    """`page_scores` against its reference."""

    @pytest.mark.parametrize(("case", "kinds", "layers"), SCORES_CASES, ids=str)
    def test_equals_reference(self, case: Case, kinds: int, layers: int) -> None:
        problem = problems.scores_problem(case, kinds, layers)
        scores = self.call("page_scores", **problem)
        assert scores.dtype == jnp.float32
        # Scores sum 128 products: the tolerance is relative to the largest score.
        close(scores, self.want("page_scores", **problem), case.tolerance)


class SelectPagesTests(OpTests):
    """`select_pages` equals its reference exactly, ties included."""

    @pytest.mark.parametrize("top_k", [3, 16, 64])
    @pytest.mark.parametrize(("sinks", "local"), [(0, 1), (1, 2)])
    def test_equals_reference(self, top_k: int, sinks: int, local: int) -> None:
        rng = np.random.default_rng(top_k)
        scores = np.round(rng.standard_normal((7, 2, 40)) * 2) / 2  # many ties
        scores[0, 0, :3] = [np.nan, np.inf, -np.inf]
        problem = {
            "scores_bkp": jnp.asarray(scores, jnp.float32),
            "lengths_b": jnp.asarray([0, 1, 15, 16, 17, 640, 500], jnp.int32),
            "page_size": 16,
            "top_k": top_k,
            "sink_pages": sinks,
            "local_pages": local,
            "page_table_bp": jnp.asarray(rng.permutation(280).reshape(7, 40), jnp.int32),
        }
        got_ids, got_num = self.call("select_pages", **problem)
        ids, num = self.want("select_pages", **problem)
        np.testing.assert_array_equal(got_num, num)
        np.testing.assert_array_equal(got_ids, ids)

    def test_newest_sink_and_local_pages_are_always_listed(self) -> None:
        scores = jnp.zeros((1, 1, 32)).at[0, 0, 4:20].set(9.0)
        ids, num = self.call(
            "select_pages",
            scores_bkp=scores,
            lengths_b=jnp.asarray([16 * 30], jnp.int32),
            page_size=16,
            top_k=6,
            sink_pages=1,
            local_pages=3,
        )
        assert num.tolist() == [[6]]
        assert ids[0, 0].tolist() == [29, 28, 27, 5, 4, 0]


APPEND_CASES = (
    (Case(lengths=(0, 31, 32, 65), listed=1), 1, (1, 1, 1, 0), 1),
    (Case(lengths=(0, 5, 40), listed=1, page_size=16), 37, (37, 0, 20), 2),
    (Case(lengths=(3, 47), listed=1, page_size=16, query=BF16, pool=BF16, head_dim=80), 1, (1, 1), 1),
    (Case(lengths=(0, 33), listed=1, pool=INT8, query=BF16), 1, (1, 1), 1),
    (Case(lengths=(10, 64), listed=1, pool=FP8, query=F32), 40, (40, 7), 1),
    # A page table of several tiles: pages at their edges, and past the last whole one.
    (Case(lengths=(2047, 2048, 4100), listed=1, page_size=16, query=BF16, pool=BF16), 1, (1, 1, 1), 1),
    (Case(lengths=(2040, 2060, 4100), listed=1, page_size=16), 20, (20, 20, 3), 1),
)


class KvAppendTests(OpTests):
    """`kv_append` against its reference, on what the pages hold and on what it must not touch."""

    @pytest.mark.parametrize(("case", "tokens", "new_tokens", "kinds"), APPEND_CASES, ids=str)
    def test_equals_reference(self, case: Case, tokens: int, new_tokens: tuple[int, ...], kinds: int) -> None:
        problem = problems.append_problem(case, tokens, new_tokens, kinds)
        got, want = self.call("kv_append", **problem), self.want("kv_append", **problem)
        after = np.add(case.lengths, new_tokens)
        table = np.asarray(problem["page_table_bp"])
        held = np.zeros((len(problem["kv_pages"]), case.page_size), bool)
        for b, length in enumerate(after):
            rows = np.arange(table.shape[1] * case.page_size) < length
            held[table[b]] = rows.reshape(table.shape[1], -1)
        pages = [np.asarray(pool.astype(jnp.float32)) for pool in (got[0], want[0])]
        both = [np.where(held[:, None, None, :, None], pool, 0.0) for pool in pages]
        steps = 1 if case.pool == INT8 else 0.07 * 448 if case.pool == FP8 else 0
        assert np.abs(both[0] - both[1]).max() <= steps  # one rounding step at most
        close(got[1], want[1], max(case.tolerance, 2e-2 if steps else 0))
        if got[2] is not None:
            close(got[2], want[2], 2e-6)

    def test_filling_token_by_token_equals_one_chunk(self) -> None:
        case = Case(lengths=(0, 5), listed=1, page_size=16)
        problem = problems.append_problem(case, 20, (20, 20), 1)
        whole = self.call("kv_append", **problem)
        keys, values = problem.pop("key_btkh"), problem.pop("value_btkh")
        problem["new_tokens_b"] = jnp.ones((2,), jnp.int32)
        for t in range(0, 20, 4):  # four at a time, then one: pages end in both
            for part in ((t, t + 3), (t + 3, t + 4)):
                problem["new_tokens_b"] = jnp.full((2,), part[1] - part[0], jnp.int32)
                step = self.call(
                    "kv_append", **problem, key_btkh=keys[:, slice(*part)], value_btkh=values[:, slice(*part)]
                )
                problem |= {"kv_pages": step[0], "summaries_mkrph": step[1]}
                problem["lengths_b"] = problem["lengths_b"] + part[1] - part[0]
        np.testing.assert_array_equal(jnp.nan_to_num(step[0]), jnp.nan_to_num(whole[0]))
        close(step[1], whole[1], 2e-6)


PREFIX_CASES = (
    (Case(lengths=(40, 0, 33, 1), listed=3), 2, (70, 0)),
    (Case(lengths=(64, 70, 5, 90), listed=4, query=BF16, pool=BF16), 4, (128,)),
)


class PrefixAttentionTests(OpTests):
    """`prefix_attention` against its reference."""

    @pytest.mark.parametrize(("case", "samples", "shared"), PREFIX_CASES, ids=str)
    def test_equals_reference(self, case: Case, samples: int, shared: tuple[int, ...]) -> None:
        problem = problems.prefix_problem(case, samples, shared)
        out, lse = self.call("prefix_attention", **problem)
        want_out, want_lse = self.want("prefix_attention", **problem)
        close(out, want_out, case.tolerance)
        close(lse, want_lse, case.tolerance)

    def test_no_prompt_equals_paged_attention(self) -> None:
        case = Case(lengths=(40, 20), listed=3)
        problem = problems.prefix_problem(case, 1, (0, 0))
        out, lse = self.call("prefix_attention", **problem)
        own = problems.attention_problem(dataclasses.replace(case))
        want_out, want_lse = self.want("paged_attention", **own)
        close(out, want_out, 2e-6)
        close(lse, want_lse, 2e-6)
