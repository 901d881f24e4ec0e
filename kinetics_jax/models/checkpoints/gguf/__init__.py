"""GGUF, the model format of llama.cpp, read as a checkpoint."""

from kinetics_jax.models.checkpoints.gguf.checkpoint import GgufCheckpoint, is_gguf
from kinetics_jax.models.checkpoints.gguf.file import GgufFile

__all__ = ["GgufCheckpoint", "GgufFile", "is_gguf"]
