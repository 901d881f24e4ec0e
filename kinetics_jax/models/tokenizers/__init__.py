"""Text ↔ token ids, and chat templates. What others wrote of them runs in a process of its own."""

from kinetics_jax.models.tokenizers.chat_template import ChatTemplate, ChatTemplateError
from kinetics_jax.models.tokenizers.gguf import build_tokenizer, save_tokenizer
from kinetics_jax.models.tokenizers.tokenizer import (
    ByteTokenizer,
    CheckpointTokenizer,
    Tokenizer,
    decode_all,
    load_tokenizer,
)

__all__ = [
    "ByteTokenizer",
    "ChatTemplate",
    "ChatTemplateError",
    "CheckpointTokenizer",
    "Tokenizer",
    "build_tokenizer",
    "decode_all",
    "load_tokenizer",
    "save_tokenizer",
]
