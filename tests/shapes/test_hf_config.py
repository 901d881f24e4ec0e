"""``config.json`` of transformers 4 and 5 → ``ModelConfig``; what would change the mathematics is refused."""

import json
import os
import pathlib

import pytest

from kinetics_jax.shapes import Llama3Rope, ModelConfig, MoE, Yarn, presets
from kinetics_jax.shapes.hf_fields import ConfigError, ConfigWarning

ROOT = pathlib.Path(__file__).parents[2]
SHARED = pathlib.Path(os.environ.get("KINETICS_SHARED", ROOT.parent / "shared"))

V4 = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "head_dim": 32,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1e6,
    "rope_scaling": None,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": 36,
    "eos_token_id": 7,
    "bos_token_id": 3,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "initializer_range": 0.02,
    "use_cache": True,
}
MOE = {
    "model_type": "qwen3_moe",
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "router_aux_loss_coef": 0.001,
}


def _without(fields, *names):
    return {name: value for name, value in fields.items() if name not in names}


def test_both_spellings_give_one_config():
    old = ModelConfig.from_hf(V4)
    new = _without(V4, "rope_theta", "rope_scaling", "torch_dtype") | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "dtype": "bfloat16",
        "layer_types": ["full_attention"] * 2,
    }
    assert ModelConfig.from_hf(new) == old
    nested = {"full_attention": new["rope_parameters"], "sliding_attention": None}
    assert ModelConfig.from_hf(new | {"rope_parameters": nested}) == old
    assert (old.head_dim, old.rope_theta, old.tied_embeddings) == (32, 1e6, True)
    assert (old.qk_norm, old.qkv_bias, old.eos_token_ids) == (True, False, (7,))


def test_experts_under_either_name():
    expected = MoE(num_experts=8, experts_per_token=2, expert_dim=16, norm_topk_prob=True)
    assert ModelConfig.from_hf(V4 | MOE).moe == expected
    renamed = _without(V4 | MOE, "num_experts") | {"num_local_experts": 8}
    assert ModelConfig.from_hf(renamed).moe == expected
    assert not ModelConfig.from_hf(_without(V4 | MOE, "norm_topk_prob")).moe.norm_topk_prob
    with pytest.raises(ConfigError, match="differs from num_local_experts"):
        ModelConfig.from_hf(V4 | MOE | {"num_local_experts": 4})


def test_yarn():
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
    config = ModelConfig.from_hf(V4 | {"rope_scaling": scaling})
    assert config.yarn == Yarn(factor=4.0, original_context=256)
    assert config.max_context == 1024
    old = ModelConfig.from_hf(V4 | {"rope_scaling": {"type": "yarn", "factor": 4.0}})
    assert old.yarn.original_context == 512
    same = ModelConfig.from_hf(V4 | {"rope_scaling": scaling | {"mscale": 1.0, "mscale_all_dim": 1.0}})
    assert same.yarn.attention_factor == 1.0


# SmolLM2-135M's, as published, and the scaling of Llama 3.2.
SMOL = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "transformers.js_config": {"dtype": "q4"},
    "use_cache": True,
    "vocab_size": 49152,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
}


def test_llama():
    config = ModelConfig.from_hf(SMOL)
    assert (config.num_query_heads, config.num_kv_heads, config.head_dim) == (9, 3, 64)
    assert (config.qk_norm, config.qkv_bias, config.out_bias) == (False, False, False)
    assert (config.norm_eps, config.rope_theta, config.tied_embeddings) == (1e-5, 100_000.0, True)
    assert config.total_params == 134_515_008  # the published count
    stretched = ModelConfig.from_hf(SMOL | {"rope_scaling": LLAMA3, "max_position_embeddings": 131072})
    assert stretched.llama3_rope == Llama3Rope(
        factor=32.0, original_context=8192, low_turns=1.0, high_turns=4.0
    )
    assert (stretched.yarn, stretched.max_context) == (None, 131_072)
    v5 = _without(SMOL, "rope_scaling", "rope_theta") | {
        "rope_parameters": LLAMA3 | {"rope_theta": 100_000},
        "max_position_embeddings": 131072,
    }
    assert ModelConfig.from_hf(v5) == stretched
    biased = ModelConfig.from_hf(SMOL | {"attention_bias": True})
    assert (biased.qkv_bias, biased.out_bias) == (True, True)
    assert ModelConfig.from_hf(_without(SMOL, "num_key_value_heads")).num_kv_heads == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mlp_bias": True}, "mlp_bias=True is not supported"),
        ({"rope_interleaved": True}, "rope_interleaved=True is not supported"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type='dynamic' is not supp"),
        ({"rope_scaling": _without(LLAMA3, "factor")}, r"rope_scaling\.factor is missing"),
        ({"rope_scaling": LLAMA3 | {"alpha": 2}}, r"rope_scaling\.alpha=2 is not supported for"),
        ({"rope_scaling": {"factor": 8.0}}, "rope_scaling stretches positions but has no rope_type"),
        (
            {"rope_scaling": LLAMA3, "original_max_position_embeddings": 4096},
            "original_max_position_embeddings=4096 contradicts rope_scaling.original",
        ),
        ({"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0}}, "config: .*low_freq_factor=4.0 must be b"),
        ({"rope_scaling": LLAMA3 | {"high_freq_factor": -1}}, "high_freq_factor=-1 must be positive"),
        ({"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 10**400}}, "must be an integer"),
    ],
)
def test_a_llama_that_is_not_computed_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_hf(SMOL | change)


def test_what_a_silent_file_means():
    """transformers' own defaults, which differ between its classes."""
    assert ModelConfig.from_hf(_without(V4, "head_dim")).head_dim == 128
    assert ModelConfig.from_hf(V4 | {"head_dim": None}).head_dim == 16
    assert ModelConfig.from_hf(_without(V4, "head_dim") | MOE).head_dim == 16
    assert ModelConfig.from_hf(V4 | {"num_key_value_heads": None}).num_kv_heads == 4
    assert ModelConfig.from_hf(_without(V4, "rope_theta")).rope_theta == 10_000.0
    qwen2 = ModelConfig.from_hf(_without(V4, "attention_bias", "head_dim") | {"model_type": "qwen2"})
    assert (qwen2.qkv_bias, qwen2.out_bias, qwen2.qk_norm, qwen2.head_dim) == (True, False, False, 16)
    biased = ModelConfig.from_hf(V4 | {"attention_bias": True})
    assert (biased.qkv_bias, biased.out_bias) == (True, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gemma3"}, "model_type='gemma3' is not supported"),
        ({"model_type": None}, "model_type=None"),
        ({"attn_logit_softcapping": 30.0}, "attn_logit_softcapping=30.0 is not supported; only False is"),
        ({"use_mrope": True}, "use_mrope=True is not supported"),
        ({"embedding_multiplier": 12}, "embedding_multiplier=12 is not supported; only 1 is"),
        ({"logits_scaling": 8.0}, "logits_scaling=8.0"),
        ({"qk_norm": False}, "qk_norm=False is not supported; only True is"),
        ({"use_qkv_bias": True}, "use_qkv_bias=True"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
        ({"is_causal": False}, "is_causal=False"),
        ({"no_rope_layers": [1, 0]}, "every layer must have rotary positions"),
        ({"per_layer_config": {"0": {"head_dim": 64}}}, "per_layer_config"),
        ({"shared_expert_intermediate_size": 32}, "shared_expert_intermediate_size=32"),
        ({"dual_chunk_attention_config": {"chunk_size": 64, "local_size": 64}}, "below chunk_size"),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, "predicts no next token"),
        ({"architectures": ["Qwen2ForRewardModel"]}, "predicts no next token"),
        ({"model_type": "smollm3"}, "'smollm3' is not supported .some of its layers use no rotary"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu' is not supported"),
        (
            {"use_sliding_window": True, "sliding_window": 128, "max_window_layers": 1},
            "sliding_window=128 with a context of 512",
        ),
        (MOE | {"use_sliding_window": True, "sliding_window": 128}, "sliding_window=128"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention"]}, "num_hidden_layers entries"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_type='linear'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "truncate": False}}, "truncate"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "mrope_section": [1]}}, "mrope_section"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary"),
        ({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "yarn"}}, "contradicts"),
        ({"rope_parameters": 3}, "must be an object"),
        ({"rope_theta": float("inf")}, "rope_theta=inf"),
        ({"rope_theta": 0.5}, "above 1"),
        ({"hidden_size": "64"}, "hidden_size='64' must be an integer"),
        ({"hidden_size": 2**40}, "hidden_size"),
        ({"num_hidden_layers": True}, "num_hidden_layers=True"),
        ({"num_attention_heads": 0}, "num_attention_heads=0"),
        ({"num_attention_heads": 3}, "not a multiple of"),
        ({"head_dim": 31}, "even"),
        ({"tie_word_embeddings": "yes"}, "true or false"),
        ({"eos_token_id": ["a"]}, "token ids"),
        ({"vocab_size": None}, "vocab_size is missing"),
        (MOE | {"decoder_sparse_step": 0}, "decoder_sparse_step=0"),
        (MOE | {"mlp_only_layers": [0.0]}, "must list numbers of layers"),
        (MOE | {"mlp_only_layers": 1}, "must list numbers of layers"),
        (MOE | {"num_experts_per_tok": 9}, "experts_per_token=9"),
        (MOE | {"num_experts": None}, "num_experts"),
    ],
)
def test_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_hf(V4 | change)


@pytest.mark.parametrize(
    "more",
    [
        {"use_mrope": False},
        {"pretraining_tp": 4},
        {"mlp_bias": False, "rope_interleaved": False},
        {"tokenizer_class": "Qwen2Tokenizer", "unsloth_version": "2025.5.1", "unsloth_fixed": True},
        {"temperature": 0.6, "top_p": 0.95, "do_sample": True, "max_length": 20},
        {"qk_norm": True},
        {"logits_scaling": 1.0, "residual_multiplier": 1},
        {"shared_expert_intermediate_size": 0},
        {"attn_logit_softcapping": None, "clip_qkv": None},
        {"no_rope_layers": [1, 1]},
        {"use_sliding_window": True, "sliding_window": 512},
        {"hidden_act": "swish"},
        {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 2},
        {"architectures": ["Qwen3Model"]},
        {"quantization_config": None},
        {"quantization_config": {}},
        {"layer_types": ["attention", "full_attention"]},
        {"is_causal": True, "is_decoder": True},
        {"rope_scaling": {"type": "default"}},
        {"original_max_position_embeddings": 512},
    ],
)
def test_what_changes_nothing_passes_in_silence(more, recwarn):
    assert ModelConfig.from_hf(V4 | more) == ModelConfig.from_hf(V4)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"use_labels": False, "lora_rank": 8}, ["use_labels=False", "lora_rank=8"]),
        ({"ffn_hidden": 3, "my notes": {"a": 1}}, ["ffn_hidden=3", "my notes={'a': 1}"]),
        ({"rope_scaling": {"rope_type": "default", "factor": 4.0}}, ["rope_scaling.factor=4.0"]),
        ({"rope_scaling": {"rope_type": "default", "type": "mrope"}}, ["rope_scaling.type='mrope'"]),
        (
            {"auto_map": {"AutoModel": "modeling.Own"}, "architectures": ["OwnForCausalLM"]},
            ["architectures=['OwnForCausalLM']", "auto_map="],
        ),
        ({"rope_parameters": {"rope_theta": 1e6}, "rope_theta": 1e4}, ["rope_theta=10000.0"]),
        ({f"field_{n}": n for n in range(40)}, ["field_11=11 and 28 more"]),
    ],
)
def test_what_is_not_known_passes_with_one_warning(more, named):
    with pytest.warns(ConfigWarning) as caught:
        assert ModelConfig.from_hf(V4 | more) == ModelConfig.from_hf(V4)
    (warning,) = caught
    assert all(name in str(warning.message) for name in named)
    assert "\n" not in str(warning.message)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("Qwen3-8B-FP8", {"quant_method": "fp8", "weight_block_size": [128, 128]}, r"'fp8'.*\(Qwen3-8B\)$"),
        ("Qwen2.5-7B-Instruct-AWQ", {"quant_method": "awq", "bits": 4}, r"'awq'.*\(Qwen2\.5-7B-Instruct\)$"),
        ("Qwen3-4B-GPTQ-Int4", {"quant_method": "gptq"}, r"'gptq'.*\(Qwen3-4B\)$"),
        ("Qwen3-1.7B-unsloth-bnb-4bit", {"quant_method": "bitsandbytes"}, r"\(Qwen3-1\.7B\)$"),
        ("Llama-3.2-1B-quantized.w4a16", {"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ("model", {"bits": 4}, "no method named.*it was made from$"),
    ],
)
def test_a_quantised_checkpoint_says_which_file_to_take(name, config, message, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(V4 | {"quantization_config": config}))
    with pytest.raises(ConfigError, match=message) as caught:
        ModelConfig.from_hf(folder)
    assert "not supported" in str(caught.value)


def test_dense_layers_among_layers_of_experts():
    def moe(**fields):
        found = ModelConfig.from_hf(V4 | MOE | {"num_hidden_layers": 6} | fields)
        return [found.has_experts(n) for n in range(6)], found

    def sparse(every=1, dense=()):
        return [(n + 1) % every == 0 and n not in dense for n in range(6)]

    for every, dense in ((1, []), (2, []), (3, []), (1, [0]), (2, [3, 2, 1]), (1, [5, 0, 99, -1])):
        found, config = moe(decoder_sparse_step=every, mlp_only_layers=dense)
        assert found == sparse(every, dense)
        assert config.num_moe_layers == sum(found)
        assert config.layers_differ is (0 < sum(found) < 6)
    assert moe(mlp_only_layers=[7])[1] == moe()[1]
    assert moe(decoder_sparse_step=7)[1].moe is None  # no layer is left to the experts
    assert moe(mlp_only_layers=list(range(6)))[1].moe is None


def test_a_cut_context_where_attention_is_cut():
    """Qwen2.5-1M attends in chunks beyond the first; plain attention is the same up to there."""
    chunks = {"chunk_size": 256, "local_size": 32, "original_max_position_embeddings": 256}
    assert ModelConfig.from_hf(V4 | {"dual_chunk_attention_config": chunks}).max_context == 224


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"eos_token_id": [7, 9],}',
        '{"eos_token_id": "x"}',
        "version https://git-lfs.github.com/spec/v1",
        "<html>",
    ],
)
def test_a_broken_generation_config_is_a_warning(text, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(V4))
    (tmp_path / "generation_config.json").write_text(text)
    with pytest.warns(ConfigWarning, match=r"generation_config\.json.*stop tokens are those") as caught:
        assert ModelConfig.from_hf(tmp_path).eos_token_ids == (7,)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("given", "also", "found"),
    [(7, 9, (7, 9)), ([7, 8], [8, 9], (7, 8, 9)), (None, [9], (9,)), (-1, None, ()), ([], 7, (7,))],
)
def test_forms_of_stop_tokens(given, also, found, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(V4 | {"eos_token_id": given}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": also}))
    assert ModelConfig.from_hf(tmp_path).eos_token_ids == found


def test_what_stands_in_place_of_the_file_is_named(tmp_path):
    file = tmp_path / "config.json"
    for begins, problem in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"Entry not found", "message of a server"),
        (b"", "is empty"),
        (bytes(4096), "did not finish"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"<?xml version='1.0'?><Error>", "answer of a server"),
    ):
        file.write_bytes(begins)
        with pytest.raises(ConfigError, match=rf"config\.json: .*{problem}"):
            ModelConfig.from_hf(tmp_path)
    file.unlink()
    file.symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(ConfigError, match="is a link to a file that is not there"):
        ModelConfig.from_hf(tmp_path)


def test_a_snapshot_of_the_hub_is_called_by_its_repository(tmp_path):
    snapshot = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / "c1899de"
    snapshot.mkdir(parents=True)
    blob = tmp_path / "models--Qwen--Qwen3-0.6B" / "blobs" / "ab12"
    blob.parent.mkdir()
    blob.write_text(json.dumps(V4))
    (snapshot / "config.json").symlink_to(blob)
    assert ModelConfig.from_hf(snapshot).name == "Qwen3-0.6B"


def test_files(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(V4))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    for path in (tmp_path, tmp_path / "config.json", str(tmp_path)):
        config = ModelConfig.from_hf(path)
        assert (config.name, config.eos_token_ids) == (tmp_path.name, (7, 9))
    for text in ("", "{", "[]", '{"vocab_size": NaN}', "[" * 100_000, '{"a": "\ud800"}'):
        (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(ConfigError, match=r"config\.json"):
            ModelConfig.from_hf(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        ModelConfig.from_hf(tmp_path / "none")


def test_published_configs_give_the_presets():
    file = SHARED / "data" / "qwen_configs.json"
    if not file.is_file():
        pytest.skip("needs the shared data folder (KINETICS_SHARED)")
    described = json.loads(file.read_text())["models"]
    notes = {
        "family",
        "qkv_bias",
        "qk_norm",
        "generation_eos_token_ids",
        "hf_bos_in_tokenizer",
        "sources",
        "published_params",
        "computed_params",
    }
    checked = 0
    for name, fields in described.items():
        if name not in presets or name.endswith("-2507"):
            continue
        found, preset = ModelConfig.from_hf(_without(fields, *notes)), presets[name]
        assert found.total_params == preset.total_params, name
        for field in (
            "model_dim",
            "head_dim",
            "num_layers",
            "moe",
            "tied_embeddings",
            "qkv_bias",
            "qk_norm",
            "rope_theta",
            "norm_eps",
            "vocab_size",
        ):
            assert getattr(found, field) == getattr(preset, field), (name, field)
        checked += 1
    assert checked >= 12
