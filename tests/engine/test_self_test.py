"""An engine on an accelerator tries the device before it decodes; on a CPU it does not."""

from typing import Any

import pytest

import pallas_kernels as pk
from kinetics_jax.engine import engine as module
from kinetics_jax.errors import InputError


class Sized:
    """What `Engine._make_device` asks of an engine up to the first allocation."""

    max_context, page_size, _slots, _rows, _implementation = 64, 16, 2, 2, "xla"
    model = None

    def __init__(self, platform: str) -> None:
        self._platform = platform
        self.config = type("Config", (), {"head_dim": 128})

    def _plan(self, *sizes: Any, **more: Any) -> Any:
        return None


@pytest.mark.parametrize("platform", ["tpu", "gpu", "cuda"])
def test_a_device_that_fails_the_self_test_decodes_nothing(platform, monkeypatch):
    asked = []

    def fail(device: Any, *, implementation: str | None) -> None:
        asked.append((device, implementation))
        raise pk.SelfTestError("self_test: kv_append gives wrong pages")

    monkeypatch.setattr(module, "self_test", fail)
    monkeypatch.setattr(module, "_devices", lambda model: ["here"])
    monkeypatch.setattr(module, "Device", lambda *arguments, **more: pytest.fail("it went on"))
    with pytest.raises(pk.SelfTestError, match="wrong pages"):
        module.Engine._make_device(Sized(platform))
    assert asked == [("here", "xla")]


def test_float16_models_are_refused_before_anything_is_made():
    half = type("Half", (), {"dtype": module.jnp.float16})
    with pytest.raises(InputError, match="a float16 model cannot be decoded"):
        module.Engine(half())
