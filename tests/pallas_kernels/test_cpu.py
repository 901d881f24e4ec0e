"""The CPU kernels of every op, by name and as what implementation=None picks on a CPU."""

from typing import Any

import pytest

import pallas_kernels
from tests.pallas_kernels.op_tests import (
    FP8,
    INT8,
    KvAppendTests,
    OpTests,
    PagedAttentionTests,
    PageScoresTests,
    PrefixAttentionTests,
    SelectPagesTests,
    jitted,
)

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba, which is not installed")


class Cpu(OpTests):
    """Calls by name, jitted as the engine does."""

    refused: tuple[Any, ...] = ()

    def call(self, op: str, **arguments: Any) -> Any:
        try:
            return jitted(op, arguments, "cpu")
        except pallas_kernels.UnsupportedError as error:
            assert arguments["kv_pages"].dtype in self.refused
            pytest.skip(error.reason)


class TestPagedAttention(Cpu, PagedAttentionTests):
    refused = (FP8,)


class TestPageScores(Cpu, PageScoresTests):
    pass


class TestSelectPages(Cpu, SelectPagesTests):
    pass


class TestKvAppend(Cpu, KvAppendTests):
    refused = (FP8, INT8)


class TestPrefixAttention(Cpu, PrefixAttentionTests):
    pass
