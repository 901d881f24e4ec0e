"""Every preset against the collected config.json values and the published parameter counts."""

import json

import pytest

from kinetics_jax.costs import price
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import Dense
from kinetics_jax.shapes import ModelConfig, MoE, presets

FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_size": "model_dim",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_query_heads",
    "num_key_value_heads": "num_kv_heads",
    "head_dim": "head_dim",
    "tie_word_embeddings": "tied_embeddings",
    "qk_norm": "qk_norm",
    "qkv_bias": "qkv_bias",
    "rope_theta": "rope_theta",
    "rms_norm_eps": "norm_eps",
    "max_position_embeddings": "max_context",
    "intermediate_size": "ffn_dim",
}
COUNTS = {
    "total_unique": "total_params",
    "activated_total_incl_embed_and_head": "active_params",
    "attention_per_layer": "attention_params_per_layer",
    "gqa_group": "queries_per_kv",
    "mlp_per_layer_total": "ffn_params_per_layer",
}


@pytest.fixture(scope="module")
def published(shared):
    return json.loads((shared / "data" / "qwen_configs.json").read_text())["models"]


def test_every_published_model_has_a_preset_with_its_shape(published):
    assert len(published) == 19
    for name, config in published.items():
        model = presets[name]
        for theirs, ours in FIELDS.items():
            assert getattr(model, ours) == config[theirs], (name, theirs)
        for theirs, ours in COUNTS.items():
            assert getattr(model, ours) == config["computed_params"][theirs], (name, theirs)
        per_token = config["computed_params"]["kv_bytes_per_token_bf16"]
        assert model.kv_bytes_per_token() == per_token == 2 * model.kv_elements_per_token
        if "num_experts" in config:
            assert model.moe == MoE(
                num_experts=config["num_experts"],
                experts_per_token=config["num_experts_per_tok"],
                expert_dim=config["moe_intermediate_size"],
                norm_topk_prob=config["norm_topk_prob"],
            )


@pytest.mark.parametrize(
    ("name", "gib"), [("1.7b", 3.5), ("0.6b", 3.5), ("4b", 4.5), ("8b", 4.5), ("14b", 5.0), ("32b", 8.0)]
)
def test_kv_cache_of_32k_tokens(name, gib):
    """Paper Table 2, with the 14B's true 5.0 GiB, not 6 (docs/paper_facts.md, "Discrepancies")."""
    assert presets[f"qwen3-{name}"].kv_bytes_per_token() * 32_768 / 2**30 == gib


def test_matmul_params():
    """docs/paper_facts.md, "Discrepancies": layers and output projection, in billions."""
    table = {"0.6b": 0.596, "1.7b": 1.721, "4b": 4.022, "8b": 7.568, "14b": 13.990, "32b": 31.984}
    for size, billions in table.items():
        assert presets[f"qwen3-{size}"].matmul_params / 1e9 == pytest.approx(billions, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("Qwen/Qwen3-8B", "qwen3-8b"),
        ("qwen3_30b_a3b", "qwen3-30b-a3b"),
        ("DeepSeek-R1-Distill-Qwen-7B", "r1-distill-qwen-7b"),
        ("s1.1-14B", "qwen2.5-14b"),
        ("Sky-T1-math-correct-5K-32B-short-ckpts", "qwen2.5-32b"),
        ("Qwen2.5-Math-1.5B-Instruct", "qwen2.5-1.5b"),
        ("DeepScaleR-1.5B-Preview", "r1-distill-qwen-1.5b"),
        ("QwQ-32B", "qwq-32b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("Llama-3.3-70B-Instruct", "llama-3.1-70b"),
        ("llama-3.3-70b", "llama-3.1-70b"),
        ("meta-llama/Llama-3.2-1B", "llama-3.2-1b"),
        ("MiniMaxAI/MiniMax-M2.5", "minimax-m2.5"),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "qwen3-coder-480b-a35b"),
    ],
)
def test_names_are_forgiving(name, base):
    assert name in presets
    assert presets[name].name == base


@pytest.mark.parametrize("name", ["Llama-3.3-8B-Instruct", "", "qwen3", "s1.1-5b", "MiniMax-M2"])
def test_an_unknown_model_is_said_to_be(name):
    assert name not in presets
    with pytest.raises(UnknownNameError, match="unknown model"):
        _ = presets[name]


def test_shapes_that_cannot_be_are_refused():
    shape = dict(name="x", vocab_size=10, model_dim=8, ffn_dim=8, num_layers=1, head_dim=4)
    with pytest.raises(InputError, match="not a multiple"):
        ModelConfig(**shape, num_query_heads=3, num_kv_heads=2)
    with pytest.raises(InputError, match="num_layers=0"):
        ModelConfig(**{**shape, "num_layers": 0}, num_query_heads=2, num_kv_heads=2)
    with pytest.raises(InputError, match="experts_per_token"):
        MoE(num_experts=4, experts_per_token=5, expert_dim=8)


@pytest.mark.parametrize(
    ("name", "published"), [("135M", 134_515_008), ("360M", 361_821_120), ("1.7B", 1_711_376_384)]
)
def test_smollm2_has_its_published_number_of_parameters(name, published):
    assert presets[f"HuggingFaceTB/SmolLM2-{name}-Instruct"].total_params == published


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("llama-3.2-1b", 1_235_814_400, 1_235_814_400),
        ("llama-3.2-3b", 3_212_749_824, 3_212_749_824),
        ("llama-3.1-8b", 8_030_261_248, 8_030_261_248),
        ("llama-3.3-70b", 70_553_706_496, 70_553_706_496),
        ("qwen3-coder-480b-a35b", 480_154_875_392, 35_474_765_312),  # "480B in total and 35B activated"
    ],
)
def test_parameters_of_other_published_models(name, total, active):
    assert (presets[name].total_params, presets[name].active_params) == (total, active)


@pytest.mark.parametrize(
    ("name", "kib"), [("llama-3.1-8b", 128), ("llama-3.3-70b", 320), ("minimax-m2.5", 248)]
)
def test_kv_of_a_token_of_other_published_models(name, kib):
    """2 (K and V) · L · K · H · 2 bytes."""
    assert presets[name].kv_bytes_per_token() == kib * 2**10


def test_a_shape_for_prices_has_prices_and_its_reason_in_a_record():
    model = presets["minimax-m2.5"]
    found = ModelConfig.from_dict(model.to_dict(), "mine")
    assert (found.difference(model), found.priced_only) == ("", model.priced_only)
    assert price(model, Dense(), 300, 1000, chip="h200").seconds > 0
    assert "priced_only" not in presets["qwen3-8b"].to_dict()  # stored shapes are what they were
