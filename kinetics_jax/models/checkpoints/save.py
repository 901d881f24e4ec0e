"""Models back to Hugging Face safetensors, one file at a time, for transformers (4 or 5) to load."""

import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save_file

from kinetics_jax import storage
from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.checkpoint import INDEX, SINGLE
from kinetics_jax.models.checkpoints.folders import CONFIG, METADATA, earlier_model
from kinetics_jax.models.checkpoints.hf_names import sources
from kinetics_jax.models.transformer import Transformer
from kinetics_jax.models.weights import Weight, describe_part
from kinetics_jax.shapes import Llama3Rope, ModelConfig

_MAX_FILE_BYTES = 4 * 2**30
_STORES = "write to a folder here and copy that there whole"
_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
}


def save_hf(model: Transformer, path: str | pathlib.Path, *, max_file_bytes: int = _MAX_FILE_BYTES) -> None:
    """Write ``config.json`` and the weights, in the model's dtype, to the folder ``path``.

    The model is there when all of it is on the disk; an earlier one that this function wrote is replaced,
    and other files of the folder (a tokenizer's) stay. The host holds one file's tensors at a time
    (``max_file_bytes``). Raises ``InputError`` for a folder of another model, a quantised model, and a shape
    that no Hugging Face class has.
    """
    if model.quantization:
        raise InputError(f"an {model.quantization} model cannot be exported; load it unquantised")
    if max_file_bytes < 1:
        raise InputError(f"max_file_bytes={max_file_bytes} must be positive")
    config = hf_fields(model.config, model.dtype)
    folder = pathlib.Path(os.path.realpath(storage.output_folder(path, "path", stores=_STORES)))
    with storage.whole_directory(folder, earlier=lambda: earlier_model(folder), marker=CONFIG) as build:
        _write_weights(model, build, max_file_bytes)
        (build / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def _write_weights(model: Transformer, folder: pathlib.Path, max_file_bytes: int) -> None:
    """The weight files, and their index where there are several."""
    files = list(_group(_tensor_bytes(model), max_file_bytes))
    arrays = model.arrays()
    placed: dict[str, str] = {}
    total = 0
    for number, keys in enumerate(files, 1):
        name = SINGLE if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        tensors = dict(_tensors(model, arrays, keys))
        save_file(tensors, folder / name, metadata=METADATA)
        placed |= dict.fromkeys(tensors, name)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": placed}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def hf_fields(config: ModelConfig, dtype: jax.typing.DTypeLike) -> dict[str, Any]:
    """The fields of a ``config.json``, spelled so that transformers 4 and 5 both read them."""
    family = _family(config)
    fields = {
        "architectures": [_CLASSES[family]],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.model_dim,
        "intermediate_size": config.ffn_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_query_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_context,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": _rope_scaling(config),
        "tie_word_embeddings": config.tied_embeddings,
        "eos_token_id": list(config.eos_token_ids) or None,
        "pad_token_id": config.pad_token_id,
        "torch_dtype": np.dtype(dtype).name,
    }
    if family != "llama":
        fields["use_sliding_window"] = False
    if family != "qwen2":
        fields["attention_bias"] = config.qkv_bias
    if config.moe:
        fields |= {
            "num_experts": config.moe.num_experts,
            "norm_topk_prob": config.moe.norm_topk_prob,
            "num_experts_per_tok": config.moe.experts_per_token,
            "decoder_sparse_step": config.moe.every,
            "moe_intermediate_size": config.moe.expert_dim,
            "mlp_only_layers": list(config.moe.dense_layers),
        }
    return fields


def _rope_scaling(config: ModelConfig) -> dict[str, Any] | None:
    """The scaling with θ in it, as transformers 5 wants it and 4 allows it; None for plain RoPE."""
    stretch = config.yarn or config.llama3_rope
    if stretch is None:
        return None
    fields = {
        "rope_type": "llama3" if config.llama3_rope else "yarn",
        "factor": stretch.factor,
        "rope_theta": config.rope_theta,
        "original_max_position_embeddings": stretch.original_context,
    }
    if isinstance(stretch, Llama3Rope):
        return fields | {"low_freq_factor": stretch.low_turns, "high_freq_factor": stretch.high_turns}
    fields |= {"beta_fast": stretch.beta_fast, "beta_slow": stretch.beta_slow}
    if stretch.attention_factor is not None:
        fields["attention_factor"] = stretch.attention_factor
    return fields


def _family(config: ModelConfig) -> str:
    biases = (config.qkv_bias, config.out_bias)
    if config.qk_norm and biases in ((True, True), (False, False)):
        return "qwen3_moe" if config.moe else "qwen3"
    if not config.qk_norm and not config.moe and biases != (False, True):
        return "qwen2" if biases == (True, False) else "llama"
    raise InputError(f"{config.name}: no Hugging Face class has this mix of QK-norm, biases and experts")


_Key = tuple[str, int | None]
"""A weight's path without its layer, and the layer."""


def _tables(model: Transformer) -> Iterator[tuple[int | None, dict[str, Weight]]]:
    """The weights outside the layers (None), then those of each layer."""
    for layer in itertools.chain([None], range(model.config.num_layers)):
        yield layer, describe_part(model.config, layer, dtype=model.dtype)


def _tensor_bytes(model: Transformer) -> Iterator[tuple[_Key, int]]:
    """Every weight of every layer with its size, in the order of the layers."""
    for layer, table in _tables(model):
        for path, weight in table.items():
            yield (path, layer), weight.bytes


def _group(sizes: Iterator[tuple[_Key, int]], limit: int) -> Iterator[list[_Key]]:
    """Consecutive weights, as many as fit ``limit`` bytes; never fewer than one."""
    group: list[_Key] = []
    held = 0
    for key, size in sizes:
        if group and held + size > limit:
            yield group
            group, held = [], 0
        group.append(key)
        held += size
    yield group


def _tensors(
    model: Transformer, arrays: dict[str, jax.Array], keys: list[_Key]
) -> Iterator[tuple[str, np.ndarray]]:
    """(checkpoint name, tensor as it is stored there) of each weight."""
    tables = dict(_tables(model))
    for name, layer in keys:
        weight = tables[layer][name]
        if layer is None:
            array = arrays[name]
        else:
            stacked = f"layers.{name}" in arrays
            array = arrays[f"layers.{name}"][layer] if stacked else arrays[f"layers.{layer}.{name}"]
        whole = np.asarray(jax.device_get(array))
        where = list(sources(model.config, name, weight, layer=layer))
        if weight.axes[0] != "experts":
            yield where[0].key, where[0].to_theirs(whole, weight.axes)
            continue
        for source, expert in zip(where, whole, strict=True):
            yield source.key, source.to_theirs(expert, weight.axes[1:])
