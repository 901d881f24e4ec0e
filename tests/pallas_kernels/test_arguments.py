"""What an op may be given: every dtype of every argument, things that are no arrays, numbers out of range."""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pallas_kernels as pk
from tests.pallas_kernels import small

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    "page_ids_bkj",
    "num_pages_bk",
    "lengths_b",
    "page_table_bp",
    "new_tokens_b",
    "rows_b",
    "prefix_ids_ukj",
    "prefix_num_pages_uk",
    "prefix_lengths_u",
    "ids_m",
}
HELD = {"kv_pages", "summaries_mkrph"}
BACK_ENDS = ["reference", "xla", "cpu", None]


def needs_numba(back_end: str | None) -> None:
    if back_end == "cpu":
        pytest.importorskip("numba", reason="numba compiles the CPU kernels; it is not installed")


def allowed(op: str, name: str, dtype: str) -> bool:
    """Whether an argument may have this dtype, as the docstrings say."""
    if name in WHOLE:
        return jnp.issubdtype(dtype, jnp.integer)
    if name == "scores_bkp":
        return dtype == "float32"
    if name in HELD:
        return dtype in ("bfloat16", "float32", "uint16")
    if op in ("linear", "look_up"):
        more = ("float16",) if name == "x_mc" else ("float16", "int8", "uint16")
        return dtype in ("bfloat16", "float32", *more)
    return dtype in ("bfloat16", "float32")


@pytest.mark.parametrize("x64", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_dtype_of_any_argument_crashes_or_means_something_else(x64: bool) -> None:
    command = [sys.executable, "-m", "tests.pallas_kernels.dtype_table", *(["x64"] if x64 else [])]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=550, check=False
    )
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, (ran.returncode, rows[-1:], ran.stderr[-2000:])
    wrong = []
    seen = collections.Counter(row["back_end"] for row in rows)
    for row in rows:
        # Keys and values, or pages and scales, go together: one of another dtype is refused for that.
        paired = row["argument"] in ("key_btkh", "value_btkh") and row["dtype"] != "float32"
        outcome = row["outcome"]
        refused = outcome.startswith("refused: ") and "\n" not in outcome
        if not allowed(row["op"], row["argument"], row["dtype"]) or paired:
            right = refused
        elif row["argument"] in WHOLE:
            right = outcome in ("same", "traced")
        else:  # a back end that is named may have no kernel of this dtype
            right = outcome in ("same", "close", "traced") or (refused and row["back_end"] == "cpu")
        if not right:
            wrong.append(row)
    assert not wrong, wrong[:5]
    assert min(seen.values()) > 300


@pytest.mark.parametrize("op", small.OPS)
def test_what_is_no_array_is_named(op: str) -> None:
    given = small.arguments(op)
    for name, array in small.arrays(given).items():
        for value in (
            array.tolist(),
            3,
            2.5,
            "text",
            jax.ShapeDtypeStruct(array.shape, array.dtype),
            np.full(array.shape, "x"),
            object(),
        ):
            with pytest.raises(pk.ArgumentError, match=r"(is|are) an array of") as caught:
                getattr(pk, op)(**given | {name: value})
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("op", small.OPS)
def test_arrays_of_numpy_and_other_ranks(op: str) -> None:
    given = small.arguments(op)
    wanted = jax.tree.leaves(getattr(pk, op)(**given))
    numpy = given | {name: np.asarray(array) for name, array in small.arrays(given).items()}
    for ours, theirs in zip(jax.tree.leaves(getattr(pk, op)(**numpy)), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name, array in small.arrays(given).items():
        for other in (array[None], array.reshape(-1)[0], array[:0]):
            empty = name in ("ids_m", "x_mc") and other.ndim == array.ndim  # no rows are wanted
            if other.shape != array.shape and not empty:
                with pytest.raises(pk.ArgumentError):
                    getattr(pk, op)(**given | {name: other})


@pytest.mark.parametrize("number", [2**40, -(2**33), 2**31])
def test_numpy_numbers_beyond_int32_are_refused(number: int) -> None:
    given = small.arguments("paged_attention")
    with pytest.raises(pk.ArgumentError, match="lengths are int32; some of these numbers"):
        pk.paged_attention(**given | {"lengths_b": np.asarray([1, number])})


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("place", [2**32 + 1, 2**40, -(2**35)])
def test_a_wide_id_is_out_of_range_and_not_another_page(place: int, back_end: str | None) -> None:
    needs_numba(back_end)
    with jax.enable_x64(True):
        given = small.arguments("kv_append")
        table = jnp.full(given["page_table_bp"].shape, place, jnp.int64)
        after = pk.kv_append(**given | {"page_table_bp": table}, implementation=back_end)
    np.testing.assert_array_equal(after.kv_pages, given["kv_pages"])


OUT_OF_RANGE = [
    {"lengths_b": [10_000, -3]},
    {"lengths_b": [16 * 16, 2**31 - 1]},
    {"page_table_bp": 99},
    {"page_table_bp": -1},
]


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("change", OUT_OF_RANGE, ids=str)
def test_an_append_past_the_end_writes_nowhere(change: dict[str, Any], back_end: str | None) -> None:
    needs_numba(back_end)
    given = small.arguments("kv_append")
    ((name, value),) = change.items()
    given[name] = jnp.broadcast_to(jnp.asarray(value, jnp.int32), given[name].shape)
    if name == "lengths_b":
        given["new_tokens_b"] = jnp.asarray([1, 1 if value[1] > 0 else 0], jnp.int32)
    after = pk.kv_append(**given, implementation=back_end)
    np.testing.assert_array_equal(after.kv_pages, given["kv_pages"])
    np.testing.assert_array_equal(after.summaries, given["summaries_mkrph"])


@pytest.mark.parametrize("tokens", [1, 20])
@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_more_tokens_than_there_are_and_rows_that_are_not(tokens: int, back_end: str | None) -> None:
    needs_numba(back_end)
    given = small.problems.append_problem(small.CASE, tokens, (tokens, tokens))
    given["kv_pages"] = jnp.nan_to_num(given["kv_pages"])
    wanted = pk.kv_append(**given, implementation="reference")
    rows = jnp.asarray([7, -1], jnp.int32)
    more = given | {"new_tokens_b": jnp.full((2,), 90, jnp.int32), "rows_b": rows}
    after = pk.kv_append(**more, implementation=back_end)
    np.testing.assert_array_equal(after.kv_pages, wanted.kv_pages)
    np.testing.assert_array_equal(after.summaries, given["summaries_mkrph"])


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("op", ["page_scores", "select_pages", "paged_attention", "prefix_attention"])
def test_reads_stay_inside(op: str, back_end: str | None) -> None:
    """Numbers far out of range end no process and give as many results as ever."""
    needs_numba(back_end)
    given = small.arguments(op)
    shapes = [x.shape for x in jax.tree.leaves(getattr(pk, op)(**given))]
    for name in WHOLE & given.keys():
        for value in (10**6, -(10**6), 2**31 - 1, -(2**31)):
            changed = given | {name: jnp.full(given[name].shape, value, jnp.int32)}
            results = jax.tree.leaves(getattr(pk, op)(**changed, implementation=back_end))
            assert [np.asarray(x).shape for x in results] == shapes


@pytest.mark.parametrize(
    ("op", "change", "message"),
    [
        ("page_scores", {"page_size": 0}, "page_size is at least 1, not 0"),
        ("page_scores", {"page_size": 16.0}, "page_size is a whole number, not 16.0"),
        ("select_pages", {"top_k": True}, "top_k is a whole number, not True"),
        ("select_pages", {"local_pages": 0}, "local_pages is at least 1, not 0"),
        ("select_pages", {"sink_pages": -1}, "sink_pages is at least 0, not -1"),
        ("select_pages", {"page_size": "16"}, "page_size is a whole number, not '16'"),
        ("linear", {"transposed": 1}, "transposed is True or False, not 1"),
        ("paged_attention", {"scale": "half"}, "scale is positive and finite, not 'half'"),
        ("paged_attention", {"scale": float("nan")}, "scale is positive and finite, not nan"),
        ("prefix_attention", {"scale": float("inf")}, "scale is positive and finite, not inf"),
        ("prefix_attention", {"scale": 1j}, "scale is positive and finite"),
        ("paged_attention", {"scale": True}, "scale is positive and finite, not True"),
        ("paged_attention", {"scale": jnp.ones(2)}, "scale is positive and finite"),
    ],
)
def test_options(op: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(pk.ArgumentError, match=message):
        getattr(pk, op)(**small.arguments(op) | change)


@pytest.mark.parametrize("scale", [np.float32(0.5), jnp.asarray(0.5), np.asarray(0.5), jnp.bfloat16(0.5)])
def test_a_scale_may_be_any_number(scale: Any) -> None:
    given = small.arguments("paged_attention")
    wanted, _ = pk.paged_attention(**given, scale=0.5)
    np.testing.assert_array_equal(pk.paged_attention(**given, scale=scale)[0], wanted)


@pytest.mark.parametrize("back_end", ["reference", "xla", None])
def test_a_traced_option_is_refused_in_our_words(back_end: str | None) -> None:
    given = small.arguments("paged_attention")
    with pytest.raises(pk.ArgumentError, match="multiply the query by it and give scale"):
        jax.jit(lambda scale: pk.paged_attention(**given, scale=scale, implementation=back_end))(0.5)
    scores = small.arguments("select_pages")
    with pytest.raises(pk.ArgumentError, match="top_k must be known when the call is traced"):
        jax.jit(lambda top_k: pk.select_pages(**scores | {"top_k": top_k}))(2)
