"""GGUF metadata and tensor names → the fields and names of a Hugging Face checkpoint.

As there, a field that is not known might change the mathematics, and is refused.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinetics_jax.models.checkpoint import CheckpointError
from kinetics_jax.models.gguf.file import GgufFile

ARCHITECTURES = ("llama", "qwen2", "qwen3")
TURNED_PAIRWISE = ("llama",)
"""Architectures whose rotary pairs llama.cpp keeps side by side, so that rows of q and k are reordered."""

_FIELDS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim",
    "rope.freq_base": "rope_theta",
}
_CHECKED = ("vocab_size", "attention.value_length", "rope.dimension_count")
"""Known too: each must agree with what is read elsewhere."""
_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hf_name(name: str) -> str:
    """The Hugging Face name of a GGUF tensor; one that is not known keeps its own, to be refused by it."""
    if name in _OUTER:
        return _OUTER[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[1].isdecimal() and parts[2] in _LAYER:
        return f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.{parts[3]}"
    return name


def architecture(file: GgufFile) -> str:
    """Which of ``ARCHITECTURES`` the file holds. Raises ``CheckpointError`` for another."""
    found = file.text("general.architecture")
    if found not in ARCHITECTURES:
        raise CheckpointError(
            f"{file.where}: architecture {found[:80]!r} is not supported; known: "
            f"{', '.join(ARCHITECTURES)}"
        )
    if file.fields.get("split.count", 1) != 1:
        raise CheckpointError(f"{file.where}: is one part of a split model; merge the parts first")
    return found


def hf_fields(file: GgufFile) -> dict[str, Any]:
    """The ``config.json`` that the metadata stands for. Raises ``CheckpointError`` naming the field."""
    kind = architecture(file)
    given = {
        name.removeprefix(f"{kind}."): value
        for name, value in file.fields.items()
        if name.startswith(f"{kind}.")
    }
    for name, value in given.items():
        if name not in _FIELDS and name not in _CHECKED:
            raise CheckpointError(
                f"{file.where}: {kind}.{name[:80]}={str(value)[:60]} is not a known field, and might "
                "change the mathematics"
            )
    found = {theirs: _plain(given[name]) for name, theirs in _FIELDS.items() if name in given}
    heads = found.get("num_attention_heads")
    found.setdefault("num_key_value_heads", heads)
    if "head_dim" not in found and _positive(found.get("hidden_size")) and _positive(heads):
        found["head_dim"] = found["hidden_size"] // heads
    _agree(file, kind, given, found)
    embedding = file.tensors.get("token_embd.weight")
    tokens = file.fields.get("tokenizer.ggml.tokens", [])
    vocab = len(tokens) if embedding is None else embedding.shape[0]
    if given.get("vocab_size", vocab) != vocab:
        raise CheckpointError(
            f"{file.where}: {kind}.vocab_size={given['vocab_size']} differs from the embedding's {vocab}"
        )
    return found | {
        "model_type": kind, "_name_or_path": pathlib.PurePath(file.where).stem,
        "vocab_size": vocab, "tie_word_embeddings": "output.weight" not in file.tensors,
        "eos_token_id": list(stop_ids(file)), "pad_token_id": special_ids(file).get("pad_token"),
    }  # fmt: skip


def special_ids(file: GgufFile) -> dict[str, int]:
    """``bos_token``, ``eos_token``, ``unk_token`` and ``pad_token`` → their ids, those that there are."""
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    found = {name: file.fields.get(f"tokenizer.ggml.{key}_token_id") for name, key in names.items()}
    return {name: _token(file, name, value) for name, value in found.items() if value is not None}


def stop_ids(file: GgufFile) -> tuple[int, ...]:
    """Tokens that end a text: end of sequence, and of turn where that is another."""
    names = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
    found = [_token(file, name, file.fields[name]) for name in names if name in file.fields]
    return tuple(dict.fromkeys(found))


def _token(file: GgufFile, name: str, value: Any) -> int:
    tokens = file.fields.get("tokenizer.ggml.tokens")
    known = isinstance(tokens, list) and isinstance(value, int) and 0 <= value < len(tokens)
    if not known or isinstance(value, bool):
        raise CheckpointError(f"{file.where}: {name}={str(value)[:60]} is no id of the vocabulary")
    return int(value)


def _agree(file: GgufFile, kind: str, given: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Whole heads are rotated, and values are as wide as keys."""
    for name in ("attention.value_length", "rope.dimension_count"):
        if given.get(name, found.get("head_dim")) != found.get("head_dim"):
            raise CheckpointError(
                f"{file.where}: {kind}.{name}={str(given[name])[:60]} differs from the head's "
                f"{found.get('head_dim')}"
            )


def _positive(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _plain(value: Any) -> Any:
    """Stored as float32; the shortest decimal that rounds to it is what was meant (1e-5)."""
    return float(str(np.float32(value))) if isinstance(value, float) else value
