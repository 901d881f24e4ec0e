"""Text ↔ token ids: a checkpoint's own tokenizer, or the built-in byte tokenizer of the tiny models."""

import datetime
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from kinetics_jax.errors import InputError, KineticsError
from kinetics_jax.models.checkpoints.checkpoint import CheckpointError, locate
from kinetics_jax.models.checkpoints.gguf import GgufFile, is_gguf
from kinetics_jax.models.tokenizers.chat_template import ChatTemplate, Message, check_messages
from kinetics_jax.models.tokenizers.files import read_templates, read_tokenizer_files
from kinetics_jax.models.tokenizers.gguf import build_tokenizer, tokenizer_config
from kinetics_jax.models.tokenizers.process import TextProcess, TextProcessError, seconds_for
from kinetics_jax.storage.impostors import impostor


class Tokenizer(Protocol):
    """What the engine needs of a tokenizer.

    One that knows how texts end may also have ``eos_token_ids``, a tuple of ids: the engine stops there too.
    One that is far away may have ``decode_all``, the texts of many lists of ids in one go.
    """

    vocab_size: int

    def encode(self, text: str) -> list[int]:
        """Token ids of text; special tokens spelled in it are recognised."""
        ...

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """Text of token ids."""
        ...

    def chat(self, messages: Sequence[Message], *, thinking: bool | None = None) -> list[int]:
        """Token ids of a conversation, ready for the assistant's turn."""
        ...


class CheckpointTokenizer:
    """A checkpoint's own tokenizer and chat template, run in a process with limits (``process``)."""

    def __init__(
        self,
        recipe: Mapping[str, Any],
        special: Mapping[str, str],
        *,
        where: str,
        templates: Mapping[str, tuple[str, str]],
        today: datetime.date | None = None,
    ) -> None:
        """Raises ``CheckpointError`` or ``ChatTemplateError`` where the files are not right.

        Args:
          recipe: what ``worker`` makes the tokenizer from.
          special: the ``bos_token`` and its like that templates may print.
          where: the tokenizer's file, for errors.
          templates: by name, source and file of each.
          today: what templates that print the date take for it; None: the day at hand.
        """
        self._process, self._where, self._special = TextProcess(recipe), where, special
        self._template_names = sorted(templates)
        eos = special.get("eos_token")
        about = self._ask(lambda: self._process.load([] if eos is None else [eos]))
        self.vocab_size: int = about["vocab_size"]
        self.eos_token_ids: tuple[int, ...] = tuple(i for i in about["ids"] if i is not None)
        """What ends a text as the tokenizer has it: one id or none."""
        self.template = None
        """The chat template, where there is one."""
        if "default" in templates:
            source, file = templates["default"]
            self.template = ChatTemplate(source, where=file, process=self._process, today=today)

    @classmethod
    def from_folder(cls, folder: pathlib.Path, *, today: datetime.date | None = None) -> Self:
        """From ``tokenizer.json`` (or ``vocab.json`` and ``merges.txt``) and the files beside it.

        Raises ``CheckpointError``, ``ConfigError`` or ``ChatTemplateError``, naming the file.
        """
        files = read_tokenizer_files(folder)
        if problem := impostor(pathlib.Path(files.where)):
            raise CheckpointError(f"{files.where}: {problem}")
        return cls(
            files.recipe, files.special, where=files.where, templates=read_templates(folder), today=today
        )

    @classmethod
    def from_gguf(cls, path: pathlib.Path, *, today: datetime.date | None = None) -> Self:
        """From the metadata of a GGUF file. Raises as ``from_folder``."""
        file = GgufFile(path)
        fields = tokenizer_config(file)
        source = fields.pop("chat_template", None)
        recipe = {"kind": "json", "json": _built(file), "add_tokens": False, "split_special_tokens": False}
        special = {name: text for name, text in fields.items() if name.endswith("_token")}
        templates = {} if source is None else {"default": (source, file.where)}
        return cls(recipe, special, where=file.where, templates=templates, today=today)

    def encode(self, text: str) -> list[int]:
        """See ``Tokenizer.encode``. No begin-of-text token is added; a template adds its own.

        Raises ``InputError`` for half of a surrogate pair, which is no text, and ``CheckpointError`` where
        the tokenizer fails or goes beyond its limits.
        """
        check_text(text)
        seconds = seconds_for(len(text))
        found: list[int] = self._ask(lambda: self._process.ask("encode", seconds=seconds, text=text))
        return found

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """See ``Tokenizer.decode``; incomplete UTF-8 at the end decodes to U+FFFD. Raises as ``encode``."""
        ids = [int(token) for token in tokens]
        seconds = seconds_for(len(ids))
        return str(
            self._ask(
                lambda: self._process.ask("decode", seconds=seconds, ids=ids, skip_special=skip_special)
            )
        )

    def decode_all(self, lists: Sequence[Sequence[int]], *, skip_special: bool = False) -> list[str]:
        """The text of each list of ids, in one exchange with the process. Raises as ``encode``."""
        plain = [[int(token) for token in tokens] for tokens in lists]
        seconds = seconds_for(sum(map(len, plain)))
        texts: list[str] = self._ask(
            lambda: self._process.ask("decode_all", seconds=seconds, lists=plain, skip_special=skip_special)
        )
        return texts

    def chat(self, messages: Sequence[Message], *, thinking: bool | None = None) -> list[int]:
        """See ``Tokenizer.chat``. ``thinking`` is ``ChatTemplate.render``'s.

        Raises ``CheckpointError`` where the checkpoint has no template, ``ChatTemplateError`` if it refuses.
        """
        if self.template is None:
            others = ", ".join(self._template_names)
            raise CheckpointError(
                f"{self._where}: none of its chat templates ({others}) is called 'default'"
                if others
                else "this checkpoint has no chat template; encode the text yourself"
            )
        return self.encode(self.template.render(messages, thinking=thinking, variables=self._special))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except TextProcessError as error:
            raise CheckpointError(f"{self._where}: the tokenizer refuses: {error}") from error


def _built(file: GgufFile) -> str:
    """The tokenizer of a GGUF file as JSON."""
    try:
        return str(build_tokenizer(file).to_str())
    except (KineticsError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the Rust library's panics are no ``Exception``
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(f"{file.where}: the tokenizer refuses: {reason}") from error


def decode_all(tokenizer: Tokenizer, lists: Sequence[Sequence[int]]) -> list[str]:
    """The text of each list of ids, in one go where the tokenizer can."""
    together = getattr(tokenizer, "decode_all", None)
    return together(lists) if together else [tokenizer.decode(tokens) for tokens in lists]


def check_text(text: str) -> None:
    """Raise ``InputError`` for a text that UTF-8 has no bytes for."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {error.start + 1} of the text is half of a surrogate pair "
            f"(U+{ord(text[error.start]):04X}); correct the text where it comes from"
        ) from None


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
            at, symbol = min(((rest.find(s), s) for s in self.SYMBOLS if s in rest), default=(len(rest), ""))
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

    def chat(self, messages: Sequence[Message], *, thinking: bool | None = None) -> list[int]:
        """See ``Tokenizer.chat``: ChatML, an empty reasoning block where ``thinking`` is False."""
        check_messages(messages)
        turns = [f"<|im_start|>{m['role']}\n{m.get('content', '')}<|im_end|>\n" for m in messages]
        closed = "<think></think>" if thinking is False else ""
        return self.encode("".join([*turns, "<|im_start|>assistant\n", closed]))


def load_tokenizer(path: str | pathlib.Path, *, today: datetime.date | None = None) -> Tokenizer:
    """The tokenizer of a checkpoint (folder, hub name or GGUF file); ``"bytes"`` is the built-in one.

    ``today`` is what chat templates that print the date take for it; None: the day at hand.
    """
    if path == "bytes":
        return ByteTokenizer()
    if is_gguf(path):
        return CheckpointTokenizer.from_gguf(pathlib.Path(path), today=today)
    return CheckpointTokenizer.from_folder(locate(path), today=today)
