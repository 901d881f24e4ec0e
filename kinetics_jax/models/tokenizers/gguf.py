"""The tokenizer and chat template that a GGUF file carries, as ``tokenizers`` and transformers know them.

GGUF names the rule that splits text before byte-pair merges; only rules that are known are built.
"""

import functools
import json
import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers, processors

from kinetics_jax.models.checkpoints.checkpoint import CheckpointError
from kinetics_jax.models.checkpoints.gguf.file import GgufFile
from kinetics_jax.models.checkpoints.gguf.names import special_ids, stop_ids
from kinetics_jax.models.tokenizers.worker import split_words
from kinetics_jax.shapes.hf_fields import ConfigWarning

_CONTROL, _USER_DEFINED = 3, 4
"""GGUF's token types for special tokens and for text that is one token whatever surrounds it."""


def build_tokenizer(file: GgufFile) -> tokenizers.Tokenizer:
    """The byte-level BPE tokenizer of the file. Raises ``CheckpointError`` naming the field."""
    kind, rule = file.text("tokenizer.ggml.model"), file.text("tokenizer.ggml.pre", "none")
    if kind != "gpt2" or rule not in _SPLITS:
        raise CheckpointError(
            f"{file.where}: tokenizer {kind[:40]!r} with rule {rule[:40]!r} is not supported; known: "
            f"gpt2 with {', '.join(_SPLITS)}"
        )
    if file.fields.get("tokenizer.ggml.add_space_prefix", False):
        raise CheckpointError(f"{file.where}: tokenizer.ggml.add_space_prefix is not supported")
    tokens = file.listed("tokenizer.ggml.tokens", str)
    types = file.listed("tokenizer.ggml.token_type", int)
    vocab = {token: number for number, token in enumerate(tokens)}
    if len(types) != len(tokens) or len(vocab) != len(tokens):
        problem = "token_type has another length" if len(types) != len(tokens) else "tokens repeat"
        raise CheckpointError(f"{file.where}: tokenizer.ggml.{problem}")
    merges = _merges(file, vocab)
    try:
        whole = rule in _WHOLE_WORDS
        found = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges, ignore_merges=whole))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{file.where}: tokenizer.ggml.merges: {error}") from error
    found.decoder = decoders.ByteLevel()
    _SPLITS[rule](found)
    for wanted, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [
            tokenizers.AddedToken(token, special=special, normalized=False)
            for token, type_ in zip(tokens, types, strict=True)
            if type_ == wanted
        ]
        (found.add_special_tokens if special else found.add_tokens)(added)
    if file.fields.get("tokenizer.ggml.add_bos_token", rule in _WHOLE_WORDS):
        _begin_with_bos(file, found, tokens)
    return found


def _merges(file: GgufFile, vocab: Mapping[str, int]) -> list[Any]:
    """Pairs that merge, best first, without those that would make no token: nothing can come of them."""
    merges = [tuple(merge.split(" ")) for merge in file.listed("tokenizer.ggml.merges", str)]
    useful = [pair for pair in merges if "".join(pair) in vocab or not vocab.keys() >= set(pair)]
    if len(useful) < len(merges):
        warnings.warn(
            f"{file.where}: tokenizer.ggml.merges: {len(merges) - len(useful)} make no token of the "
            "vocabulary and are passed over",
            ConfigWarning,
            stacklevel=4,
        )
    return useful


def tokenizer_config(file: GgufFile) -> dict[str, Any]:
    """The ``tokenizer_config.json`` that goes with it: special tokens by name and the chat template."""
    tokens = file.listed("tokenizer.ggml.tokens", str)
    found: dict[str, Any] = {name: tokens[number] for name, number in special_ids(file).items()}
    found |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if "tokenizer.chat_template" in file.fields:
        found["chat_template"] = file.text("tokenizer.chat_template")
    return found


def save_tokenizer(file: GgufFile, folder: pathlib.Path) -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``generation_config.json`` to ``folder``."""
    found, config = build_tokenizer(file), tokenizer_config(file)
    stops: dict[str, Any] = {f"{name}_id": number for name, number in special_ids(file).items()}
    stops |= {"eos_token_id": list(stop_ids(file))}
    stops.pop("unk_token_id", None)
    folder.mkdir(parents=True, exist_ok=True)
    found.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    (folder / "generation_config.json").write_text(json.dumps(stops, indent=2) + "\n", "utf-8")


def _byte_level(found: tokenizers.Tokenizer, *, digits: bool) -> None:
    """GPT-2's rule, after taking out every digit by itself where ``digits``."""
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    single = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    found.pre_tokenizer = pre_tokenizers.Sequence([*single, letters])


def _qwen2(found: tokenizers.Tokenizer) -> None:
    found.normalizer = normalizers.NFC()
    found.pre_tokenizer = split_words(r"\p{N}", add_prefix_space=False)


def _llama3(found: tokenizers.Tokenizer) -> None:
    found.pre_tokenizer = split_words(r"\p{N}{1,3}", add_prefix_space=False)


_SPLITS: dict[str, Callable[[tokenizers.Tokenizer], None]] = {
    "gpt-2": functools.partial(_byte_level, digits=False),
    "smollm": functools.partial(_byte_level, digits=True),
    "qwen2": _qwen2,
    "deepseek-r1-qwen": _qwen2,
    "llama-bpe": _llama3,
    "llama3": _llama3,
    "llama-v3": _llama3,
}
_WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")
"""Rules under which a piece that is a token is never merged from parts, and texts begin with a token."""


def _begin_with_bos(file: GgufFile, found: tokenizers.Tokenizer, tokens: list[str]) -> None:
    number = special_ids(file).get("bos_token")
    if number is None:
        raise CheckpointError(f"{file.where}: add_bos_token without tokenizer.ggml.bos_token_id")
    bos = tokens[number]
    found.post_processor = processors.TemplateProcessing(
        single=[bos, "$A"], pair=[bos, "$A", bos, "$B:1"], special_tokens=[(bos, number)]
    )
