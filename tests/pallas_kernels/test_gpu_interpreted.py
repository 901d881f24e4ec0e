"""The Mosaic GPU kernels under the GPU interpreter with race detection: the shared tests, and planted bugs.

The interpreter poisons shared memory with NaN, so what a kernel reads before it was written is seen.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels import _gpu, errors
from pallas_kernels._gpu import plgpu
from pallas_kernels.page_scores import gpu as page_scores_gpu
from pallas_kernels.paged_attention import gpu, gpu_kernel
from pallas_kernels.prefix_attention import compose
from pallas_kernels.prefix_attention import gpu as prefix_gpu
from tests.pallas_kernels import op_tests, problems
from tests.pallas_kernels.gpu_interpreter import call
from tests.pallas_kernels.op_tests import BF16, FP8, INT8, Case, ragged

pytestmark = pytest.mark.skipif(bool(_gpu.missing()), reason=f"no whole Mosaic GPU in jax {jax.__version__}")


ATTENTION_CASES = (
    Case(lengths=ragged(16, 9), listed=6, page_size=16, query=BF16, pool=BF16, query_heads=8),
    Case(lengths=(129, 0, 256), listed=2, page_size=128, query_heads=2, head_dim=80, query=BF16, pool=BF16),
    Case(lengths=(64, 300), listed=5, page_size=64, query_heads=34, query=BF16, pool=BF16),
    Case(lengths=(70, 33, 64), listed=3, pool=INT8, query=BF16, query_heads=10),
    Case(lengths=(64, 33, 0), listed=2, page_size=64, pool=FP8, query=BF16, head_dim=64),
)
ATTENTION_MATRIX = tuple(
    Case(
        lengths=ragged(p, 512 // p + 2),
        listed=listed,
        page_size=p,
        pool=pool,
        query=BF16,
        query_heads=2 * G,
        head_dim=H,
        seed=p + G,
    )
    for p, listed in ((16, 9), (32, 7), (64, 5), (256, 3))
    for pool in (BF16, INT8, FP8)
    for G, H in ((1, 128), (5, 96), (16, 64), (40, 128))
)


class TestPagedAttention(op_tests.PagedAttentionTests):
    """The shared tests, in bf16: the tensor cores take no f32."""

    def call(self, op: str, **arguments: Any) -> Any:
        return call(gpu, op, arguments)

    @pytest.mark.parametrize("case", ATTENTION_CASES, ids=str)
    def test_equals_reference(self, case: Case) -> None:
        self.compare(case)

    @pytest.mark.slow
    @pytest.mark.parametrize("case", ATTENTION_MATRIX, ids=str)
    def test_matrix_equals_reference(self, case: Case) -> None:
        self.compare(case)

    def test_dense_decode_is_every_page_listed(self) -> None:
        case = Case(lengths=(100, 7), listed=4, query=BF16, pool=BF16)
        table = problems.page_table(case)
        problem = problems.attention_problem(case)
        in_order = np.repeat(table[:, None], case.kv_heads, axis=1)
        newest_first = np.concatenate([in_order[:1, :, ::-1], in_order[1:]])
        problem |= {"page_ids_bkj": jnp.asarray(newest_first)}
        problem |= {"kv_pages": jnp.nan_to_num(problem["kv_pages"])}
        problem |= {"num_pages_bk": jnp.asarray([[4, 4], [1, 1]], jnp.int32)}
        out, lse = self.call("paged_attention", **problem)
        want_out, want_lse = self.want("paged_attention", **problem)
        op_tests.close(out, want_out, 2e-2)
        op_tests.close(lse, want_lse, 2e-2)


class TestPageScores(op_tests.PageScoresTests):
    """The shared tests at page counts that the kernel takes."""

    CASES = (
        (Case(lengths=(*ragged(16, 20), 1024), listed=1, page_size=16), 1, 1),
        (Case(lengths=(2048, 0, 16, 1025), listed=1, page_size=16, query_heads=8, head_dim=80), 2, 2),
        (Case(lengths=(8192, 40), listed=1, page_size=16, pool=BF16, query=BF16), 1, 1),
    )

    def call(self, op: str, **arguments: Any) -> Any:
        return call(page_scores_gpu, op, arguments)

    @pytest.mark.parametrize(("case", "kinds", "layers"), CASES, ids=str)
    def test_equals_reference(self, case: Case, kinds: int, layers: int) -> None:
        super().test_equals_reference(case, kinds, layers)


PREFIX_CASES = (
    (Case(lengths=(40, 0, 33, 1), listed=3, query=BF16, pool=BF16), 2, (70, 0)),
    (Case(lengths=ragged(16, 5), listed=4, page_size=16, query=BF16, pool=BF16, query_heads=18), 7, (128,)),
    (Case(lengths=(70,) * 7, listed=2, page_size=64, query=BF16, pool=INT8, query_heads=20), 7, (120,)),
)


class TestPrefixAttention(op_tests.PrefixAttentionTests):
    """The shared tests in bf16, with up to 70 stacked queries: a block holds 64."""

    def call(self, op: str, **arguments: Any) -> Any:
        return call(prefix_gpu, op, arguments)

    @pytest.mark.parametrize(("case", "samples", "shared"), PREFIX_CASES, ids=str)
    def test_equals_reference(self, case: Case, samples: int, shared: tuple[int, ...]) -> None:
        super().test_equals_reference(case, samples, shared)

    def test_no_prompt_equals_paged_attention(self) -> None:
        case = Case(lengths=(40, 20), listed=3, query=BF16, pool=BF16)
        out, lse = self.call("prefix_attention", **problems.prefix_problem(case, 1, (0, 0)))
        want_out, want_lse = self.want("paged_attention", **problems.attention_problem(case))
        op_tests.close(out, want_out, case.tolerance)
        op_tests.close(lse, want_lse, case.tolerance)

    def test_samples_mixed_up_are_caught(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            compose,
            "unstack_samples",
            lambda stacked, samples, heads: stacked.reshape(
                stacked.shape[0] * samples, -1, *stacked.shape[2:]
            ),
        )
        with pytest.raises(AssertionError):
            self.test_equals_reference(*PREFIX_CASES[0])


BUSY = Case(lengths=(640, 500), listed=10, page_size=64, query=BF16, pool=BF16)


def run_busy() -> None:
    """More tiles than ring slots, so that slots are filled again."""
    problem = problems.attention_problem(BUSY)
    out, _ = call(gpu, "paged_attention", {**problem, "scale": 0.1})
    want, _ = op_tests.jitted("paged_attention", {**problem, "scale": 0.1}, "reference")
    op_tests.close(out, want, 2e-2)


def test_the_ring_is_filled_again_without_a_race() -> None:
    run_busy()


@pytest.mark.parametrize(
    ("blocks", "J", "page_size", "parts"),
    [(64, 64, 16, 4), (64, 4096, 32, 5), (2048, 64, 16, 1), (1, 1, 16, 1), (8, 16, 64, 4)],
)
def test_lists_are_split_to_fill_the_gpu(blocks: int, J: int, page_size: int, parts: int) -> None:
    assert gpu_kernel.list_parts(blocks, J, page_size) == parts


def test_more_blocks_than_wanted_leave_lists_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kernel, "BLOCKS_WANTED", 1)
    run_busy()


def test_a_missing_wait_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kernel.plgpu, "barrier_wait", lambda barrier: None)
    assert_caught()


def test_refilling_the_slot_being_read_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = plgpu.copy_gmem_to_smem

    def always_slot_0(source: Any, target: Any, barrier: Any) -> None:
        *others, index = target.transforms
        if getattr(index, "shape", ())[:2] == (gpu_kernel.STAGES, gpu_kernel.TILE):
            first = dataclasses.replace(index, indices=(jnp.int32(0), *index.indices[1:]))
            target = dataclasses.replace(target, transforms=(*others, first))
        real(source, target, barrier)

    monkeypatch.setattr(gpu_kernel.plgpu, "copy_gmem_to_smem", always_slot_0)
    assert_caught()


def assert_caught() -> None:
    """The run must end in a race, an error of the interpreter, or a wrong result."""
    try:
        with pytest.raises((AssertionError, jax.errors.JaxRuntimeError, RuntimeError, ValueError)):
            run_busy()
    finally:
        reset_interpreter()


def reset_interpreter() -> None:
    """Forget the state that a run with an error leaves behind."""
    from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks

    gpu_callbacks.reset_gpu_interpret_mode_state()


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers that each copy to shared memory moves, as the interpreter makes them."""
    from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks

    moved: list[int] = []
    real = gpu_callbacks.copy_gmem_to_smem

    @functools.wraps(real)
    def counted(*arguments: Any, **named: Any) -> Any:
        shape = named["src_transforms"][-1].get_indexer_shape()
        moved.append(int(np.prod(shape)))
        return real(*arguments, **named)

    monkeypatch.setattr(gpu_callbacks, "copy_gmem_to_smem", counted)
    return moved


def test_bytes_moved_are_those_of_the_listed_pages(copied: list[int]) -> None:
    """Counted from the copies that the kernel makes: each listed page once, nothing else."""
    for case in (BUSY, Case(lengths=(100, 7), listed=6, page_size=16, query=BF16, pool=BF16)):
        copied.clear()
        problem = problems.attention_problem(case)
        jax.block_until_ready(call(gpu, "paged_attention", {**problem, "scale": 0.1}))
        listed = int(np.asarray(problem["num_pages_bk"]).sum())
        query = len(case.lengths) * case.kv_heads * gpu_kernel.block_rows(1, 128) * 128
        parts = gpu_kernel.list_parts(len(case.lengths) * case.kv_heads, case.listed, case.page_size)
        assert sum(copied) == listed * 2 * case.page_size * 128 + parts * query


def test_a_page_is_read_once_for_64_stacked_queries(copied: list[int]) -> None:
    case, samples = (
        Case(lengths=(0,) * 16, listed=1, page_size=64, query=BF16, pool=BF16, query_heads=8),
        16,
    )
    shared = problems.prefix_problem(case, samples, (64 * 4,))
    shared |= {"prefix_num_pages_uk": jnp.full((1, 2), 1, jnp.int32)}
    jax.block_until_ready(call(prefix_gpu, "prefix_attention", {**shared, "scale": 0.1}))
    one_page, queries = 2 * 64 * 128, 64 * 128
    own_queries = 16 * 16 * 128
    assert sum(copied) == 2 * (one_page + queries + own_queries)  # of two KV heads


REFUSALS = {
    "float32": {"query_bnh": jnp.float32},
    "neither 16 nor 32 nor a multiple": {"kv_pages": (9, 2, 2, 48, 128)},
    "at most 256 numbers": {"kv_pages": (9, 2, 2, 64, 80)},
}


@pytest.mark.parametrize("words", REFUSALS)
def test_refusals_say_why(words: str) -> None:
    problem = problems.attention_problem(Case(lengths=(64, 5), listed=2, query=BF16, pool=BF16))
    for name, change in REFUSALS[words].items():
        array = problem[name]
        shape, dtype = (change, array.dtype) if isinstance(change, tuple) else (array.shape, change)
        problem[name] = jnp.zeros(shape, dtype)
    if words == "at most 256 numbers":
        problem["query_bnh"] = problem["query_bnh"][..., :80]
    with pytest.raises(errors.UnsupportedError, match=words):
        op_tests.pallas_kernels.paged_attention(**problem, implementation="gpu")


def test_a_gpu_without_tma_is_refused() -> None:
    device = jax.sharding.AbstractDevice(device_kind="NVIDIA A100-SXM4-80GB", num_cores=108, platform="cuda")
    mesh = jax.sharding.AbstractMesh((1,), ("x",), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        assert "TMA" in str(_gpu.refusal())
