"""Weights in files: safetensors folders, GGUF and Orbax, read and written region by region."""

from kinetics_jax.models.checkpoints.checkpoint import CheckpointError, locate
from kinetics_jax.models.checkpoints.load import load
from kinetics_jax.models.checkpoints.orbax_io import restore_orbax, save_orbax
from kinetics_jax.models.checkpoints.save import save_hf

__all__ = ["CheckpointError", "load", "locate", "restore_orbax", "save_hf", "save_orbax"]
