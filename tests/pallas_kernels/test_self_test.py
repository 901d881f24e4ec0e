"""The self-test passes where the kernels are right, and names the op that a planted bug is in."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import pallas_kernels as pk
from pallas_kernels._back_ends import back_end_module
from pallas_kernels.self_test import _PASSED, _jitted
from tests.pallas_kernels.test_arguments import needs_numba


@pytest.fixture(autouse=True)
def anew() -> Any:
    for forget in (_jitted.cache_clear, _PASSED.clear):
        forget()
    yield
    for forget in (_jitted.cache_clear, _PASSED.clear):
        forget()


@pytest.mark.parametrize("back_end", [None, "cpu", "xla"])
def test_it_passes_where_nothing_is_wrong(back_end: str | None) -> None:
    needs_numba(back_end)
    pk.self_test(implementation=back_end)
    with jax.numpy_rank_promotion("raise"), jax.enable_x64(True), jax.disable_jit():
        pk.self_test(jax.devices()[1], implementation=back_end)


def test_once_for_each_kind_of_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pk.self_test(implementation="xla")
    plant(monkeypatch, "kv_append", lambda results: 1 / 0)
    pk.self_test(jax.devices()[1], implementation="xla")  # of the same kind: not looked at again
    _PASSED.clear()
    _jitted.cache_clear()
    with pytest.raises(ZeroDivisionError):
        pk.self_test(implementation="xla")


def plant(monkeypatch: pytest.MonkeyPatch, op: str, bug: Any) -> None:
    module = back_end_module(op, "xla")
    real = getattr(module, op)
    monkeypatch.setattr(module, op, lambda *arrays, **more: bug(real(*arrays, **more)))


BUGS = {
    "zeros are written": ("kv_append", "pages", lambda r: (jnp.zeros_like(r[0]), *r[1:])),
    "nothing is written": ("kv_append", "pages", lambda r: (jnp.roll(r[0], 1, axis=3), *r[1:])),
    "summaries are stale": ("kv_append", "summaries", lambda r: (r[0], r[1] * 1.5, r[2])),
    "scores are zero": ("page_scores", "scores", jnp.zeros_like),
    "a page exists that does not": ("page_scores", "scores", lambda r: jnp.nan_to_num(r)),
    "another page": ("select_pages", "ids", lambda r: (r[0].at[0, 0, 1].add(1), r[1])),
    "a page too few": ("select_pages", "counts", lambda r: (r[0], r[1] - 1)),
    "zeros are read": ("paged_attention", "results", lambda r: (jnp.zeros_like(r[0]), r[1])),
    "NaN": ("paged_attention", "results", lambda r: (r[0].at[0, 0, 0].set(jnp.nan), r[1])),
    "weights": ("paged_attention", "log-sum-exps", lambda r: (r[0], r[1] + 1)),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    op, what, bug = BUGS[name]
    plant(monkeypatch, op, bug)
    with pytest.raises(pk.SelfTestError, match=f"{op} gives wrong {what} on cpu") as caught:
        pk.self_test(implementation="xla")
    assert "\n" not in str(caught.value)
    assert f"jax {jax.__version__}" in str(caught.value)


def test_a_kernel_of_another_platform_says_so() -> None:
    with pytest.raises(pk.UnsupportedError, match="runs on tpu only"):
        pk.self_test(implementation="tpu")
