"""GGUF metadata and tensor names → the fields and names of a Hugging Face checkpoint.

As there, a field that can change the mathematics is read or held to what is computed; any other passes with
one warning.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinetics_jax.models.checkpoints.checkpoint import CheckpointError
from kinetics_jax.models.checkpoints.gguf.file import GgufFile
from kinetics_jax.shapes.hf_fields import short, warn_passed_over

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3moe": "qwen3_moe"}
"""llama.cpp's architectures → transformers' model types."""
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
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_weights_norm": "norm_topk_prob",
}
_CHECKED = ("vocab_size", "attention.value_length", "rope.dimension_count", "attention.sliding_window")
"""Known too: each must agree with what is read elsewhere."""
_YARN = {
    "rope.scaling.factor": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
}
_SCALING = ("rope.scaling.type", "rope.scaling.finetuned", *_YARN)
_HELD: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "expert_gating_func": (1, 0),  # softmax, or not said
    **dict.fromkeys(
        (
            "embedding_scale",
            "logit_scale",
            "residual_scale",
            "rope.scale_linear",
            "rope.scaling.attn_factor",
            "rope.scaling.yarn_attn_factor",
            "rope.scaling.yarn_ext_factor",
        ),
        (1,),
    ),
    **dict.fromkeys(
        (
            "attention.clamp_kqv",
            "attention.max_alibi_bias",
            "attention.scale",
            "attn_logit_softcapping",
            "expert_shared_count",
            "expert_shared_feed_forward_length",
            "final_logit_softcapping",
            "interleave_moe_layer_step",
            "leading_dense_block_count",
            "router_logit_softcapping",
            "rope.scaling.yarn_log_multiplier",
            "use_parallel_residual",
        ),
        (0, False),
    ),
    "expert_weights_scale": (1, 0),
    "rope.dimension_sections": ([], [0, 0, 0, 0]),
}
"""Fields that can change the mathematics → the values that do not."""
_HARMLESS = ("tensor_data_layout", "pooling_type", "rope.scaling.finetuned")
_PART = re.compile(r"-\d{5}-of-\d{5}$")
"""What names of the parts of a split model end in."""
ROPE_FACTORS = "rope_freqs.weight"
"""Tensor of the divisors of rotary frequencies (Llama 3)."""
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
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.gate_proj",
    "ffn_up_exps": "mlp.experts.up_proj",
    "ffn_down_exps": "mlp.experts.down_proj",
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
            f"{file.where}: architecture {found[:80]!r} is not supported; known: {', '.join(ARCHITECTURES)}"
        )
    return found


def hf_fields(file: GgufFile) -> dict[str, Any]:
    """The ``config.json`` that the metadata stands for. Raises ``CheckpointError`` naming the field."""
    kind = architecture(file)
    given = {
        name.removeprefix(f"{kind}."): value
        for name, value in file.fields.items()
        if name.startswith(f"{kind}.")
    }
    _check_fields(file, kind, given)
    found = {theirs: _plain(given[name]) for name, theirs in _FIELDS.items() if name in given}
    heads = found.get("num_attention_heads")
    found.setdefault("num_key_value_heads", heads)
    if "head_dim" not in found and _positive(found.get("hidden_size")) and _positive(heads):
        found["head_dim"] = found["hidden_size"] // heads
    _agree(file, kind, given, found)
    if kind == "qwen3moe":
        found.setdefault("norm_topk_prob", True)  # as llama.cpp does, where it is not said
    return found | {
        "model_type": ARCHITECTURES[kind],
        "rope_scaling": _rope_scaling(given),
        "_name_or_path": _PART.sub("", pathlib.PurePath(file.where).stem),
        "vocab_size": _vocab_size(file, kind, given),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "eos_token_id": list(stop_ids(file)),
        "pad_token_id": special_ids(file).get("pad_token"),
    }


def _vocab_size(file: GgufFile, kind: str, given: Mapping[str, Any]) -> int:
    """V, which the embedding says and the metadata may repeat."""
    embedding = file.tensors.get("token_embd.weight")
    tokens = file.fields.get("tokenizer.ggml.tokens", [])
    vocab = len(tokens) if embedding is None else embedding.shape[0]
    if given.get("vocab_size", vocab) != vocab:
        raise CheckpointError(
            f"{file.where}: {kind}.vocab_size={given['vocab_size']} differs from the embedding's {vocab}"
        )
    return vocab


def _check_fields(file: GgufFile, kind: str, given: Mapping[str, Any]) -> None:
    """Refuse what would change the mathematics, or is missing; one warning for all that is not known."""
    needed = ("attention.layer_norm_rms_epsilon", "rope.freq_base")
    for name in needed[:1] if kind == "llama" else needed:  # a Llama's θ is 10,000 if it is not said
        if name not in given:
            raise CheckpointError(f"{file.where}: field {kind}.{name} is missing")
    passed = []
    for name, value in given.items():
        label = f"{kind}.{repr(name)[1:-1][:80]}={short(value)}"
        if name in _HELD and value not in _HELD[name]:
            raise CheckpointError(f"{file.where}: {label} is not supported; only {_HELD[name][0]!r} is")
        if name not in (*_FIELDS, *_CHECKED, *_SCALING, *_HELD, *_HARMLESS):
            passed.append(label)
    warn_passed_over(file.where, passed, stacklevel=4)


def _rope_scaling(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The scaling as ``config.json`` has it. A factor without a type is linear in llama.cpp."""
    kind = given.get("rope.scaling.type") or ("linear" if "rope.scaling.factor" in given else "none")
    if kind == "none" or (kind == "linear" and given.get("rope.scaling.factor", 1) in (0, 1)):
        return None
    found = {theirs: _plain(given[name]) for name, theirs in _YARN.items() if name in given}
    return {"rope_type": kind, **found}


def special_ids(file: GgufFile) -> dict[str, int]:
    """``bos_token``, ``eos_token``, ``unk_token`` and ``pad_token`` → their ids, those that there are."""
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    found = {name: file.fields.get(f"tokenizer.ggml.{key}_token_id") for name, key in names.items()}
    return {name: _token(file, name, value) for name, value in found.items() if value is not None}


def stop_ids(file: GgufFile) -> tuple[int, ...]:
    """Tokens that end a text: end of sequence, and of turn and message where those are others."""
    names = [f"tokenizer.ggml.{kind}_token_id" for kind in ("eos", "eot", "eom")]
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
    window = given.get("attention.sliding_window")
    context = found.get("max_position_embeddings")
    if window and not (_positive(window) and _positive(context) and window >= context):
        raise CheckpointError(
            f"{file.where}: {kind}.attention.sliding_window={short(window)} is not supported"
        )
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
