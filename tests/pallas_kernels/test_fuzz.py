"""Random shapes, lengths and dtypes of every op against its reference: XLA's path and interpreted kernels.

Hypothesis shrinks what fails to the smallest problem. The default profile draws few; ``-m slow`` many.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pallas_kernels import _gpu
from tests.pallas_kernels import problems
from tests.pallas_kernels.op_tests import BF16, F32, FP8, INT8, close, jitted
from tests.pallas_kernels.problems import Case

FEW = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=150, derandomize=False, print_blob=True)
DTYPES = ((F32, F32), (BF16, BF16), (BF16, F32), (INT8, BF16), (FP8, BF16))  # pool, query
BACK_ENDS = ("xla", "tpu_interpret")


@st.composite
def cases(draw: Any, dtypes: Any = DTYPES) -> Case:
    """A shape that every back end takes: pages of whole tiles, heads padded to 128."""
    pool, query = draw(st.sampled_from(dtypes))
    page_size = draw(st.sampled_from((32, 64)))
    pages = draw(st.integers(1, 6))
    kv_heads = draw(st.sampled_from((1, 2, 3, 4)))
    near_an_edge = st.builds(
        lambda page, off: max(0, page * page_size + off), st.integers(0, pages), st.integers(-1, 1)
    )
    return Case(
        lengths=tuple(draw(st.lists(near_an_edge, min_size=1, max_size=4))),
        listed=draw(st.integers(1, 7)),
        page_size=page_size,
        pool=pool,
        query=query,
        kv_heads=kv_heads,
        query_heads=kv_heads * draw(st.sampled_from((1, 2, 5))),
        head_dim=draw(st.sampled_from((64, 80, 128))),
        seed=draw(st.integers(0, 2**16)),
    )


def attention(back_end: str, case: Case) -> None:
    arguments = {**problems.attention_problem(case), "scale": 0.2}
    got, want = (jitted("paged_attention", arguments, name) for name in (back_end, "reference"))
    for ours, theirs in zip(got, want, strict=True):
        close(ours, theirs, case.tolerance)


def scores(back_end: str, case: Case, kinds: int) -> None:
    arguments = problems.scores_problem(case, kinds)
    got, want = (jitted("page_scores", arguments, name) for name in (back_end, "reference"))
    close(got, want, case.tolerance)


def selection(back_end: str, case: Case, top_k: int, sinks: int, local: int) -> None:
    rng = np.random.default_rng(case.seed)
    table = problems.page_table(case)
    B, P = table.shape
    drawn = np.round(rng.standard_normal((B, case.kv_heads, P)) * 2) / 2  # many ties
    arguments = {
        "scores_bkp": np.where(rng.random(drawn.shape) < 0.1, np.nan, drawn).astype(np.float32),
        "lengths_b": np.array(case.lengths, np.int32),
        "page_table_bp": table,
        "page_size": case.page_size,
        "top_k": sinks + local + top_k,
        "sink_pages": sinks,
        "local_pages": local,
    }
    got, want = (jitted("select_pages", arguments, name) for name in (back_end, "reference"))
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def append(back_end: str, case: Case, tokens: int, kinds: int) -> None:
    rng = np.random.default_rng(case.seed)
    new = tuple(int(n) for n in rng.integers(0, tokens + 1, len(case.lengths)))
    arguments = problems.append_problem(case, tokens, new, kinds)
    got, want = (jitted("kv_append", arguments, name) for name in (back_end, "reference"))
    after = np.add(case.lengths, new)
    for b, row in enumerate(np.asarray(arguments["page_table_bp"])):
        held = np.arange(row.size * case.page_size).reshape(row.size, -1) < after[b]
        pages = [np.where(held[:, None, None, :, None], pool[row], 0) for pool in (got[0], want[0])]
        np.testing.assert_array_equal(*(page.astype(np.float32) for page in pages))
        touched = held.any(axis=1)
        summaries = [np.asarray(s[b], np.float32)[:, :, touched] for s in (got[1], want[1])]
        close(*summaries, case.tolerance)


def prefix(back_end: str, case: Case, samples: int, shared: int) -> None:
    lengths = (case.lengths * samples)[: samples * max(1, len(case.lengths) // samples)]
    case = dataclasses.replace(case, lengths=lengths)
    prompts = tuple(shared * (u + 1) % 200 for u in range(len(lengths) // samples))
    arguments = problems.prefix_problem(case, samples, prompts)
    got, want = (jitted("prefix_attention", arguments, name) for name in (back_end, "reference"))
    for ours, theirs in zip(got, want, strict=True):
        close(ours, theirs, case.tolerance)


PLAIN = cases(DTYPES[:3])  # summaries have no 8-bit form; 8-bit appends may round either way
DRAWN = {
    attention: (cases(),),
    scores: (cases(DTYPES[:2]), st.sampled_from((1, 2))),
    selection: (PLAIN, st.integers(0, 8), st.integers(0, 2), st.integers(1, 3)),
    append: (PLAIN, st.sampled_from((1, 1, 3, 40)), st.sampled_from((1, 2))),
    prefix: (PLAIN, st.integers(1, 3), st.integers(0, 130)),
}


def fuzz(check: Any, back_end: str, effort: settings) -> None:
    effort(given(st.tuples(*DRAWN[check]))(lambda drawn: check(back_end, *drawn)))()


FAST = [("xla", check) for check in DRAWN] + [("tpu_interpret", selection)]
FAST += [("gpu_interpret", check) for check in (selection, append)]


@pytest.fixture(autouse=True)
def _forget_programs() -> Any:
    """Every example is a shape of its own, compiled once and never met again."""
    yield
    jax.clear_caches()


@pytest.mark.parametrize(("back_end", "check"), FAST, ids=lambda x: getattr(x, "__name__", x))
def test_few(back_end: str, check: Any) -> None:
    if back_end == "gpu_interpret" and (reason := _gpu.refusal()):
        pytest.skip(reason)
    fuzz(check, back_end, FEW)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("check", DRAWN, ids=lambda check: check.__name__)
@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_many(back_end: str, check: Any) -> None:
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        fuzz(check, back_end, MANY if back_end == "xla" else settings(MANY, max_examples=30))
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
