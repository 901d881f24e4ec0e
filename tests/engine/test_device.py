"""The compiled programs move what they must and no more: between prompts the pool is never copied."""

import pytest

from kinetics_jax.engine import Engine
from kinetics_jax.engine.device import Device
from kinetics_jax.policies import BlockTopK, Dense


@pytest.mark.parametrize("policy", [Dense(), BlockTopK(16, 2)], ids=lambda policy: policy.name)
def test_decoding_and_admitting_copy_no_pool(model, prompts, policy, monkeypatch):
    """Temporary memory stays far below the pool; a layout change would double it.

    Reading prompts may copy it once: XLA's append of whole pages on a CPU does, the kernels do not.
    """
    found: dict[str, list[int]] = {}
    make = Device._program

    def watched(self, name, function, **options):
        program = make(self, name, function, **options)

        def call(*arguments):
            compiled = program.lower(*arguments).compile()
            found.setdefault(name, []).append(compiled.memory_analysis().temp_size_in_bytes)
            return program(*arguments)

        return call

    monkeypatch.setattr(Device, "_program", watched)
    engine = Engine(model, policy=policy, slots=24, max_context=256, page_size=16)
    list(engine.generate(prompts[4:5], n=2, max_tokens=4))
    assert set(found) == {"read", "decode"}
    pool = engine._device.state.kv_pages.nbytes
    assert pool > 3_000_000
    for name, sizes in found.items():
        assert max(sizes) < (1.5 if name == "read" else 0.25) * pool, (name, sizes, pool)
