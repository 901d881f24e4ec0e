"""The XLA path of every op, by name and as what implementation=None picks on a CPU."""

from typing import Any

import jax
import pytest

import pallas_kernels
from pallas_kernels import _xla
from tests.pallas_kernels.op_tests import (
    KvAppendTests,
    OpTests,
    PagedAttentionTests,
    PageScoresTests,
    PrefixAttentionTests,
    SelectPagesTests,
    jitted,
)


class Xla(OpTests):
    """Calls by name, jitted as the engine does."""

    implementation: str | None = "xla"

    def call(self, op: str, **arguments: Any) -> Any:
        return jitted(op, arguments, self.implementation)


class TestPagedAttention(Xla, PagedAttentionTests):
    pass


class TestPageScores(Xla, PageScoresTests):
    pass


class TestSelectPages(Xla, SelectPagesTests):
    pass


class TestKvAppend(Xla, KvAppendTests):
    pass


class TestPrefixAttention(Xla, PrefixAttentionTests):
    pass


class Together(OpTests):
    """As on a GPU, which takes many rows at once: here three, which leaves some over."""

    @pytest.fixture(autouse=True)
    def three(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(_xla.AT_ONCE, "cpu", 3)

    def call(self, op: str, **arguments: Any) -> Any:
        return getattr(pallas_kernels, op)(**arguments, implementation="xla")


class TestPagedAttentionTogether(Together, PagedAttentionTests):
    pass


class TestPageScoresTogether(Together, PageScoresTests):
    pass


class Picked(Xla):
    implementation = None


class TestPrefixAttentionPicked(Picked, PrefixAttentionTests):
    pass


class TestKvAppendPicked(Picked, KvAppendTests):
    pass


def test_rows_are_together_on_gpus_alone() -> None:
    doubled = jax.jit(lambda: _xla.map_rows(lambda row: 2 * row, 40))
    cpu, gpu = (
        doubled.trace().lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "cuda")
    )
    assert "while" in cpu
    assert "tensor<40xi32>" in gpu.split("while")[0]
    assert "dynamic_slice" in cpu
    assert "dynamic_slice" not in gpu
