"""Every model that this project names loads from the ``config.json`` that its makers publish."""

import dataclasses
import json
import pathlib
import re
import warnings

import pytest

from kinetics_jax.shapes import ModelConfig, presets
from kinetics_jax.shapes.hf_fields import ConfigError, ConfigWarning
from tests.shapes.published_configs import MINIMAX_M2_5, PUBLISHED, SMOLLM3

ROOT = pathlib.Path(__file__).parents[2]
BY_NAME = {each.name: each for each in PUBLISHED}


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each.name)
def test_published_config(published, tmp_path):
    folder = tmp_path / published.name.rsplit("/", 1)[-1]
    folder.mkdir()
    text = json.dumps(published.fields)
    assert len(text) <= 1024
    (folder / "config.json").write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = ModelConfig.from_hf(folder)
    assert len(caught) == bool(published.passed), [str(warning.message) for warning in caught]
    assert all(field in str(caught[0].message) for field in published.passed)
    assert found.total_params == published.params
    assert found.name == folder.name
    if published.preset:
        _same_shape(found, presets[published.preset])


def _same_shape(found: ModelConfig, preset: ModelConfig) -> None:
    """But for what fine-tunes and copies change: stop tokens, padding and the longest context."""
    names = {field.name for field in dataclasses.fields(ModelConfig)}
    names -= {"name", "nominal_params", "eos_token_ids", "pad_token_id", "max_context"}
    for name in sorted(names):
        assert getattr(found, name) == getattr(preset, name), name


def test_every_preset_has_its_published_config():
    built = re.compile("registers-|tiny-")
    named = {name for name, model in presets.items() if not built.match(name) and not model.priced_only}
    assert named == {presets[each.preset].name for each in PUBLISHED if each.preset}
    assert [name for name, model in presets.items() if model.priced_only] == ["minimax-m2.5"]


def test_every_model_named_in_the_docs_has_its_published_config():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "configs").glob("*.py")]
    pattern = re.compile(
        r"\b(?:Qwen|deepseek-ai|meta-llama|HuggingFaceTB|unsloth)/[A-Z][\w.-]*[\w](?=[\s`\"',)]|$)"
    )
    named = {name for page in pages for name in pattern.findall(page.read_text("utf-8"))}
    assert named
    assert named <= BY_NAME.keys()


def test_stretched_ones_are_stretched():
    for name, factor, context in (
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", 8.0, 131_072),
        ("meta-llama/Llama-3.2-3B-Instruct", 32.0, 131_072),
    ):
        config = ModelConfig.from_hf(BY_NAME[name].fields)
        assert (config.llama3_rope.factor, config.max_context) == (factor, context)
    with pytest.warns(ConfigWarning, match="attn_factor"):
        config = ModelConfig.from_hf(BY_NAME["deepseek-ai/DeepSeek-R1-0528-Qwen3-8B"].fields)
    assert (config.yarn.factor, config.yarn.attention_factor) == (4.0, None)
    assert config.max_context == 131_072


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen3-8B", "Qwen/Qwen2.5-7B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"]
)
def test_as_transformers_5_saves_it(name):
    """One object for RoPE, ``dtype`` for ``torch_dtype``, kinds of layers written out."""
    old = dict(BY_NAME[name].fields)
    new = {k: v for k, v in old.items() if k not in ("rope_theta", "rope_scaling", "torch_dtype")}
    new["rope_parameters"] = {
        "rope_type": "default",
        **(old.get("rope_scaling") or {}),
        "rope_theta": old["rope_theta"],
    }
    new |= {"dtype": "bfloat16", "transformers_version": "5.0.0"}
    if old["model_type"] != "llama":
        new["layer_types"] = ["full_attention"] * old["num_hidden_layers"]
    assert ModelConfig.from_hf(new) == ModelConfig.from_hf(old)


def test_every_published_name_of_a_preset_finds_it():
    for each in PUBLISHED:
        if each.preset and not each.name.startswith("unsloth/"):
            assert presets[each.name] == presets[each.name.partition("/")[2]] == presets[each.preset]


def test_minimax_is_priced_and_refused_in_one_line():
    """Its file is no family's; the preset has its shape, and says what of it is not computed."""
    with pytest.raises(
        ConfigError, match=r"'minimax_m2' is not supported \(its rotary .*preset minimax-m2.5"
    ):
        ModelConfig.from_hf(MINIMAX_M2_5)
    preset, published = presets["MiniMaxAI/MiniMax-M2.5"], MINIMAX_M2_5
    fields = {
        "vocab_size": preset.vocab_size,
        "hidden_size": preset.model_dim,
        "num_hidden_layers": preset.num_layers,
        "num_attention_heads": preset.num_query_heads,
        "num_key_value_heads": preset.num_kv_heads,
        "head_dim": preset.head_dim,
        "intermediate_size": preset.moe.expert_dim,
        "num_local_experts": preset.moe.num_experts,
        "num_experts_per_tok": preset.moe.experts_per_token,
        "max_position_embeddings": preset.max_context,
        "rope_theta": preset.rope_theta,
        "rms_norm_eps": preset.norm_eps,
        "tie_word_embeddings": preset.tied_embeddings,
        "use_qk_norm": preset.qk_norm,
    }
    assert {name: published[name] for name in fields} == fields
    # Its q/k norms span the heads, its routers have biases: (N + K)·H − 2·H + E a layer, by its own code.
    N, K, H, E = 48, 8, 128, 256
    whole = preset.total_params + 62 * ((N + K) * H - 2 * H + E)
    assert whole == 228_689_764_864
    assert preset.total_params == pytest.approx(whole, rel=2e-6)
    assert preset.active_params == pytest.approx(11.03e9, rel=1e-3)  # "10B" without the two tables
    assert preset.active_params - 2 * preset.embedding_params == pytest.approx(9.8e9, rel=1e-2)


def test_smollm3_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"'smollm3' is not supported \(some of its layers use no rotary"):
        ModelConfig.from_hf(SMOLLM3)
    as_llama = SMOLLM3 | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    with pytest.raises(ConfigError, match="no_rope_layer"):
        ModelConfig.from_hf(as_llama)
