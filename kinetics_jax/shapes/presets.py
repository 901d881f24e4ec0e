"""Every model the paper uses, their relatives, and others that prices are checked against, by name.

Shapes are from the public config.json files. ``presets["qwen3-8b"]``, ``presets["Qwen/Qwen3-8B"]`` and
``presets["DeepSeek-R1-Distill-Qwen-7B"]`` all work: names are looked up without the organisation, in lower
case. A known fine-tune (``s1.1-14B``) or later training of a shape (``Llama-3.3-70B-Instruct``) gives the
shape of the model it was made from.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kinetics_jax.errors import UnknownNameError
from kinetics_jax.shapes.model_config import ModelConfig, MoE
from kinetics_jax.shapes.parts import Llama3Rope


def _qwen3(size: str, D: int, F: int, L: int, N: int, K: int, **more: Any) -> ModelConfig:
    """A Qwen3 model: H=128, QK-norm, no biases."""
    return ModelConfig(
        name=f"qwen3-{size}",
        vocab_size=151_936,
        model_dim=D,
        ffn_dim=F,
        num_layers=L,
        num_query_heads=N,
        num_kv_heads=K,
        head_dim=128,
        **more,
    )


def _qwen2(
    name: str, D: int, F: int, L: int, N: int, K: int, *, V: int = 152_064, **more: Any
) -> ModelConfig:
    """A Qwen2.5-shaped model: biases on q, k, v and no QK-norm."""
    defaults = {"max_context": 32_768, "pad_token_id": None, **more}
    return ModelConfig(
        name=name,
        vocab_size=V,
        model_dim=D,
        ffn_dim=F,
        num_layers=L,
        num_query_heads=N,
        num_kv_heads=K,
        head_dim=D // N,
        qk_norm=False,
        qkv_bias=True,
        **defaults,
    )


def _r1(size: str, *shape: int, **more: Any) -> ModelConfig:
    """A DeepSeek-R1 distillation into a Qwen2.5 shape."""
    more = {"max_context": 131_072, "eos_token_ids": (151_643,), **more}
    return _qwen2(f"r1-distill-qwen-{size}", *shape, **more)


def _smollm2(size: str, D: int, F: int, L: int, N: int, K: int, **more: Any) -> ModelConfig:
    """A SmolLM2 model, of Llama's architecture: no QK-norm, no biases, tied, H = 64."""
    return ModelConfig(
        name=f"smollm2-{size}",
        vocab_size=49_152,
        model_dim=D,
        ffn_dim=F,
        num_layers=L,
        num_query_heads=N,
        num_kv_heads=K,
        head_dim=64,
        tied_embeddings=True,
        qk_norm=False,
        norm_eps=1e-5,
        max_context=8192,
        eos_token_ids=(2,),
        pad_token_id=2,
        **more,
    )


def _llama3(name: str, D: int, F: int, L: int, N: int, *, factor: float = 8.0, **more: Any) -> ModelConfig:
    """A Llama 3.1 or 3.2 model: no QK-norm, no biases, K = 8, a context of 8,192 stretched by ``factor``."""
    return ModelConfig(
        name=f"llama-{name}",
        vocab_size=128_256,
        model_dim=D,
        ffn_dim=F,
        num_layers=L,
        num_query_heads=N,
        num_kv_heads=8,
        head_dim=D // N,
        qk_norm=False,
        rope_theta=500_000.0,
        llama3_rope=Llama3Rope(factor=factor, original_context=8192, low_turns=1.0, high_turns=4.0),
        norm_eps=1e-5,
        max_context=131_072,
        eos_token_ids=(128_001, 128_008, 128_009),
        pad_token_id=None,
        **more,
    )


_QWEN3_CODER_480B = _qwen3(
    "coder-480b-a35b",
    *(6144, 8192, 62, 96, 8),
    moe=MoE(num_experts=160, experts_per_token=8, expert_dim=2560),
    rope_theta=10_000_000.0,
    max_context=262_144,
    eos_token_ids=(151_645,),
    pad_token_id=None,
)

# Counted as Qwen3's: 2·H for the q/k norms where it has (N + K)·H, no router biases and no layers of
# multi-token prediction. The first two are 444,416 of its 228,689,764,864 parameters.
_MINIMAX_M2_5 = ModelConfig(
    name="minimax-m2.5",
    vocab_size=200_064,
    model_dim=3072,
    ffn_dim=1536,
    num_layers=62,
    num_query_heads=48,
    num_kv_heads=8,
    head_dim=128,
    rope_theta=5_000_000.0,
    max_context=196_608,
    moe=MoE(num_experts=256, experts_per_token=8, expert_dim=1536),
    eos_token_ids=(),
    pad_token_id=None,
    priced_only="half of each head has rotary positions, its q/k norm spans all heads, and its router is a "
    "sigmoid with a bias",
)


def _tiny(name: str, **more: Any) -> ModelConfig:
    """A model small enough to test with on a laptop, speaking the built-in byte tokenizer's ids."""
    shape: dict[str, Any] = {
        "vocab_size": 272,
        "model_dim": 64,
        "ffn_dim": 128,
        "num_layers": 2,
        "num_query_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 32,
    }
    tokens = {"eos_token_ids": (258,), "pad_token_id": 256, "max_context": 4096}
    return ModelConfig(name=f"tiny-{name}", **{**shape, **tokens, **more})


def _registers(size: str, D: int, F: int, N: int, K: int) -> ModelConfig:
    """A model of the built-in suite, which speaks the symbols of ``kinetics_jax.tasks.registers``."""
    return ModelConfig(
        name=f"registers-{size}",
        vocab_size=259,
        model_dim=D,
        ffn_dim=F,
        num_layers=2,
        num_query_heads=N,
        num_kv_heads=K,
        head_dim=64,
        tied_embeddings=True,
        rope_theta=1_000_000.0,
        max_context=4096,
        eos_token_ids=(1,),
        pad_token_id=1,
    )


_SMALL_VOCAB = 151_936  # Qwen2.5 up to 3B; the larger ones pad the table to 152,064 rows.

_ALL = (
    # nominal_params are the paper's cost scripts' own figures, in which 0.6B and 1.7B count the tied
    # embedding twice.
    _qwen3("0.6b", 1024, 3072, 28, 16, 8, tied_embeddings=True, nominal_params=0.752e9),
    _qwen3("1.7b", 2048, 6144, 28, 16, 8, tied_embeddings=True, nominal_params=2.03e9),
    _qwen3("4b", 2560, 9728, 36, 32, 8, tied_embeddings=True, nominal_params=4.02e9),
    _qwen3("8b", 4096, 12_288, 36, 32, 8, nominal_params=8.19e9),
    _qwen3("14b", 5120, 17_408, 40, 40, 8, nominal_params=14.77e9),
    _qwen3("32b", 5120, 25_600, 64, 64, 8, nominal_params=32.76e9),
    _qwen3("30b-a3b", 2048, 6144, 48, 32, 4, moe=MoE(num_experts=128, experts_per_token=8, expert_dim=768)),
    _qwen3(
        "235b-a22b", 4096, 12_288, 94, 64, 4, moe=MoE(num_experts=128, experts_per_token=8, expert_dim=1536)
    ),
    _qwen2("qwen2.5-0.5b", 896, 4864, 24, 14, 2, V=_SMALL_VOCAB, tied_embeddings=True),
    _qwen2("qwen2.5-1.5b", 1536, 8960, 28, 12, 2, V=_SMALL_VOCAB, tied_embeddings=True),
    _qwen2("qwen2.5-3b", 2048, 11_008, 36, 16, 2, V=_SMALL_VOCAB, tied_embeddings=True),
    _qwen2("qwen2.5-7b", 3584, 18_944, 28, 28, 4),
    _qwen2("qwen2.5-14b", 5120, 13_824, 48, 40, 8),
    _qwen2("qwen2.5-32b", 5120, 27_648, 64, 40, 8),
    _qwen2("qwen2.5-72b", 8192, 29_568, 80, 64, 8),
    _qwen2("qwq-32b", 5120, 27_648, 64, 40, 8, norm_eps=1e-5, max_context=40_960),
    _r1("1.5b", 1536, 8960, 28, 12, 2, V=_SMALL_VOCAB, rope_theta=10_000.0),
    _r1("7b", 3584, 18_944, 28, 28, 4, rope_theta=10_000.0),
    _r1("14b", 5120, 13_824, 48, 40, 8, norm_eps=1e-5),
    _r1("32b", 5120, 27_648, 64, 40, 8, norm_eps=1e-5),
    _smollm2("135m", 576, 1536, 30, 9, 3, rope_theta=100_000.0),
    _smollm2("360m", 960, 2560, 32, 15, 5, rope_theta=100_000.0),
    _smollm2("1.7b", 2048, 8192, 24, 32, 32, rope_theta=130_000.0),
    _QWEN3_CODER_480B,
    _llama3("3.2-1b", 2048, 8192, 16, 32, factor=32.0, tied_embeddings=True),
    _llama3("3.2-3b", 3072, 8192, 28, 24, factor=32.0, tied_embeddings=True),
    _llama3("3.1-8b", 4096, 14_336, 32, 32),
    _llama3("3.1-70b", 8192, 28_672, 80, 64),
    _MINIMAX_M2_5,
    _registers("xs", 48, 96, 2, 1),
    _registers("s", 64, 128, 2, 1),
    _registers("m", 96, 256, 4, 2),
    _tiny("dense"),
    _tiny("tied", tied_embeddings=True),
    _tiny("qwen2", qk_norm=False, qkv_bias=True),
    _tiny("moe", moe=MoE(num_experts=8, experts_per_token=2, expert_dim=32)),
    _tiny("mixed", moe=MoE(num_experts=8, experts_per_token=2, expert_dim=32, every=2)),
)


# Fine-tunes keep their base model's shape, and so its cost. {0} is the size the pattern caught.
_FINE_TUNES = (
    (r"s1(?:\.1)?-(3b|7b|14b|32b)", "qwen2.5-{0}"),
    (r"sky-t1-.*?(14b|32b).*", "qwen2.5-{0}"),
    (r"limo-(32b)", "qwen2.5-{0}"),
    (r"qwen2\.5-math-(1\.5b|7b)", "qwen2.5-{0}"),
    (r"openmath-nemotron-(1\.5b|7b|14b|32b)", "qwen2.5-{0}"),
    (r"deepscaler-(1\.5b)", "r1-distill-qwen-{0}"),
    (r"llama-3\.3-(70b)", "llama-3.1-{0}"),
    (r"meta-llama-3\.1-(8b|70b)", "llama-3.1-{0}"),  # the same weights' first name
)


class _Presets(Mapping[str, ModelConfig]):
    """A read-only mapping from a forgiving name to a ``ModelConfig``."""

    def __init__(self, configs: tuple[ModelConfig, ...]) -> None:
        self._configs = {config.name: config for config in configs}

    @staticmethod
    def _key(name: str) -> str:
        key = name.lower().rsplit("/", 1)[-1].replace("_", "-")
        key = key.removeprefix("deepseek-").removesuffix("-instruct").removesuffix("-preview")
        for pattern, base in _FINE_TUNES:
            if match := re.fullmatch(pattern, key):
                return base.format(*match.groups())
        return key

    def __getitem__(self, name: str) -> ModelConfig:
        try:
            return self._configs[self._key(name)]
        except (KeyError, AttributeError):
            raise UnknownNameError("model", name, self._configs) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._key(name) in self._configs

    def __iter__(self) -> Iterator[str]:
        return iter(self._configs)

    def __len__(self) -> int:
        return len(self._configs)


presets: Mapping[str, ModelConfig] = _Presets(_ALL)
"""Model shapes by name."""
