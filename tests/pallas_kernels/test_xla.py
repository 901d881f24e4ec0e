"""The XLA path of every op, by name and as what implementation=None picks on a CPU."""

from typing import Any

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


class Picked(Xla):
    implementation = None


class TestPrefixAttentionPicked(Picked, PrefixAttentionTests):
    pass


class TestKvAppendPicked(Picked, KvAppendTests):
    pass
