"""The ground floor: what both halves of the house speak. No JAX, no state, no seconds, no dollars."""

from kinetics_jax.spec.errors import InputError, KineticsError, UnknownNameError
from kinetics_jax.spec.model_config import ModelConfig, MoE, Yarn
from kinetics_jax.spec.presets import presets

__all__ = [
    "InputError", "KineticsError", "MoE", "ModelConfig", "UnknownNameError", "Yarn", "presets",
]  # fmt: skip
