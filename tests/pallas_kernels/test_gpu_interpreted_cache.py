"""`select_pages` and `kv_append` under the GPU interpreter: the shared tests, and planted bugs."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels import SelectPages, _gpu, errors
from pallas_kernels.kv_append import gpu as append_gpu
from pallas_kernels.kv_append import gpu_kernel as append_kernel
from pallas_kernels.select_pages import gpu as select_gpu
from pallas_kernels.select_pages import gpu_threshold
from tests.pallas_kernels import op_tests, problems
from tests.pallas_kernels.gpu_interpreter import call
from tests.pallas_kernels.op_tests import BF16, FP8, INT8, Case

pytestmark = pytest.mark.skipif(bool(_gpu.missing()), reason=f"no whole Mosaic GPU in jax {jax.__version__}")

SELECT_CASES = (  # pages, listed, always listed (sinks, local), with a page table
    (2048, 64, (0, 1), True),
    (1500, 202, (2, 3), True),
    (8192, 65, (1, 1), False),
    (300, 300, (0, 1), True),
)


class TestSelectPages(op_tests.SelectPagesTests):
    """The shared tests, and rows of pages of every kind: many ties, NaN past the end, any int32 as an id."""

    def call(self, op: str, **arguments: Any) -> Any:
        return call(select_gpu, op, arguments)

    @pytest.mark.parametrize(("P", "J", "always", "tabled"), SELECT_CASES, ids=str)
    def test_any_row_of_pages(self, P: int, J: int, always: tuple[int, int], tabled: bool) -> None:
        problem = self.problem(P, J, tabled) | dict(zip(("sink_pages", "local_pages"), always, strict=True))
        for got, want in zip(
            self.call("select_pages", **problem), self.want("select_pages", **problem), strict=True
        ):
            np.testing.assert_array_equal(got, want)

    def problem(self, P: int, J: int, tabled: bool) -> dict[str, Any]:
        rng = np.random.default_rng(P)
        lengths = np.array([P * 16, rng.integers(1, P * 16), 0, 17])
        scores = np.round(rng.standard_normal((4, 2, P)) * 4) / 4
        scores[0, 1] = rng.standard_normal(P)
        exists = np.arange(P) < -(-lengths // 16)[:, None, None]
        table = rng.integers(0, 2**31 - 1, (4, P)) if tabled else None
        return {
            "scores_bkp": jnp.asarray(np.where(exists, scores, np.nan), jnp.float32),
            "lengths_b": jnp.asarray(lengths, jnp.int32),
            "page_table_bp": None if table is None else jnp.asarray(table, jnp.int32),
            "page_size": 16,
            "top_k": J,
        }

    @pytest.mark.parametrize("bug", [(0, -1), (1, 0)], ids=["a tie too few", "next key"])
    def test_a_wrong_threshold_is_caught(self, bug: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        real = gpu_threshold.threshold
        monkeypatch.setattr(
            gpu_threshold,
            "threshold",
            lambda *row: tuple(x + off for x, off in zip(real(*row), bug, strict=True)),
        )
        with pytest.raises(AssertionError):
            self.test_any_row_of_pages(1500, 202, (2, 3), True)

    def test_too_many_pages_are_refused(self) -> None:
        scores, lengths = jnp.zeros((1, 1, 8193)), jnp.ones((1,), jnp.int32)
        reason = select_gpu.check(SelectPages(scores, lengths, page_size=16, top_k=4))
        assert reason == "8193 pages a sequence are more than 8192"


LARGE = Case(lengths=(0, 63, 255, 256, 9), listed=1, query=BF16, pool=BF16)


class TestKvAppend(op_tests.KvAppendTests):
    """The shared tests on the pages that the kernel takes, and others of every page size."""

    CASES = (
        *(row for row in op_tests.APPEND_CASES if row[0].pool not in (INT8, FP8)),
        (dataclasses.replace(LARGE, page_size=256), 1, (1, 1, 1, 1, 0), 2),
        (dataclasses.replace(LARGE, page_size=128), 70, (1, 70, 64, 3, 0), 1),
        (Case(lengths=(47, 48, 5), listed=1, page_size=48, pool=BF16, stored=256), 50, (50, 1, 2), 2),
    )

    def call(self, op: str, **arguments: Any) -> Any:
        B, T = arguments["key_btkh"].shape[:2]
        every = {"new_tokens_b": jnp.full((B,), T, jnp.int32), "rows_b": jnp.arange(B)}
        return call(append_gpu, op, every | arguments)

    @pytest.mark.parametrize(("case", "tokens", "new_tokens", "kinds"), CASES, ids=str)
    def test_equals_reference(self, case: Case, tokens: int, new_tokens: tuple[int, ...], kinds: int) -> None:
        super().test_equals_reference(case, tokens, new_tokens, kinds)

    @pytest.mark.parametrize("tokens", [1, 20])
    def test_nothing_else_is_touched(self, tokens: int) -> None:
        case = Case(lengths=(16, 30, 8), listed=1, page_size=16)
        problem = problems.append_problem(case, tokens, (tokens, 0, tokens)) | {
            "rows_b": jnp.asarray([4, 3, 1], jnp.int32)
        }
        tall = jnp.tile(problem["summaries_mkrph"], (2, 1, 1, 1, 1))
        problem["summaries_mkrph"] = tall
        pool, summaries, _ = self.call("kv_append", **problem)
        pages = -(-(16 + tokens) // 16)
        touched = np.asarray(problem["page_table_bp"])
        touched = {*touched[0, 1:pages], *touched[2, : -(-(8 + tokens) // 16)]}
        others = [page for page in range(len(pool)) if page not in touched]
        np.testing.assert_array_equal(pool[jnp.array(others)], problem["kv_pages"][jnp.array(others)])
        np.testing.assert_array_equal(summaries[jnp.array([0, 2, 3, 5])], tall[jnp.array([0, 2, 3, 5])])

    @pytest.mark.parametrize("tokens", [1, 20])
    def test_a_summary_of_one_row_too_many_is_caught(
        self, tokens: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = append_kernel._rows
        monkeypatch.setattr(append_kernel, "_rows", lambda *shape: real(*shape) - 1)
        case = Case(lengths=(5, 40), listed=1, page_size=16)
        with pytest.raises(AssertionError):
            super().test_equals_reference(case, tokens, (tokens, tokens), 1)

    def test_refusals_say_why(self) -> None:
        problem = problems.append_problem(Case(lengths=(5,), listed=1, pool=INT8, query=BF16), 1, (1,))
        with pytest.raises(errors.UnsupportedError, match="may rescale a whole page of int8"):
            op_tests.pallas_kernels.kv_append(**problem, implementation="gpu")
