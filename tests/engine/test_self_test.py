"""An engine on an accelerator tries the device before it decodes; on a CPU it does not."""

import types
from typing import Any

import pytest

import pallas_kernels as pk
from kinetics_jax.engine import Engine, EngineConfig, setup
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense


@pytest.mark.parametrize("platform", ["tpu", "gpu", "cuda"])
def test_a_device_that_fails_the_self_test_decodes_nothing(model, platform, monkeypatch):
    here = types.SimpleNamespace(platform=platform)
    asked = []

    def fail(device: Any, *, implementation: str | None) -> None:
        asked.append((device, implementation))
        raise pk.SelfTestError("self_test: kv_append gives wrong pages")

    monkeypatch.setattr(setup, "self_test", fail)
    monkeypatch.setattr(setup, "devices_of", lambda model: [here])
    monkeypatch.setattr(setup, "Device", lambda *arguments, **more: pytest.fail("it went on"))
    config, policy = setup.settled(EngineConfig(slots=2, implementation="xla"), model, Dense())
    with pytest.raises(pk.SelfTestError, match="wrong pages"):
        setup.make_device(model, policy, config)
    assert asked == [(here, "xla")]


def test_float16_models_are_refused_before_anything_is_made():
    half = type("Half", (), {"dtype": setup.jnp.float16})
    with pytest.raises(InputError, match="a float16 model cannot be decoded"):
        Engine(half())
