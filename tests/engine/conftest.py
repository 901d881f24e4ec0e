"""A tiny model that every engine test decodes with, on one of eight fake devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.shapes import ModelConfig

CONFIG = ModelConfig(
    name="tiny-engine",
    vocab_size=272,
    model_dim=32,
    ffn_dim=48,
    num_layers=2,
    num_query_heads=4,
    num_kv_heads=2,
    head_dim=16,
    max_context=256,
    eos_token_ids=(258,),
    rope_theta=1e4,
)


@pytest.fixture(scope="session")
def model() -> models.Qwen3:
    """Random weights, spread wide so that greedy choices are decided and texts do not loop at once."""
    plain = models.Qwen3.init(CONFIG, jax.random.key(3), dtype=jnp.float32)
    arrays = {path: array * 6 if array.ndim > 1 else array for path, array in plain.arrays().items()}
    return models.Qwen3(CONFIG, arrays)


@pytest.fixture(scope="session")
def prompts() -> list[list[int]]:
    """Ragged, around the page size of 16, one longer than a prefill chunk of 32."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, length).tolist() for length in (1, 15, 16, 17, 33, 70)]
