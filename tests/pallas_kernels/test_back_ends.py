"""A back end of one's own: registered from outside the package, tried before ours, named and explained."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pallas_kernels as pk
from pallas_kernels import _back_ends
from tests.pallas_kernels import small

OWN = '''
import jax.numpy as jnp

import pallas_kernels as pk


def check(call):
    """Why it cannot run, or None."""
    return None if call.page_size == 16 else f"it takes pages of 16 tokens, not {call.page_size}"


def run(call):
    """Every page scores its number."""
    B, K, P = call.query_bnh.shape[0], *call.summaries_mkrph.shape[1:4:2]
    return jnp.broadcast_to(jnp.arange(P, dtype=jnp.float32), (B, K, P))


pk.register_back_end("page_scores", "numbers", platform="cpu", run=run, check=check)
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A file outside of the package that registers a back end of `page_scores`."""
    monkeypatch.setattr(_back_ends, "_REGISTERED", {})
    path = tmp_path / "own_back_end.py"
    path.write_text(OWN)
    spec = importlib.util.spec_from_file_location("own_back_end", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GIVEN = small.arguments("page_scores")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("implementation", [None, "numbers", ("tpu", "numbers", "xla")])
def test_a_back_end_of_ones_own_runs_before_ours(implementation: Any, jitted: bool) -> None:
    def call(arrays: dict[str, jax.Array]) -> jax.Array:
        return pk.page_scores(**arrays, page_size=16, implementation=implementation)

    arrays = small.arrays(GIVEN)
    got = (jax.jit(call) if jitted else call)(arrays)
    P = arrays["summaries_mkrph"].shape[3]
    chex.assert_shape(got, (2, 2, P))
    np.testing.assert_array_equal(got, np.broadcast_to(np.arange(P), got.shape))


@pytest.mark.usefixtures("own")
def test_what_it_refuses_runs_on_ours_and_explain_says_why() -> None:
    given = small.arrays(GIVEN) | {"page_size": 32}
    told = pk.explain("page_scores", **given)
    why = "it takes pages of 16 tokens, not 32"
    assert told.passed_over["cpu"]["numbers"] == why
    assert f"numbers: {why}" in str(told)
    assert told.back_ends["cpu"] in ("cpu", "xla")
    assert pk.explain("page_scores", **GIVEN).back_ends["cpu"] == "numbers"
    np.testing.assert_array_equal(
        pk.page_scores(**given), pk.page_scores(**given, implementation=("numbers", told.back_ends["cpu"]))
    )
    with pytest.raises(pk.UnsupportedError, match=why):
        pk.page_scores(**given, implementation="numbers")
    with pytest.raises(pk.UnsupportedError, match=f"tpu: summaries must store.*; numbers: {why}"):
        pk.page_scores(**given, implementation=("tpu", "numbers"))


@pytest.mark.usefixtures("own")
def test_the_others_are_tried_in_the_order_that_they_are_named() -> None:
    ours = pk.page_scores(**GIVEN, implementation="xla")
    np.testing.assert_array_equal(pk.page_scores(**GIVEN, implementation=("tpu", "xla", "numbers")), ours)
    assert pk.explain("page_scores", **GIVEN, implementation=("xla", "numbers")).back_ends == {
        "tpu": "xla",
        "gpu": "xla",
        "cpu": "xla",
    }


def test_results_of_another_shape_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_back_ends, "_REGISTERED", {})
    pk.register_back_end("look_up", "short", platform="cpu", run=lambda call: jnp.zeros(3))
    told = pk.explain("look_up", **small.arguments("look_up"))
    assert told.passed_over["cpu"]["short"] == "it returns float32[3], and the op float32[3, 12]"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("op", "name", "platform", "words"),
    [
        ("attention", "mine", "cpu", "no op 'attention'; known: kv_append"),
        ("page_scores", "mine", "cuda", "no platform 'cuda'; known: tpu, gpu, cpu"),
        ("page_scores", "numbers", "cpu", "page_scores has a back end 'numbers' already"),
        ("page_scores", "cpu", "cpu", "page_scores has a back end 'cpu' already"),
    ],
)
def test_a_wrong_registration_says_what_is_wrong(op: str, name: str, platform: str, words: str) -> None:
    with pytest.raises(pk.ArgumentError, match=words):
        pk.register_back_end(op, name, platform=platform, run=lambda call: None)


@pytest.mark.usefixtures("own")
def test_an_unknown_name_lists_what_is_registered() -> None:
    with pytest.raises(pk.UnknownImplementationError, match=r"unknown implementation 'mine'.*numbers"):
        pk.page_scores(**GIVEN, implementation=("numbers", "mine"))
