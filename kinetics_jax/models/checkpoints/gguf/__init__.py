"""GGUF, the model format of llama.cpp: read as a checkpoint, with its tokenizer and chat template."""

from kinetics_jax.models.checkpoints.gguf.checkpoint import GgufCheckpoint, is_gguf
from kinetics_jax.models.checkpoints.gguf.file import GgufFile
from kinetics_jax.models.checkpoints.gguf.tokenizer import build_tokenizer, save_tokenizer, tokenizer_config

__all__ = ["GgufCheckpoint", "GgufFile", "build_tokenizer", "is_gguf", "save_tokenizer", "tokenizer_config"]
