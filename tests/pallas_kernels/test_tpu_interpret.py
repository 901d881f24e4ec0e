"""The TPU kernels under JAX's two interpreters: as plain logic, and as a machine with memory and copies.

The machine starts memory as NaN, lands copies only when they are waited for ("lazy") or at once ("eager"),
counts semaphores and looks for races. The planted bugs at the end prove that each of these can fail.
"""

import functools
import importlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels.kv_append import tpu_kernel as append_kernel
from pallas_kernels.paged_attention import tpu as attention
from pallas_kernels.paged_attention import tpu_kernel as attention_kernel
from pallas_kernels.select_pages import tpu as select
from pallas_kernels.select_pages import tpu_kernel as select_kernel
from pallas_kernels.tuning import overridden
from tests.pallas_kernels import machine, problems
from tests.pallas_kernels.op_tests import (
    APPEND_CASES,
    ATTENTION_CASES,
    BF16,
    INT8,
    PREFIX_CASES,
    SCORES_CASES,
    KvAppendTests,
    OpTests,
    PagedAttentionTests,
    PageScoresTests,
    PrefixAttentionTests,
    SelectPagesTests,
    close,
    fast,
    jitted,
    typed,
)
from tests.pallas_kernels.problems import Case


@pytest.fixture(autouse=True, scope="module")
def compile_fast() -> Iterator[None]:
    """Interpreted kernels are large programs that run once: short rings, and no polish."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


class Interpreted(OpTests):
    """By the public name of an interpreted kernel."""

    def call(self, op: str, **arguments: Any) -> Any:
        return jitted(op, arguments, "tpu_interpret")


class TestPagedAttention(Interpreted, PagedAttentionTests):
    @pytest.mark.parametrize("case", fast(ATTENTION_CASES, 0, 3), ids=str)
    def test_equals_reference(self, case: Case) -> None:
        self.compare(case)

    @pytest.mark.parametrize(("query_heads", "kv_heads"), [(16, 8), (12, 4), (6, 6), (256, 8)], ids=str)
    def test_log_sum_exps_of_whole_sequences(self, query_heads: int, kv_heads: int) -> None:
        """Where blocks hold whole sequences and their heads fit the lanes, rows of them leave the kernel."""
        heads = {"query_heads": query_heads, "kv_heads": kv_heads}
        self.compare(Case(lengths=(64, 33, 0, 100, 1, 20), listed=4, **heads))

    @pytest.mark.slow
    def test_dense_decode_is_every_page_listed(self) -> None:
        super().test_dense_decode_is_every_page_listed()


SPLIT_CASES = (
    Case(lengths=(300,), listed=10, kv_heads=1),
    Case(lengths=(65, 0), listed=5, kv_heads=1, pool=INT8, query=BF16),
    Case(lengths=(513,), listed=40, kv_heads=2, page_size=16, query=BF16, pool=BF16),
)


class TestSplitLists(PagedAttentionTests):
    """Lists fewer than a step takes are attended in parts; so are ids that exceed scalar memory."""

    def call(self, op: str, **arguments: Any) -> Any:
        few = {"chunk_tokens": 64, "lists_per_step": 4, "ring": 3}
        B, K, J = arguments["page_ids_bkj"].shape
        p = arguments["kv_pages"].shape[3]
        assert attention.list_parts(B, K, J, p, {"cores": 1, **few}) > 1
        return attention.paged_attention(typed(op, arguments), interpret=True, **few)

    @pytest.mark.parametrize("case", fast(SPLIT_CASES, 0), ids=str)
    def test_equals_reference(self, case: Case) -> None:
        self.compare(case)

    @pytest.mark.slow
    def test_ids_beyond_scalar_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(attention, "SMEM_WORDS", attention.smem_words(2, 128))
        self.compare(Case(lengths=(1300, 33, 0), listed=160, page_size=8))

    test_matrix_equals_reference = None
    test_dense_decode_is_every_page_listed = None


class TestPageScores(Interpreted, PageScoresTests):
    pass


class TestSelectPages(Interpreted, SelectPagesTests):
    pass


class TestSelectPagesManyBlocks(SelectPagesTests):
    """In blocks of few rows, with heads that share a row of the page table; keys one bit at a time."""

    def call(self, op: str, **arguments: Any) -> Any:
        given = arguments.pop("scores_bkp")
        scores = jnp.repeat(given, 8, axis=1)
        call = typed(op, arguments | {"scores_bkp": scores})
        ids, num = select.select_pages(call, interpret=True)
        np.testing.assert_array_equal(ids, ids[:, ::8].repeat(8, axis=1))
        return ids[:, ::8], num[:, : given.shape[1]]

    @pytest.fixture(autouse=True)
    def _small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(select_kernel, "BLOCK", 1)
        monkeypatch.setattr(select_kernel, "SMALL", 1)


class TestSelectPagesOnCores(TestSelectPagesManyBlocks):
    """One block a core, each with its part of the whole page table."""

    @pytest.fixture(autouse=True)
    def _small_blocks(self) -> Iterator[None]:
        with overridden("select_pages", cores=7):
            yield


class TestKvAppend(Interpreted, KvAppendTests):
    pass


class TestPrefixAttention(Interpreted, PrefixAttentionTests):
    @pytest.mark.parametrize(("case", "samples", "shared"), fast(PREFIX_CASES, 0), ids=str)
    def test_equals_reference(self, case: Case, samples: int, shared: tuple[int, ...]) -> None:
        super().test_equals_reference(case, samples, shared)

    @pytest.mark.slow
    def test_no_prompt_equals_paged_attention(self) -> None:
        super().test_no_prompt_equals_paged_attention()


class OnMachine(OpTests):
    """On the interpreted machine, with small constants so that rings and chunks wrap around."""

    mode = "lazy"
    tuning: dict[str, dict[str, int]] = {  # noqa: RUF012
        "paged_attention": {"ring": 3, "chunk_tokens": 64},
        "page_scores": {"chunk_kib": 128},
    }

    def call(self, op: str, **arguments: Any) -> Any:
        function = getattr(importlib.import_module(f"pallas_kernels.{op}.tpu"), op)
        static = {"interpret": machine.parameters(self.mode), **self.tuning.get(op, {})}
        with machine.watched():
            call = typed(op, arguments)
            return jax.block_until_ready(jax.jit(lambda call: function(call, **static))(call))


LONG = Case(lengths=(0, 31, 33, 256), listed=8)
SHORT = Case(lengths=(70, 5, 512, 40), listed=2, page_size=16, query=BF16, pool=BF16)


# Turns of the ring without a branch: inside a list and across to the next, and the last turn of all.
FULL_LONG = Case(lengths=(384,) * 4, listed=12, kv_heads=1, query_heads=2)
FULL_SHORT = Case(lengths=(64,) * 12, listed=2, kv_heads=1, query_heads=2)
FULL_HEADS = Case(lengths=(64,) * 4, listed=2, kv_heads=4, query_heads=8)
FULL = [(mode, case) for mode in machine.MACHINES for case in (FULL_LONG, FULL_SHORT, FULL_HEADS)]
ON_MACHINE = [(mode, case) for mode in machine.MACHINES for case in (LONG, SHORT, *ATTENTION_CASES)]
# Turns of the ring: across sequences, of which some hold nothing, and across chunks, the last one shorter.
CHUNKED = (Case(lengths=(16 * 296, 0, 16 * 130 + 5), listed=1, page_size=16), 1, 1)
SCORES = [(mode, row) for mode in machine.MACHINES for row in (SCORES_CASES[0], CHUNKED)]
APPENDS = [(mode, row) for mode in machine.MACHINES for row in APPEND_CASES]


class TestOnMachine(OnMachine):
    @pytest.mark.parametrize(("mode", "case"), fast(ON_MACHINE, 0, 8), ids=str)
    def test_paged_attention(self, mode: str, case: Case) -> None:
        self.mode = mode
        PagedAttentionTests.compare(self, case)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("mode", "case"), fast(FULL, 0, 1), ids=str)
    def test_full_turns(self, mode: str, case: Case) -> None:
        self.mode = mode
        problem = problems.attention_problem(case)
        assert (problem["num_pages_bk"] == case.listed).all()
        PagedAttentionTests.compare(self, case)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("mode", "row"), fast(SCORES, 0, 3), ids=str)
    def test_page_scores(self, mode: str, row: Any) -> None:
        self.mode = mode
        PageScoresTests.test_equals_reference(self, *row)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("mode", "row"), fast(APPENDS, 0, 8), ids=str)
    def test_kv_append(self, mode: str, row: Any) -> None:
        self.mode = mode
        KvAppendTests.test_equals_reference(self, *row)  # type: ignore[arg-type]


def forget_to_wait(*_: Any, **__: Any) -> None:
    """In place of a wait."""


def previous_page(refs: Any, index: jax.Array, first: Any, j: Any) -> jax.Array:
    """In place of `page_at`: the page before the one that is listed."""
    return refs.ids[index, jnp.maximum(first + j - 1, 0)]


def into_the_slot_being_read(
    refs: Any, slot: Any, item: int, j: Any, index: jax.Array, first: Any, head: jax.Array
) -> None:
    """In place of `start_page`: the copy lands one slot further, whose values were not gathered yet."""
    ring = refs.ring.shape[0]
    wrong = (slot + 1) % ring if isinstance(slot, int) else jax.lax.rem(slot + 1, ring)
    source = refs.pool.at[attention_kernel.page_at(refs, index, first, j), head]
    attention_kernel.pltpu.make_async_copy(source, refs.ring.at[wrong, item, j], refs.sems.at[slot]).start()


class TestPlantedBugs(OnMachine):
    """A checker that cannot fail proves nothing: each bug must be noticed, by race or by result."""

    def caught(self, case: Case) -> None:
        with pytest.raises((AssertionError, RuntimeError, jax.errors.JaxRuntimeError)):
            PagedAttentionTests.compare(self, case)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("mode", "name", "bug"),
        [
            ("lazy", "wait_slot", forget_to_wait),
            ("eager", "start_page", into_the_slot_being_read),
            pytest.param("lazy", "wait_pages", forget_to_wait, marks=pytest.mark.slow),
            pytest.param("lazy", "page_at", previous_page, marks=pytest.mark.slow),
        ],
    )
    def test_paged_attention(self, monkeypatch: pytest.MonkeyPatch, mode: str, name: str, bug: Any) -> None:
        self.mode = mode
        monkeypatch.setattr(attention_kernel, name, bug)
        full = Case(lengths=(64,) * 6, listed=2)  # two turns of the ring, both full
        self.caught(LONG if name == "wait_pages" else full)

    def test_plain_interpreter_sees_the_wrong_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = problems.attention_problem(SHORT)
        run = functools.partial(self._plainly, problem)
        want, _ = self.want("paged_attention", **problem)
        close(run(), want, SHORT.tolerance)
        monkeypatch.setattr(attention_kernel, "page_at", previous_page)
        with pytest.raises(AssertionError):
            close(run(), want, SHORT.tolerance)

    def _plainly(self, problem: dict[str, Any]) -> jax.Array:
        return attention.paged_attention(typed("paged_attention", problem), interpret=True)[0]

    def test_kv_append_that_does_not_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(append_kernel, "wait", forget_to_wait)
        with pytest.raises((AssertionError, RuntimeError, jax.errors.JaxRuntimeError)):
            KvAppendTests.test_equals_reference(self, *APPEND_CASES[0])  # type: ignore[arg-type]
