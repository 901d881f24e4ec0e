"""Tiny models on meshes of fake CPU devices, for the tests of sharding and of Orbax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.shapes import presets

AXES = ("data", "expert", "model")
TOKENS = np.random.default_rng(0).integers(0, 272, (4, 12))


def fake_mesh(shape: tuple[int, int, int]) -> jax.sharding.Mesh:
    """The first devices as data × expert × model; skips the test where there are too few."""
    if len(jax.devices()) < np.prod(shape):
        pytest.skip("needs XLA_FLAGS=--xla_force_host_platform_device_count=8")
    return jax.make_mesh(shape, AXES, devices=jax.devices()[: int(np.prod(shape))])


def tiny_model(preset: str, mesh: jax.sharding.Mesh | None = None) -> models.Qwen3:
    """A preset's model in float32, the same weights on every mesh."""
    return models.Qwen3.init(presets[preset], jax.random.key(0), mesh=mesh, dtype=jnp.float32)
