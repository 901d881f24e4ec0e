"""The process that runs untrusted code: chat templates (Jinja) and tokenizers (Rust).

``python worker.py BYTES`` reads one JSON request a line and answers each with one line: ``{"value": …}``
or ``{"refused": text}``. A template may loop for ever, a tokenizer may expand a letter to gigabytes, and the
Rust library may end its process: here they meet the kernel's limits of memory and CPU time, and nobody else
is harmed. ``process`` is the other end. This file is run by its path and imports nothing of the
library, so that a process starts in a tenth of a second.
"""

import datetime
import functools
import json
import math
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import decoders, normalizers, pre_tokenizers

MAX_PROMPT = 1 << 24
"""Characters that a template may print."""
MAX_GROWTH = 64
"""Ids per character, and characters per id, beyond which a tokenizer is taken to be hostile."""
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake of this program
    """What the caller is told in place of a value."""


# Templates: what transformers gives them, and nothing else.


class _GenerationTag(jinja2.ext.Extension):
    """``{% generation %}…{% endgeneration %}`` marks what training learns from; a prompt holds its text."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 asks

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller: Callable[[], str]) -> str:
        return caller()


class _Namespace(jinja2.utils.Namespace):
    """A namespace that takes no names of Python's own: they have led out of the sandbox."""

    def __init__(*args: Any, **names: Any) -> None:  # ``self`` may be one of the names
        given = dict(*args[1:], **names)
        for name in given:
            _check_name(name)
        jinja2.utils.Namespace.__init__(args[0], given)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if str(name).startswith("_"):
        raise jinja2.exceptions.SecurityError(f"namespace name {name!r} begins with an underscore")


class _Dict:
    """``dict(…)`` without the class itself."""

    def __call__(self, *args: Any, **names: Any) -> dict[Any, Any]:
        return dict(*args, **names)

    def fromkeys(self, keys: Any, value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, "jinja2.ext.loopcontrols"]
    )
    made.filters["tojson"] = _to_json
    made.globals |= {"raise_exception": _raise, "namespace": _Namespace, "dict": _Dict()}
    return made


@functools.lru_cache(maxsize=16)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


def compile_template(source: str) -> list[str]:
    """The names that the template reads and does not set itself."""
    _compiled(source)
    return sorted(jinja2.meta.find_undeclared_variables(_environment().parse(source)))


def render(source: str, variables: Mapping[str, Any], today: str | None) -> str:
    """What the template prints. ``today`` (YYYY-MM-DD) stands for the day at hand where given."""

    def now() -> datetime.datetime:
        return datetime.datetime.fromisoformat(today) if today else datetime.datetime.now()

    pieces, length = [], 0
    for piece in _compiled(source).generate(
        **{"strftime_now": lambda format: now().strftime(format), **variables}
    ):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_PROMPT:
            raise Refusal(f"it prints more than {MAX_PROMPT:,} characters")
    return "".join(pieces)


# Tokenizers.


class Tokenizer:
    """One tokenizer of the Rust library, made as transformers makes it."""

    def __init__(self, recipe: Mapping[str, Any]) -> None:
        """See ``files.TokenizerFiles``."""
        self._made = made = _BUILDERS[recipe["kind"]](recipe)
        made.no_truncation()  # what a training script left in the file must not cut a prompt
        made.no_padding()
        made.encode_special_tokens = recipe["split_special_tokens"]
        if recipe["add_tokens"]:
            _add_tokens(made, recipe)

    def about(self, names: Sequence[str]) -> dict[str, Any]:
        """How many ids there are, and the ids of some tokens (None: it has no such token)."""
        size = self._made.get_vocab_size(with_added_tokens=True)
        return {"vocab_size": size, "ids": [self._made.token_to_id(name) for name in names]}

    def encode(self, text: str) -> list[int]:
        """Ids of a text, special tokens spelled in it recognised, none added."""
        ids: list[int] = self._made.encode(text, add_special_tokens=False).ids
        _check_growth(len(ids), len(text), "ids of a text", "characters")
        return ids

    def decode(self, ids: list[int], skip_special: bool) -> str:
        """The text of ids."""
        text: str = self._made.decode(ids, skip_special_tokens=skip_special)
        _check_growth(len(text), len(ids), "characters of a text", "ids")
        return text

    def decode_all(self, lists: list[list[int]], skip_special: bool) -> list[str]:
        """The text of each list of ids."""
        return [self.decode(ids, skip_special) for ids in lists]


def _check_growth(made: int, given: int, what: str, of: str) -> None:
    if made > MAX_GROWTH * given + (1 << 16):
        raise Refusal(f"it makes {made:,} {what} of {given:,} {of}")


def _from_json(recipe: Mapping[str, Any]) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(recipe["json"])


def _from_file(recipe: Mapping[str, Any]) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(_read(recipe["file"]))


def _gpt2(recipe: Mapping[str, Any]) -> tokenizers.Tokenizer:
    made = _byte_pairs(recipe)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=recipe["add_prefix_space"])
    return made


def _qwen2(recipe: Mapping[str, Any]) -> tokenizers.Tokenizer:
    made = _byte_pairs(recipe)
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = split_words(r"\p{N}", add_prefix_space=recipe["add_prefix_space"])
    return made


def split_words(digits: str, *, add_prefix_space: bool) -> pre_tokenizers.PreTokenizer:
    """The rule of Qwen2, which takes ``digits`` one by one, and of Llama 3, which takes up to three."""
    words = pre_tokenizers.Split(tokenizers.Regex(_SPLIT.replace("DIGITS", digits)), "isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=False)
    return pre_tokenizers.Sequence([words, letters])


def _byte_pairs(recipe: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Byte-level BPE of a ``vocab.json`` and a ``merges.txt``."""
    vocab = json.loads(_read(recipe["vocab"]))
    merges = []
    for number, line in enumerate(_read(recipe["merges"]).split("\n"), 1):
        line = line.removesuffix("\r")
        if line and not line.startswith("#version"):
            pair = tuple(line.split(" "))
            if len(pair) != 2:
                raise Refusal(f"line {number} of merges.txt is not two parts with a space between")
            merges.append(pair)
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges))
    made.decoder = decoders.ByteLevel()
    return made


_BUILDERS = {"json": _from_json, "file": _from_file, "gpt2": _gpt2, "qwen2": _qwen2}


def _read(path: str) -> str:
    return pathlib.Path(path).read_text("utf-8-sig")


def _add_tokens(made: tokenizers.Tokenizer, recipe: Mapping[str, Any]) -> None:
    """Add what the files beside the tokenizer list and it lacks: listed ids first, then named tokens."""
    there = made.get_added_tokens_decoder().values()
    as_they_are, known = {repr(token) for token in there}, {token.content for token in there}
    listed = [(number, _token(fields)) for number, fields in recipe["listed"]]
    by_text = {token.content: token for _, token in listed}
    new = [token for _, token in listed if repr(token) not in as_they_are]
    known |= {token.content for token in new}
    named = [by_text.get(fields["content"]) or _token(fields) for fields in recipe["named"]]
    for token in [*named, *map(_token, recipe["extra"])]:
        if token.content not in known:
            known.add(token.content)
            new.append(token)
    names = {token.content for token in named}
    for token in new:
        token.special = token.special or token.content in names
    without = {token.content for token in new if made.token_to_id(token.content) is None}
    made.add_tokens(new)
    for number, token in listed:
        if token.content in without and (got := made.token_to_id(token.content)) != number:
            raise Refusal(
                f"added_tokens_decoder gives {token.content[:60]!r} the id {number}, and with this "
                f"vocabulary it gets {got}; put the token into tokenizer.json"
            )


def _token(fields: Mapping[str, Any]) -> tokenizers.AddedToken:
    return tokenizers.AddedToken(**fields)


# The loop.


def main() -> None:
    """Answer lines until standard input ends."""
    limit_memory(int(sys.argv[1]))
    for number in (signal.SIGINT, signal.SIGTERM):  # these are for the process that asks
        signal.signal(number, signal.SIG_IGN)
    # Replies leave by a descriptor of their own: whatever a library prints cannot mix with them.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print("ready", file=replies, flush=True)
    serve(sys.stdin, replies)


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer every line of ``requests`` on ``replies``."""
    tokenizer: Tokenizer | None = None
    for line in requests:
        request = json.loads(line)
        action, seconds = request.pop("do"), request.pop("seconds")
        limit_time(seconds)
        try:
            if action == "load":
                tokenizer = Tokenizer(request["recipe"])
                value: Any = tokenizer.about(request["names"])
            elif action in ("encode", "decode", "decode_all"):
                value = getattr(tokenizer, action)(**request)
            elif action == "compile":
                value = compile_template(**request)
            else:
                value = render(**request)
            reply = json.dumps({"value": value})
        # The Rust library's panics are no ``Exception``; here they end one answer and nothing else.
        except BaseException as error:  # noqa: BLE001
            reply = json.dumps({"refused": _words(error)})
        print(reply, file=replies, flush=True)


def _words(error: BaseException) -> str:
    """One line for a person."""
    if isinstance(error, MemoryError):
        return "it needs more memory than it may have"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = " ".join(str(error).split())[:500]
    plain = isinstance(error, Refusal | jinja2.TemplateError) and text
    return text if plain else f"{type(error).__name__}: {text}"


def limit_memory(size: int) -> None:
    """Let this process have ``size`` bytes of address space, and leave no core."""
    if sys.platform != "win32":
        import resource

        _lower(resource.RLIMIT_AS, size)
        _lower(resource.RLIMIT_CORE, 0)


def limit_time(seconds: float) -> None:
    """Let this process compute for so many seconds more; then the kernel ends it."""
    if sys.platform != "win32":
        import resource

        _lower(resource.RLIMIT_CPU, math.ceil(time.process_time() + seconds))


def _lower(kind: int, limit: int) -> None:
    """Set a soft limit below the hard one, which is the administrator's."""
    import resource

    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    main()
