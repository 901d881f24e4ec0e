"""What happens where a kernel cannot run: a logged reason and XLA, never the failure of another back end."""

import importlib.metadata
import logging
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import Primitive

import pallas_kernels as pk
from kinetics_jax.chips import devices
from pallas_kernels import _back_ends, _calls, _gpu
from pallas_kernels.analysis.devices import require_compiler
from tests.pallas_kernels import problems, small
from tests.pallas_kernels.problems import Case

WIDE = Case(lengths=(64, 33), listed=2, page_size=64, query=jnp.bfloat16, pool=jnp.bfloat16)
JAX_NAME = _back_ends.PLATFORMS


@pytest.fixture(autouse=True)
def forgetful() -> Any:
    """Every test traces and says anew; none leaves a broken trace behind."""
    caches = (_calls._function, _calls._traced, _calls._obstacle, _calls._log_once)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def tolerant(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users run it."""
    monkeypatch.delenv(_calls.STRICT)


def lowered(platform: str, implementation: str | None = None) -> str:
    problem = problems.attention_problem(WIDE)
    call = jax.jit(lambda problem: pk.paged_attention(**problem, implementation=implementation))
    return call.trace(problem).lower(lowering_platforms=(JAX_NAME[platform],)).as_text()


def raising(call: Any) -> Any:
    raise AttributeError("module 'mosaic' has no attribute 'shiny'\nand a second line")


def unlowerable(call: Any) -> Any:
    """Traces, but no platform has a rule for it: what a kernel of another jax may do."""
    primitive = Primitive("of_another_jax")
    primitive.def_abstract_eval(lambda x: x)
    out = primitive.bind(call.query_bnh)
    return out, out[..., 0].astype(jnp.float32)


def mistyped(call: Any) -> Any:
    return 1 + "1"  # type: ignore[operator]


BROKEN = [raising, unlowerable, mistyped]
PLATFORMS = ["tpu", "gpu", "cpu"]


def break_kernel(monkeypatch: pytest.MonkeyPatch, platform: str, broken: Any) -> None:
    module = _back_ends.back_end_module("paged_attention", platform)
    monkeypatch.setattr(module, "check", lambda call: None)
    monkeypatch.setattr(module, "paged_attention", broken)


@pytest.mark.usefixtures("tolerant")
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_untraceable_kernel_is_a_logged_reason(
    platform: str, broken: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    problem = problems.attention_problem(WIDE)
    want, _ = pk.paged_attention(**problem, implementation="reference")
    break_kernel(monkeypatch, platform, broken)
    with caplog.at_level(logging.WARNING, "pallas_kernels"):
        for _ in range(2):
            assert "custom_call" not in lowered(platform)
    (record,) = caplog.records
    message = record.getMessage()
    assert f"paged_attention on {JAX_NAME[platform]} runs on XLA, not on its {platform}" in message
    assert f"jax {jax.__version__} cannot trace it" in message
    assert "\n" not in message
    got, _ = pk.paged_attention(**problem)  # here, on a CPU
    assert float(jnp.abs(got - want).max()) < 0.05
    with pytest.raises(pk.UnsupportedError, match="cannot trace it"):
        lowered(platform, platform)
    other = "tpu" if platform != "tpu" else "cpu"
    reasons = pk.explain("paged_attention", **problem).reasons
    assert "cannot trace it" in reasons[platform]
    assert "cannot trace it" not in reasons.get(other, "")


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_our_own_tests_see_it_fail(platform: str, broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    break_kernel(monkeypatch, platform, broken)
    with pytest.raises((AttributeError, NotImplementedError, TypeError)):
        lowered(platform)


@pytest.mark.parametrize("name", _gpu.NEEDED)
def test_a_mosaic_gpu_without_a_name_that_the_kernels_use(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_gpu.plgpu, name, raising=False)
    assert name in _gpu.missing()
    problem = problems.attention_problem(WIDE)
    assert "its kernels need jax 0.12" in pk.explain("paged_attention", **problem).reasons["gpu"]
    assert pk.paged_attention(**problem)[0].shape == (2, 4, 128)
    with pytest.raises(pk.UnsupportedError, match=name):
        pk.paged_attention(**problem, implementation="gpu_interpret")


def test_every_name_of_mosaic_gpu_is_asked_for() -> None:
    """On a jax whose Mosaic GPU passes the check, nothing that a kernel names is missing."""
    if _gpu.missing():
        pytest.skip(f"jax {jax.__version__} has no whole Mosaic GPU: {_gpu.refusal()}")
    for op in small.DECODING:
        source = _back_ends.back_end_module(op, "gpu")
        assert source.check is not None
    assert "mosaic_gpu" in lowered("gpu")


def test_a_shape_that_costs_an_accelerator_its_kernel_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    narrow = problems.attention_problem(Case(lengths=(40, 3), listed=2, head_dim=64, stored=64))
    call = jax.jit(lambda problem: pk.paged_attention(**problem))
    with caplog.at_level(logging.INFO, "pallas_kernels"):
        for _ in range(2):
            call.trace(narrow).lower(lowering_platforms=("tpu",))
            pk.page_scores(**problems.scores_problem(WIDE, 1))
    warnings = [x.getMessage() for x in caplog.records if x.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "multiple of 128 numbers a head, not 64" in warnings[0]


BAD = ["0.0.43", "0.0.44", "0.0.45", "0.0.43.1", "0.0.45.dev20260801"]


@pytest.mark.parametrize("version", BAD)
def test_a_libtpu_that_copies_zeros_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    for implementation in (None, "tpu"):
        with pytest.raises(pk.LibtpuError, match=f"libtpu {version} makes Pallas") as caught:
            lowered("tpu", implementation)
        assert "\n" not in str(caught.value)
    assert "custom_call" not in lowered("tpu", "xla")
    assert "copy zeros" in pk.explain("paged_attention", **problems.attention_problem(WIDE)).reasons["tpu"]
    monkeypatch.setattr("pallas_kernels.analysis.devices._installed", lambda module: True)
    with pytest.raises(pk.LibtpuError, match="the one that goes with your jax"):
        require_compiler(devices()["v5e"])


@pytest.mark.parametrize("version", ["0.0.42", "0.0.42.1", "0.0.46", "0.0.48", "0.0.50.1", "0.0.430"])
def test_other_versions_of_libtpu_are_not(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    assert "tpu_custom_call" in lowered("tpu")


@pytest.mark.parametrize("op", small.OPS)
def test_explain_says_what_runs_and_why(op: str) -> None:
    given = small.arguments(op)
    shapes = {
        name: jax.ShapeDtypeStruct(value.shape, value.dtype) if hasattr(value, "shape") else value
        for name, value in given.items()
    }
    told = pk.explain(op, **shapes)
    assert set(told.back_ends) == {"tpu", "gpu", "cpu"}
    for platform, back_end in told.back_ends.items():
        assert back_end in (platform, "xla")
        assert (platform in told.reasons) == (back_end == "xla")
    assert str(told).splitlines()[0] == f"{op}:"
    named = pk.explain(op, **shapes, implementation="xla")
    assert set(named.back_ends.values()) == {"xla"}


def test_explain_of_a_named_kernel_and_of_mistakes() -> None:
    given = problems.attention_problem(WIDE)
    told = pk.explain("paged_attention", **given, implementation="tpu")
    assert told.back_ends == {"tpu": "tpu", "gpu": None, "cpu": None}
    assert told.reasons["cpu"] == "it runs on tpu only"
    assert "cpu: an error (it runs on tpu only)" in str(told)
    with pytest.raises(pk.ArgumentError, match="no op 'attention'; known: kv_append, linear"):
        pk.explain("attention", **given)
    with pytest.raises(pk.ArgumentError, match="lengths are int32, not float32"):
        pk.explain("paged_attention", **given | {"lengths_b": jnp.ones(2)})
