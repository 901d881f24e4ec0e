"""Text ↔ token ids: a checkpoint's own tokenizer, or the built-in byte tokenizer of the tiny models."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import tokenizers

from kinetics_jax.models.chat_template import ChatTemplate, ChatTemplateError, Message
from kinetics_jax.models.checkpoint import CheckpointError, locate
from kinetics_jax.models.gguf import GgufFile, build_tokenizer, is_gguf, tokenizer_config
from kinetics_jax.spec.hf_fields import read_json
from kinetics_jax.spec.impostors import impostor


class Tokenizer(Protocol):
    """What the engine needs of a tokenizer."""

    vocab_size: int

    def encode(self, text: str) -> list[int]:
        """Token ids of text; special tokens spelled in it are recognised."""
        ...

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """Text of token ids."""
        ...

    def chat(self, messages: Sequence[Message], *, thinking: bool = True) -> list[int]:
        """Token ids of a conversation, ready for the assistant's turn."""
        ...


class CheckpointTokenizer:
    """A checkpoint's own tokenizer and chat template."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, template: ChatTemplate | None,
        special: Mapping[str, str],
    ) -> None:  # fmt: skip
        """``special`` are the ``bos_token`` and its like that the template may print."""
        self._tokenizer, self.template, self._special = tokenizer, template, special
        self.vocab_size = tokenizer.get_vocab_size(with_added_tokens=True)

    @classmethod
    def from_folder(cls, folder: pathlib.Path) -> Self:
        """From ``tokenizer.json`` and the files beside it.

        Raises ``CheckpointError`` or ``ChatTemplateError``, naming the file.
        """
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise CheckpointError(f"{file}: no such file")
        try:
            found = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:
            problem = impostor(file) or f"not a readable tokenizer ({error})"
            raise CheckpointError(f"{file}: {problem}") from error
        config = folder / "tokenizer_config.json"
        fields = read_json(config) if config.is_file() else {}
        return cls(found, _template(folder), _special_tokens(fields))

    @classmethod
    def from_gguf(cls, path: pathlib.Path) -> Self:
        """From the metadata of a GGUF file. Raises as ``from_folder``."""
        file = GgufFile(path)
        fields = tokenizer_config(file)
        source = fields.get("chat_template")
        template = None if source is None else _compiled(source, file.where)
        return cls(build_tokenizer(file), template, _special_tokens(fields))

    def encode(self, text: str) -> list[int]:
        """See ``Tokenizer.encode``. No begin-of-text token is added; a template adds its own."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """See ``Tokenizer.decode``; incomplete UTF-8 at the end decodes to U+FFFD."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=skip_special)

    def chat(self, messages: Sequence[Message], *, thinking: bool = True) -> list[int]:
        """See ``Tokenizer.chat``. Raises ``CheckpointError`` where the checkpoint has no template."""
        if self.template is None:
            raise CheckpointError("this checkpoint has no chat template; encode the text yourself")
        text = self.template.render(messages, thinking=thinking, variables=self._special)
        return self.encode(text)


def _template(folder: pathlib.Path) -> ChatTemplate | None:
    """``chat_template.jinja`` (transformers 5), else the field of ``tokenizer_config.json`` (4)."""
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        try:
            return _compiled(file.read_text("utf-8"), str(file))
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{file}: not UTF-8 ({error})") from error
    source = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(source, list):  # several named templates
        named = {t.get("name"): t.get("template") for t in source if isinstance(t, dict)}
        source = named.get("default")
    if source is None:
        return None
    if not isinstance(source, str):
        raise CheckpointError(f"{config}: chat_template is not text")
    return _compiled(source, str(config))


def _compiled(source: str, where: str) -> ChatTemplate:
    try:
        return ChatTemplate(source)
    except ChatTemplateError as error:
        raise ChatTemplateError(f"{where}: {error}") from error


def _special_tokens(fields: Mapping[str, Any]) -> dict[str, str]:
    """The ``bos_token`` and its like of a ``tokenizer_config.json``."""
    found = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        token = fields.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found[name] = token
    return found


class ByteTokenizer:
    """UTF-8 bytes as ids 0…255, then a few symbols: enough for the ``tiny-…`` models."""

    SYMBOLS = ("<|pad|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
    vocab_size = 272
    """Ids in use, rounded up to a multiple of 16 so that it splits over devices."""

    def __init__(self) -> None:
        self._ids = {symbol: 256 + number for number, symbol in enumerate(self.SYMBOLS)}

    def encode(self, text: str) -> list[int]:
        """See ``Tokenizer.encode``."""
        found: list[int] = []
        rest = text
        while rest:
            at, symbol = min(
                ((rest.find(s), s) for s in self.SYMBOLS if s in rest), default=(len(rest), "")
            )
            found += rest[:at].encode("utf-8", "surrogatepass")
            if symbol:
                found.append(self._ids[symbol])
            rest = rest[at + len(symbol) :]
        return found

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """See ``Tokenizer.decode``; ids that mean nothing decode to U+FFFD."""
        parts = bytearray()
        for token in tokens:
            if 0 <= token < 256:
                parts.append(token)
            elif not skip_special:
                known = 0 <= token - 256 < len(self.SYMBOLS)
                parts += (self.SYMBOLS[token - 256] if known else "\ufffd").encode()
        return parts.decode("utf-8", "replace")

    def chat(self, messages: Sequence[Message], *, thinking: bool = True) -> list[int]:
        """See ``Tokenizer.chat``: ChatML, an empty reasoning block where ``thinking`` is off."""
        text = _CHATML.render(messages, thinking=thinking)
        return self.encode(text)


_CHATML = ChatTemplate(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{% if not enable_thinking %}<think></think>{% endif %}"
)


def load_tokenizer(path: str | pathlib.Path) -> Tokenizer:
    """The tokenizer of a checkpoint (folder, hub name or GGUF file); ``"bytes"`` is the built-in one."""
    if path == "bytes":
        return ByteTokenizer()
    if is_gguf(path):
        return CheckpointTokenizer.from_gguf(pathlib.Path(path))
    return CheckpointTokenizer.from_folder(locate(path))
