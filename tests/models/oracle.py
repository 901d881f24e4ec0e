"""The parity oracle: small checkpoints that transformers itself writes from seeded random weights.

Import it only where torch and transformers are installed (``pytest.importorskip`` first).
"""

import pathlib
from typing import Any

import numpy as np
import torch
import transformers

_CLASSES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    "qwen3_moe": (transformers.Qwen3MoeConfig, transformers.Qwen3MoeForCausalLM),
}
# Wide weights, so that attention is peaked, routing is decided and logits have a real scale.
_BASE = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.15,
    "max_position_embeddings": 4096,
}
_YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 64}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_MOE_128 = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 16}

_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
# As SmolLM2-135M: 9 query and 3 KV heads of 64, D = N·H.
_SMOL = {"hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3, "initializer_range": 0.04}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ratio1": ("qwen3", {"head_dim": 12, "num_key_value_heads": 4}),
    "ratio2-tied": ("qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "ratio4-wide-head": ("qwen3", {"head_dim": 32, "num_key_value_heads": 1}),
    "ratio8-bias": (
        "qwen3",
        {"head_dim": 14, "num_attention_heads": 8, "num_key_value_heads": 1, "attention_bias": True},
    ),
    "yarn": ("qwen3", {"head_dim": 16, "rope_parameters": _YARN}),
    "yarn-scaled": (
        "qwen3",
        {
            "head_dim": 20,
            "rope_parameters": _YARN | {"attention_factor": 1.3, "beta_fast": 16.0, "beta_slow": 2.0},
        },
    ),
    "qwen2": ("qwen2", {}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True, "num_attention_heads": 6}),
    "llama-smol": ("llama", {**_SMOL, "tie_word_embeddings": True}),
    "llama-smol-untied": ("llama", {**_SMOL, "rms_norm_eps": 1e-5}),
    "llama-bias": ("llama", {"attention_bias": True, "num_key_value_heads": 4, "head_dim": 20}),
    "llama3": ("llama", {"rope_parameters": _LLAMA3, "head_dim": 16, "tie_word_embeddings": True}),
    "moe-2of4": ("qwen3_moe", {**_MOE, "head_dim": 16, "norm_topk_prob": True}),
    "moe-2of4-raw": ("qwen3_moe", {**_MOE, "head_dim": 16, "norm_topk_prob": False}),
    "moe-every-2": (
        "qwen3_moe",
        {**_MOE, "head_dim": 16, "norm_topk_prob": True, "num_hidden_layers": 3, "decoder_sparse_step": 2},
    ),
    "moe-first-dense": (
        "qwen3_moe",
        {**_MOE, "head_dim": 16, "norm_topk_prob": True, "num_hidden_layers": 3, "mlp_only_layers": [0]},
    ),
    "moe-8of128": ("qwen3_moe", {**_MOE_128, "head_dim": 16, "norm_topk_prob": True}),
    "moe-8of128-raw": ("qwen3_moe", {**_MOE_128, "head_dim": 16, "norm_topk_prob": False}),
}


def build(variant: str, *, seed: int = 0, **overrides: Any) -> Any:
    """The transformers model of a variant, in float32."""
    family, more = VARIANTS[variant]
    config_class, model_class = _CLASSES[family]
    transformers.logging.set_verbosity_error()
    torch.manual_seed(seed)
    # The plain loop over experts runs every dtype and width; the grouped one does not on CPU.
    extra = {"experts_implementation": "eager"} if family == "qwen3_moe" else {}
    model = model_class(config_class(**{**_BASE, **more, **overrides, **extra})).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:  # norms and biases start at 1 and 0, which would hide mistakes
                weight.add_(0.2 * torch.randn_like(weight))
    return model


def write(variant: str, folder: pathlib.Path, **options: Any) -> Any:
    """Build a variant and save it as transformers does; returns the model."""
    model = build(variant, **options)
    model.save_pretrained(folder)
    return model


def read(variant: str, folder: pathlib.Path, dtype: torch.dtype) -> Any:
    """A saved variant read back in ``dtype`` (``model.to`` would round RoPE's frequencies too)."""
    _, model_class = _CLASSES[VARIANTS[variant][0]]
    options = {"experts_implementation": "eager"} if "moe" in variant else {}
    return model_class.from_pretrained(folder, dtype=dtype, **options).eval()


def logits(model: Any, tokens_bt: np.ndarray) -> np.ndarray:
    """Float32 logits_btv of a transformers model."""
    with torch.no_grad():
        return model(torch.tensor(tokens_bt)).logits.float().numpy()
