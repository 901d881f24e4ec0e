"""What a model is made of, as numbers: its dims, its attention, its rotary positions. No arrays, no JAX."""

from kinetics_jax.shapes.hf_fields import ConfigError, ConfigWarning
from kinetics_jax.shapes.mesh import check_mesh, misfit
from kinetics_jax.shapes.model_config import ModelConfig
from kinetics_jax.shapes.parts import Llama3Rope, MoE, Yarn
from kinetics_jax.shapes.presets import presets

__all__ = [
    "ConfigError",
    "ConfigWarning",
    "Llama3Rope",
    "MoE",
    "ModelConfig",
    "Yarn",
    "check_mesh",
    "misfit",
    "presets",
]
