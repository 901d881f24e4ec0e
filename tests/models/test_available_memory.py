"""A model that is larger than the memory is one line before its weights are read."""

import dataclasses
import resource

import jax
import pytest

from kinetics_jax import models
from kinetics_jax.models.checkpoints import available_memory
from kinetics_jax.shapes import presets

TINY = presets["tiny-dense"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    models.save_hf(models.Qwen3.init(TINY, jax.random.key(0)), path)
    return path


@pytest.mark.parametrize(
    ("dtype", "quantize", "width"), [("float32", None, 4), ("bfloat16", None, 2), ("bfloat16", "int8", 1)]
)
def test_the_border_is_the_bytes_of_the_weights(folder, monkeypatch, dtype, quantize, width):
    needed = TINY.total_params * width
    monkeypatch.setattr(available_memory, "host_bytes", lambda: needed)
    models.load(folder, dtype=dtype, quantize=quantize)
    monkeypatch.setattr(available_memory, "host_bytes", lambda: needed - 1)
    with pytest.raises(
        models.CheckpointError, match=r"its weights take .* GB, and this machine can give"
    ) as caught:
        models.load(folder, dtype=dtype, quantize=quantize)
    assert "\n" not in str(caught.value)


def test_limits_of_the_process_and_its_container_count(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("12345\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(available_memory, "_CGROUPS", (str(tmp_path / "none"), str(tmp_path / "absent")))
    assert available_memory.host_bytes() > 1e6
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (777, 777))
    assert available_memory.host_bytes() == 777
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (resource.RLIM_INFINITY,) * 2)
    monkeypatch.setattr(available_memory, "_CGROUPS", (str(tmp_path / "memory.max"),))
    assert available_memory.host_bytes() == 12345


def test_a_share_of_the_mesh_must_fit_its_devices(monkeypatch, tmp_path):
    mesh = jax.make_mesh((8,), ("model",))
    big = dataclasses.replace(TINY, vocab_size=10**12)
    with pytest.raises(models.CheckpointError, match="GB"):
        available_memory.check_memory(big, 4, mesh, tmp_path)
