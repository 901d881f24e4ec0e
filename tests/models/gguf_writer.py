"""Small GGUF files for the tests, written by the ``gguf`` package from Hugging Face tensors."""

import pathlib
from typing import Any

import gguf
import numpy as np
from tokenizers import pre_tokenizers

from kinetics_jax.shapes import ModelConfig

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("t h", "th e", "Ġ the", "1 2", "l l", "Ġ a", "e r")
TEMPLATE = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}


def vocabulary(size: int) -> list[str]:
    """Special tokens, the byte alphabet, merged tokens, and fillers up to ``size``."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*SPECIAL, *alphabet, *(merge.replace(" ", "") for merge in MERGES)]
    return words + [f"<unused{n}>" for n in range(size - len(words))]


def metadata(arch: str, config: ModelConfig, rule: str = "smollm") -> dict[str, Any]:
    """The fields that llama.cpp's converter writes, without ``general.architecture``."""
    words = vocabulary(config.vocab_size)
    return {
        f"{arch}.block_count": config.num_layers,
        f"{arch}.context_length": config.max_context,
        f"{arch}.embedding_length": config.model_dim,
        f"{arch}.feed_forward_length": config.ffn_dim,
        f"{arch}.attention.head_count": config.num_query_heads,
        f"{arch}.attention.head_count_kv": config.num_kv_heads,
        f"{arch}.attention.layer_norm_rms_epsilon": config.norm_eps,
        f"{arch}.attention.key_length": config.head_dim,
        f"{arch}.attention.value_length": config.head_dim,
        f"{arch}.rope.freq_base": config.rope_theta,
        f"{arch}.vocab_size": config.vocab_size,
        f"{arch}.rope.dimension_count": config.head_dim,
        **_expert_fields(arch, config),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": rule,
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [
            3 if w in SPECIAL else 5 if w.startswith("<unused") else 1 for w in words
        ],
        "tokenizer.ggml.merges": list(MERGES),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def _expert_fields(arch: str, config: ModelConfig) -> dict[str, Any]:
    if config.moe is None:
        return {}
    return {
        f"{arch}.expert_count": config.moe.num_experts,
        f"{arch}.expert_used_count": config.moe.experts_per_token,
        f"{arch}.expert_feed_forward_length": config.moe.expert_dim,
    }


def write(
    path: pathlib.Path,
    arch: str,
    fields: dict[str, Any],
    tensors: dict[str, np.ndarray],
    encoding: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> pathlib.Path:
    """``tensors`` by GGUF name in ``fields``' file; matrices in ``encoding``, vectors in F32.

    What comes in float64 stays so.
    """
    writer = gguf.GGUFWriter(path, arch)
    for name, value in fields.items():
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_array(name, value)
    for name, tensor in tensors.items():
        if tensor.dtype == np.float64:
            writer.add_tensor(name, tensor)
            continue
        kind = encoding if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_tensors(arch: str, config: ModelConfig, theirs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hugging Face tensors renamed, and q and k of Llama reordered as llama.cpp's converter does."""
    found = {}
    for key, tensor in _stacked_experts(config, theirs).items():
        stem, kind = key.rsplit(".", 1)
        layer = ""
        if stem.startswith("model.layers."):
            _, _, number, stem = stem.split(".", 3)
            layer = f"blk.{number}."
        if arch == "llama" and stem in ("self_attn.q_proj", "self_attn.k_proj"):
            halves = tensor.reshape(-1, 2, config.head_dim // 2, *tensor.shape[1:])
            tensor = halves.swapaxes(1, 2).reshape(tensor.shape)
        found[f"{layer}{_NAMES.get(stem, stem)}.{kind}"] = np.ascontiguousarray(tensor, np.float32)
    return found


def _stacked_experts(config: ModelConfig, theirs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All experts of a layer in one tensor, where there are experts."""
    rest = {key: tensor for key, tensor in theirs.items() if ".experts." not in key}
    for layer in range(config.num_layers if config.moe else 0):
        for part in ("gate", "up", "down"):
            keys = [
                f"model.layers.{layer}.mlp.experts.{e}.{part}_proj.weight"
                for e in range(config.moe.num_experts)
            ]
            rest[f"model.layers.{layer}.ffn_{part}_exps.weight"] = np.stack([theirs[k] for k in keys])
    return rest


def rope_divisors(config: ModelConfig, factor: float, context: int) -> np.ndarray:
    """What llama.cpp's converter stores for Llama 3: written out pair by pair, as it is defined."""
    found = []
    for pair in range(config.head_dim // 2):
        turns = context / (2 * np.pi * config.rope_theta ** (2 * pair / config.head_dim))
        kept = min(max((turns - 1) / (4 - 1), 0), 1)
        found.append(1 / ((1 - kept) / factor + kept))
    return np.array(found, np.float32)
