"""The ``config.json`` of every model that this project names, as their makers publish them.

Facts, typed from the published files: each function holds the fields that a family's files share, each row
of ``PUBLISHED`` the values of one model. What must come of them is beside them: parameters in all, and the
preset of the same shape where there is one.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Published(NamedTuple):
    """One model's file and what it says."""

    name: str
    fields: dict[str, Any]
    params: int
    """Stored parameters, a tied table counted once."""
    preset: str | None = None
    passed: tuple[str, ...] = ()
    """Fields that a warning must name; none: no warning."""


def _qwen3(D: int, F: int, L: int, N: int, K: int, *, tied: bool, **more: Any) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": D,
        "initializer_range": 0.02,
        "intermediate_size": F,
        "max_position_embeddings": 40960,
        "max_window_layers": L,
        "model_type": "qwen3",
        "num_attention_heads": N,
        "num_hidden_layers": L,
        "num_key_value_heads": K,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 151936,
        **more,
    }


def _qwen3_moe(D: int, F: int, E: int, L: int, N: int, **more: Any) -> dict[str, Any]:
    experts = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": E,
        "norm_topk_prob": True,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.001,
    }
    return _qwen3(D, F, L, N, 4, tied=False, **{**experts, **more})


def _qwen2(D: int, F: int, L: int, N: int, K: int, *, tied: bool, **more: Any) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "hidden_act": "silu",
        "hidden_size": D,
        "initializer_range": 0.02,
        "intermediate_size": F,
        "max_position_embeddings": 32768,
        "max_window_layers": 70,
        "model_type": "qwen2",
        "num_attention_heads": N,
        "num_hidden_layers": L,
        "num_key_value_heads": K,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 131072,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.43.1",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 151936 if tied else 152064,
        **more,
    }


def _qwen2_base(*shape: int, tied: bool, **more: Any) -> dict[str, Any]:
    own = {
        "eos_token_id": 151643,
        "max_position_embeddings": 131072,
        "max_window_layers": shape[2],
        "transformers_version": "4.40.1",
        "use_mrope": False,
    }
    return _qwen2(*shape, tied=tied, **{**own, **more})


def _r1_qwen(*shape: int, **more: Any) -> dict[str, Any]:
    own = {"eos_token_id": 151643, "max_position_embeddings": 131072, "max_window_layers": shape[2]}
    return _qwen2(*shape, tied=False, **{**own, **more})


_R1_MATH = {"rope_theta": 10000, "sliding_window": 4096, "use_mrope": False, "transformers_version": "4.44.0"}
_LLAMA3 = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def _llama3(D: int, F: int, L: int, N: int, *, tied: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009],
        "hidden_act": "silu",
        "hidden_size": D,
        "initializer_range": 0.02,
        "intermediate_size": F,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": N,
        "num_hidden_layers": L,
        "num_key_value_heads": 8,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": _LLAMA3,
        "rope_theta": 500000.0,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.43.0.dev0",
        "use_cache": True,
        "vocab_size": 128256,
        **more,
    }


def _smollm2(D: int, F: int, L: int, N: int, K: int, **more: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": D,
        "initializer_range": 0.02,
        "intermediate_size": F,
        "is_llama_config": True,
        "max_position_embeddings": 8192,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": N,
        "num_hidden_layers": L,
        "num_key_value_heads": K,
        "pad_token_id": 2,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_interleaved": False,
        "rope_scaling": None,
        "rope_theta": 100000,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        "transformers_version": "4.42.3",
        "use_cache": True,
        "vocab_size": 49152,
        **more,
    }


_LONG = {"max_position_embeddings": 262144}
_UNSLOTH = {"unsloth_fixed": True, "transformers_version": "4.51.3"}
_YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 32768,
    "attn_factor": 0.8782488562869419,
}
_SMALL = {"max_window_layers": 21, "sliding_window": 32768}
_SMALL_LLAMA = {"rope_scaling": _LLAMA3 | {"factor": 32.0}, "transformers_version": "4.45.0.dev0"}


def _all() -> Iterator[Published]:
    q = "Qwen/Qwen3-"
    small, middle = (1024, 3072, 28, 16, 8), (2560, 9728, 36, 32, 8)
    yield Published(q + "0.6B", _qwen3(*small, tied=True), 596_049_920, "qwen3-0.6b")
    yield Published(q + "1.7B", _qwen3(2048, 6144, 28, 16, 8, tied=True), 1_720_574_976, "qwen3-1.7b")
    yield Published(q + "4B", _qwen3(*middle, tied=True), 4_022_468_096, "qwen3-4b")
    yield Published(q + "8B", _qwen3(4096, 12288, 36, 32, 8, tied=False), 8_190_735_360, "qwen3-8b")
    yield Published(q + "14B", _qwen3(5120, 17408, 40, 40, 8, tied=False), 14_768_307_200, "qwen3-14b")
    yield Published(q + "32B", _qwen3(5120, 25600, 64, 64, 8, tied=False), 32_762_123_264, "qwen3-32b")
    a3b, a22b = (2048, 6144, 768, 48, 32), (4096, 12288, 1536, 94, 64)
    yield Published(q + "30B-A3B", _qwen3_moe(*a3b), 30_532_122_624, "qwen3-30b-a3b")
    yield Published(q + "235B-A22B", _qwen3_moe(*a22b), 235_093_634_560, "qwen3-235b-a22b")
    coder = {
        "num_experts": 160,
        "num_key_value_heads": 8,
        "rope_theta": 10000000,
        "router_aux_loss_coef": 0.0,
        "qkv_bias": False,
        "shared_expert_intermediate_size": 0,
        "use_qk_norm": True,
        **_LONG,
    }
    coder = _qwen3_moe(6144, 8192, 2560, 62, 96, **coder)
    for unsaid in ("attention_bias", "bos_token_id"):
        del coder[unsaid]
    name = q + "Coder-480B-A35B-Instruct"
    yield Published(name, coder, 480_154_875_392, "qwen3-coder-480b-a35b")
    for kind in ("Instruct-2507", "Thinking-2507"):
        five, ten = _LONG | {"rope_theta": 5000000}, _LONG | {"rope_theta": 10000000}
        yield Published(f"{q}4B-{kind}", _qwen3(*middle, tied=True, **five), 4_022_468_096)
        yield Published(f"{q}30B-A3B-{kind}", _qwen3_moe(*a3b, **ten), 30_532_122_624)
        yield Published(f"{q}235B-A22B-{kind}", _qwen3_moe(*a22b, **five), 235_093_634_560)
    unsloth = _qwen3(*small, tied=True, pad_token_id=151654, **_UNSLOTH)
    yield Published("unsloth/Qwen3-0.6B", unsloth, 596_049_920, "qwen3-0.6b")
    stretched = _qwen3(4096, 12288, 36, 32, 8, tied=False, max_position_embeddings=131072, rope_scaling=_YARN)
    yield Published(
        "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", stretched, 8_190_735_360, None, ("rope_scaling.attn_factor",)
    )
    yield from _of_qwen2()
    yield from _of_llama()


def _of_qwen2() -> Iterator[Published]:
    sizes = {
        "0.5b": ((896, 4864, 24, 14, 2), True, 494_032_768, _SMALL),
        "1.5b": ((1536, 8960, 28, 12, 2), True, 1_543_714_304, _SMALL),
        "3b": ((2048, 11008, 36, 16, 2), True, 3_085_938_688, {"sliding_window": 32768}),
        "7b": ((3584, 18944, 28, 28, 4), False, 7_615_616_512, {"max_window_layers": 28}),
        "14b": ((5120, 13824, 48, 40, 8), False, 14_770_033_664, {}),
        "32b": ((5120, 27648, 64, 40, 8), False, 32_763_876_352, {}),
        "72b": ((8192, 29568, 80, 64, 8), False, 72_706_203_648, {}),
    }
    for size, (shape, tied, params, own) in sizes.items():
        preset, short = (f"qwen2.5-{size}", {"max_position_embeddings": 32768, "sliding_window": 32768})
        instruct = _qwen2(*shape, tied=tied, **own)
        yield Published(f"Qwen/Qwen2.5-{size.upper()}-Instruct", instruct, params, preset)
        base = _qwen2_base(*shape, tied=tied, **(short if size in ("0.5b", "3b") else {}))
        yield Published(f"Qwen/Qwen2.5-{size.upper()}", base, params, preset)
    unsloth = _qwen2(*sizes["7b"][0], tied=False, pad_token_id=151665, **_UNSLOTH)
    yield Published("unsloth/Qwen2.5-7B-Instruct", unsloth, 7_615_616_512, "qwen2.5-7b")
    shape, five = sizes["32b"][0], {"rms_norm_eps": 1e-05}
    qwq = _qwen2(
        *shape, tied=False, max_position_embeddings=40960, max_window_layers=64, sliding_window=32768, **five
    )
    yield Published("Qwen/QwQ-32B", qwq, 32_763_876_352, "qwq-32b")
    one = _r1_qwen(*sizes["1.5b"][0], **_R1_MATH, vocab_size=151936)
    seven = _r1_qwen(*sizes["7b"][0], **_R1_MATH)
    name = "deepseek-ai/DeepSeek-R1-Distill-Qwen-"
    yield Published(name + "1.5B", one, 1_777_088_000, "r1-distill-qwen-1.5b")
    yield Published(name + "7B", seven, 7_615_616_512, "r1-distill-qwen-7b")
    yield Published(name + "14B", _r1_qwen(*sizes["14b"][0], **five), 14_770_033_664, "r1-distill-qwen-14b")
    yield Published(name + "32B", _r1_qwen(*shape, **five), 32_763_876_352, "r1-distill-qwen-32b")
    copy = one | {"pad_token_id": 151654, **_UNSLOTH}
    yield Published("unsloth/DeepSeek-R1-Distill-Qwen-1.5B", copy, 1_777_088_000, "r1-distill-qwen-1.5b")


def _of_llama() -> Iterator[Published]:
    eight, seventy = (4096, 14336, 32, 32), (8192, 28672, 80, 64)
    yield Published("meta-llama/Llama-3.1-8B-Instruct", _llama3(*eight), 8_030_261_248, "llama-3.1-8b")
    yield Published("meta-llama/Llama-3.1-70B-Instruct", _llama3(*seventy), 70_553_706_496, "llama-3.1-70b")
    later = _llama3(*seventy, head_dim=128)
    yield Published("meta-llama/Llama-3.3-70B-Instruct", later, 70_553_706_496, "llama-3.3-70b")
    yield Published(
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", _llama3(*eight, eos_token_id=128001), 8_030_261_248
    )
    yield Published(
        "deepseek-ai/DeepSeek-R1-Distill-Llama-70B", _llama3(*seventy, eos_token_id=128001), 70_553_706_496
    )
    one = _llama3(2048, 8192, 16, 32, tied=True, head_dim=64, **_SMALL_LLAMA)
    three = _llama3(3072, 8192, 28, 24, tied=True, head_dim=128, **_SMALL_LLAMA)
    yield Published("meta-llama/Llama-3.2-1B-Instruct", one, 1_235_814_400, "llama-3.2-1b")
    yield Published("meta-llama/Llama-3.2-3B-Instruct", three, 3_212_749_824, "llama-3.2-3b")
    copy = one | {"pad_token_id": 128004, "eos_token_id": 128009, **_UNSLOTH}
    yield Published("unsloth/Llama-3.2-1B-Instruct", copy, 1_235_814_400, "llama-3.2-1b")
    smol = "HuggingFaceTB/SmolLM2-"
    yield Published(smol + "135M-Instruct", _smollm2(576, 1536, 30, 9, 3), 134_515_008, "smollm2-135m")
    yield Published(smol + "360M-Instruct", _smollm2(960, 2560, 32, 15, 5), 361_821_120, "smollm2-360m")
    large = _smollm2(2048, 8192, 24, 32, 32, rope_theta=130000)
    yield Published(smol + "1.7B-Instruct", large, 1_711_376_384, "smollm2-1.7b")


PUBLISHED = tuple(_all())
SMOLLM3 = {
    "architectures": ["SmolLM3ForCausalLM"],
    "attention_bias": False,
    "eos_token_id": 128012,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "layer_types": ["full_attention"] * 36,
    "max_position_embeddings": 65536,
    "max_window_layers": 28,
    "mlp_bias": False,
    "model_type": "smollm3",
    "no_rope_layer_interval": 4,
    "no_rope_layers": [1, 1, 1, 0] * 9,
    "num_attention_heads": 16,
    "num_hidden_layers": 36,
    "num_key_value_heads": 4,
    "pretraining_tp": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 5000000.0,
    "sliding_window": None,
    "use_sliding_window": False,
    "vocab_size": 128256,
}
"""SmolLM3-3B's, which is refused: every fourth layer has no rotary positions."""
MINIMAX_M2_5 = {
    "architectures": ["MiniMaxM2ForCausalLM"],
    "model_type": "minimax_m2",
    "num_hidden_layers": 62,
    "hidden_size": 3072,
    "num_attention_heads": 48,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 1536,
    "vocab_size": 200064,
    "num_experts_per_tok": 8,
    "num_local_experts": 256,
    "max_position_embeddings": 196608,
    "rope_theta": 5000000,
    "rotary_dim": 64,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
    "use_qk_norm": True,
    "qk_norm_type": "per_layer",
    "use_routing_bias": True,
    "scoring_func": "sigmoid",
    "shared_intermediate_size": 0,
    "use_mtp": True,
    "num_mtp_modules": 3,
}
"""MiniMax-M2.5's, without its quantisation: refused, and the preset of its shape is for prices only."""
