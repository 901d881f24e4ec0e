"""The files beside a tokenizer, read as transformers 5 reads them: special tokens, added ones, templates.

They overlap, and later releases moved things from one to the other. What counts:

* tokens: ``tokenizer.json`` (else ``vocab.json`` and ``merges.txt``), then ``added_tokens_decoder`` of
  ``tokenizer_config.json``; only where that is absent, ``special_tokens_map.json`` and ``added_tokens.json``;
* the template: ``chat_template.jinja`` and ``additional_chat_templates/``, else ``chat_template`` of
  ``tokenizer_config.json``, else ``chat_template.json``.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from kinetics_jax.models.checkpoints.checkpoint import CheckpointError
from kinetics_jax.shapes.hf_fields import read_json

Fields = dict[str, Any]
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_END = "<|endoftext|>"
_DEFAULTS: dict[str, dict[str, str]] = {
    "qwen2": {"unk_token": _END, "eos_token": _END, "pad_token": _END},
    "gpt2": {"unk_token": _END, "bos_token": _END, "eos_token": _END},
}
"""What the classes take for special tokens that ``tokenizer_config.json`` does not mention."""
_FAMILIES = {"Qwen2Tokenizer": "qwen2", "GPT2Tokenizer": "gpt2"}
"""``tokenizer_class`` → how a ``vocab.json`` and a ``merges.txt`` split text."""
_MODEL_TYPES = {"qwen2": "qwen2", "qwen3": "qwen2", "qwen3_moe": "qwen2", "gpt2": "gpt2"}
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """What a folder says of its tokenizer."""

    where: str
    """The tokenizer's file, for errors."""
    recipe: Mapping[str, Any]
    """What ``worker`` makes the tokenizer from."""
    special: Mapping[str, str]
    """Text of each special token by the name that templates print it by (``bos_token`` …)."""


def read_tokenizer_files(folder: pathlib.Path) -> TokenizerFiles:
    """What ``folder`` holds. Raises ``CheckpointError`` (or ``ConfigError``), naming the file."""
    config_file = folder / "tokenizer_config.json"
    config = _optional(config_file)
    listed = config.get("added_tokens_decoder")
    if listed is None:
        config |= _optional(folder / "special_tokens_map.json")
    family, likely = _family(folder, config)
    tokens = _Tokens(str(config_file))
    config = _DEFAULTS.get(family, {}) | config
    extra: Any = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    named = {name: config.get(name) for name in _NAMED} | {
        name: value
        for name, value in config.items()
        if name.endswith("_token") and isinstance(value, str | dict)
    }
    if isinstance(extra, dict):  # named ones
        named, extra = named | extra, []
    if not isinstance(extra, list):
        raise CheckpointError(f"{config_file}: extra_special_tokens must be a list or an object")
    by_name = {name: tokens.read(name, v) for name, v in named.items() if v is not None}
    special = {name: fields["content"] for name, fields in by_name.items()}
    kind = _kind(folder, family or likely, config)
    where = str(kind.get("file") or kind["vocab"])
    recipe = {
        **kind,
        "split_special_tokens": config.get("split_special_tokens") is True,
        "add_tokens": True,
        "named": list(by_name.values()),
        "listed": tokens.listed(listed) if listed is not None else _added(folder, special),
        "extra": [tokens.read("extra_special_tokens", value) for value in extra],
    }
    return TokenizerFiles(where, recipe, special)


def read_templates(folder: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Chat templates of a folder by name (``default`` …): (source, the file it is from)."""
    found: dict[str, tuple[str, str]] = {}
    for name in ("chat_template.json", "tokenizer_config.json"):  # the later counts
        file = folder / name
        given = _optional(file).get("chat_template")
        for key, source in _templates(given, str(file)).items():
            found[key] = source, str(file)
    files = {"default": folder / "chat_template.jinja"} if _is_there(folder / "chat_template.jinja") else {}
    files |= {file.stem: file for file in sorted(folder.glob("additional_chat_templates/*.jinja"))}
    return found | {name: (read_text(file), str(file)) for name, file in files.items()}


def read_text(file: pathlib.Path) -> str:
    """A text file. A byte order mark is no part of it, and its lines end in a line feed."""
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file}: not UTF-8 ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from error


def _templates(given: Any, where: str) -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, list):  # several, by name
        given = {t.get("name"): t.get("template") for t in given if isinstance(t, dict)}
    elif isinstance(given, str):
        given = {"default": given}
    if not isinstance(given, dict) or not all(isinstance(x, str) for kv in given.items() for x in kv):
        raise CheckpointError(f"{where}: chat_template is not text")
    return given


def _family(folder: pathlib.Path, config: Fields) -> tuple[str, str]:
    """(the tokenizer's class, what its model's kind makes likely); empty where not known.

    A Qwen2 model's own class counts over a name beside it, which is often wrong (R1 distillations say Llama).
    """
    named = str(config.get("tokenizer_class") or "").removesuffix("Fast")
    model = str(_optional(folder / "config.json").get("model_type"))
    likely = _MODEL_TYPES.get(model, "")
    if model == "qwen2" or not named:
        return likely, likely
    return _FAMILIES.get(named, ""), likely


def _kind(folder: pathlib.Path, family: str, config: Fields) -> Fields:
    file, vocab, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    if _is_there(file):
        return {"kind": "file", "file": str(file)}
    if not (_is_there(vocab) and _is_there(merges)):
        others = [
            name for name in ("tokenizer.model", "tekken.json", "tiktoken.model") if (folder / name).is_file()
        ]
        found = f"; {others[0]} is not read: save it as tokenizer.json with transformers" if others else ""
        raise CheckpointError(f"{file}: no such file, nor vocab.json with merges.txt{found}")
    if not family:
        raise CheckpointError(
            f"{vocab}: tokenizer_class={str(config.get('tokenizer_class'))[:60]!r} does not say how text is "
            f"split ({', '.join(_FAMILIES)} do); set it in tokenizer_config.json, or add a tokenizer.json"
        )
    space = config.get("add_prefix_space") is True
    return {"kind": family, "vocab": str(vocab), "merges": str(merges), "add_prefix_space": space}


def _added(folder: pathlib.Path, special: Mapping[str, str]) -> list[tuple[int, Fields]]:
    """Tokens of ``added_tokens.json``, the form before ``added_tokens_decoder``."""
    file = folder / "added_tokens.json"
    names = set(special.values())
    found = []
    for text, number in _optional(file).items():
        if type(number) is not int:
            raise CheckpointError(f"{file}: the id of {text[:60]!r} is not a whole number")
        flags = {"normalized": text not in names, "special": text in names}
        found.append((number, {"content": text, **flags}))
    return sorted(found, key=lambda entry: entry[0])


class _Tokens:
    """Reads tokens of one file, so that errors can name it."""

    def __init__(self, where: str) -> None:
        self._where = where

    def read(self, name: str, value: Any) -> Fields:
        """A token given as its text, or as an object with its flags."""
        if isinstance(value, str):
            return {"content": value, "special": True, "normalized": False}
        if not isinstance(value, dict) or not isinstance(value.get("content"), str):
            raise CheckpointError(f"{self._where}: {name} must be a text, or an object with its content")
        flags = {flag: value[flag] for flag in _FLAGS if value.get(flag) is not None}
        if not all(isinstance(flag, bool) for flag in flags.values()):
            raise CheckpointError(f"{self._where}: flags of {name} must be true or false")
        return {"content": value["content"], **flags}

    def listed(self, given: Any) -> list[tuple[int, Fields]]:
        """``added_tokens_decoder``, by id."""
        if not isinstance(given, dict) or not all(key.isdecimal() for key in given):
            raise CheckpointError(f"{self._where}: added_tokens_decoder must be an object by id")
        found = [(int(key), self.read("added_tokens_decoder", v)) for key, v in given.items()]
        return sorted(found, key=lambda entry: entry[0])


def _optional(file: pathlib.Path) -> Fields:
    return read_json(file) if _is_there(file) else {}


def _is_there(file: pathlib.Path) -> bool:
    """Whether a file is there; what stands in its place and is none (a pipe, a folder) is refused."""
    if file.exists() and not file.is_file():
        raise CheckpointError(f"{file}: not a plain file")
    return file.is_file()
