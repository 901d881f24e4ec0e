"""A kernel that cannot be traced is an error here; elsewhere it is a logged reason, and XLA runs."""

import pytest

from pallas_kernels._calls import STRICT


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
