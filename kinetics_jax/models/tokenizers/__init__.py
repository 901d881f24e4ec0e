"""Text ↔ token ids, and chat templates. What others wrote of them runs in a process of its own."""

from kinetics_jax.models.tokenizers.chat_template import ChatTemplate, ChatTemplateError
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
    "decode_all",
    "load_tokenizer",
]
