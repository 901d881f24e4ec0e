"""`self_test`: a small problem whose answer is known, on a device, before anything is believed of it.

Drivers, compilers and kernels have versions; some of them together copy zeros and say nothing.
Letters: B sequences · N query heads · K KV heads · H head dim · p page size · P pages of a sequence.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pallas_kernels._calls import apart
from pallas_kernels.errors import SelfTestError
from pallas_kernels.kv_append.api import kv_append
from pallas_kernels.page_scores.api import page_scores
from pallas_kernels.paged_attention.api import paged_attention
from pallas_kernels.select_pages.api import select_pages

# What every platform's kernel takes.
B, N, K, H, P, PAGE = 2, 8, 2, 128, 64, 16
LENGTHS = (5 * PAGE - 1, 40)  # before the append: a page that it fills, and one that it does not
TOP_K = 4
TOLERANCE = 2e-2  # bf16, relative to the largest number


def self_test(device: jax.Device | None = None, *, implementation: str | None = None) -> None:
    """Append to a cache, read it back, score, select and attend on a device; compare with what is known.

    Takes a second or so of compiling, once in a process for each kind of device and ``implementation``.

    Args:
        device: where to run; the first of this process when None.
        implementation: back end, as of every op.

    Raises:
        SelfTestError: a result is wrong; the message says which op's, where and with which versions.
        UnsupportedError: the named implementation cannot run on the device.

    """
    device = jax.local_devices()[0] if device is None else device
    passed = _PASSED.setdefault(implementation, set())
    kind = (device.platform, device.device_kind)
    if kind not in passed:
        apart(lambda: _run(device, implementation))
        passed.add(kind)


_PASSED: dict[str | None, set[tuple[str, str]]] = {}


def _run(device: jax.Device, implementation: str | None) -> None:
    problem = _problem()
    with jax.default_device(device):
        arrays = jax.device_put(problem, device)
        got, want = _jitted(implementation)(arrays), _jitted("reference")(arrays)
    pool, written = np.asarray(got["kv_append.pages"], np.float32), _appended(problem)
    _expect(np.array_equal(pool, written), "kv_append.pages", device)
    for name, result in got.items():
        ours, theirs = (np.asarray(array, np.float32) for array in (result, want[name]))
        exact = jnp.issubdtype(result.dtype, jnp.integer)
        largest = np.abs(theirs, where=np.isfinite(theirs), out=np.zeros_like(theirs)).max()
        tolerance = 0 if exact else TOLERANCE * largest
        _expect(np.allclose(ours, theirs, rtol=0, atol=tolerance), name, device)


def _expect(ok: bool, name: str, device: jax.Device) -> None:
    if not ok:
        op, what = name.split(".")
        versions = f"jax {jax.__version__}, {' '.join(device.client.platform_version.split())}"
        raise SelfTestError(
            f"self_test: {op} gives wrong {what} on {device.device_kind} ({versions}); believe no result "
            "of it: install versions that go together, or try implementation='xla'"
        )


def _problem() -> dict[str, np.ndarray]:
    """Full caches of two sequences, a new token of each, and a query. bf16 numbers, few bits each."""
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return (rng.integers(-8, 9, shape) / 8).astype(jnp.bfloat16)

    return {
        "pool": some(B * P, K, 2, PAGE, H),
        "summaries": some(B, K, 1, P, H),
        "key": some(B, 1, K, H),
        "value": some(B, 1, K, H),
        "query": some(B, N, H),
        "table": rng.permutation(B * P).reshape(B, P).astype(np.int32),
        "lengths": np.asarray(LENGTHS, np.int32),
    }


def _appended(problem: dict[str, np.ndarray]) -> np.ndarray:
    """The pool after the append, f32."""
    pool = problem["pool"].astype(np.float32)
    for b, length in enumerate(LENGTHS):
        page = problem["table"][b, length // PAGE]
        pool[page, :, 0, length % PAGE] = problem["key"][b, 0]
        pool[page, :, 1, length % PAGE] = problem["value"][b, 0]
    return pool


@functools.cache
def _jitted(implementation: str | None) -> Callable[[dict[str, jax.Array]], dict[str, Any]]:
    """One decode step; each op gets what the reference of the one before gives, so that one is blamed."""

    def step(x: dict[str, jax.Array]) -> dict[str, Any]:
        given = (x["pool"], x["key"], x["value"], x["table"], x["lengths"])
        cache = kv_append(*given, summaries_mkrph=x["summaries"], implementation=implementation)
        right = kv_append(*given, summaries_mkrph=x["summaries"], implementation="reference")
        lengths, summaries = x["lengths"] + 1, right.summaries
        assert summaries is not None, "it was given some"
        scores, right_scores = (
            page_scores(x["query"], summaries, lengths, page_size=PAGE, implementation=name)
            for name in (implementation, "reference")
        )
        (ids, counts), right_lists = (
            select_pages(
                right_scores,
                lengths,
                page_size=PAGE,
                top_k=TOP_K,
                sink_pages=1,
                page_table_bp=x["table"],
                implementation=name,
            )
            for name in (implementation, "reference")
        )
        out, lse = paged_attention(
            x["query"], right.kv_pages, *right_lists, lengths, implementation=implementation
        )
        return {
            "kv_append.pages": cache.kv_pages,
            "kv_append.summaries": cache.summaries,
            "page_scores.scores": scores,
            "select_pages.ids": ids,
            "select_pages.counts": counts,
            "paged_attention.results": out,
            "paged_attention.log-sum-exps": lse,
        }

    return jax.jit(step)
