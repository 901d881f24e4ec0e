"""The register machine's symbols as a tokenizer, so that samples of the suite can be read by people."""

from collections.abc import Sequence
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.tasks.registers.symbols import VOCABULARY, read_text, write_text


class SymbolTokenizer:
    """``kinetics_jax.models.Tokenizer`` of the tiny models: one word a token."""

    vocab_size = VOCABULARY

    def encode(self, text: str) -> list[int]:
        """Ids of a text of symbols."""
        return list(read_text(text))

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of ids; there are no special tokens to skip."""
        del skip_special
        return write_text(tokens)

    def chat(self, messages: Sequence[Any], *, thinking: bool | None = None) -> list[int]:
        """Refused: the suite's prompts are token ids, and its models know no chat."""
        del messages, thinking
        raise InputError("the built-in models know the registers task only, not texts")
