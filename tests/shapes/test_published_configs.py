"""Every model that this project names loads from the ``config.json`` that its makers publish."""

import dataclasses
import json
import pathlib
import re
import warnings

import pytest

from kinetics_jax.shapes import ModelConfig, presets
from kinetics_jax.shapes.hf_fields import ConfigError, ConfigWarning
from tests.shapes.published_configs import PUBLISHED, SMOLLM3

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
    named = {name for name, model in presets.items() if not (built.match(name) or model.not_computed)}
    assert named == {each.preset for each in PUBLISHED if each.preset}


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


def test_smollm3_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"'smollm3' is not supported \(some of its layers use no rotary"):
        ModelConfig.from_hf(SMOLLM3)
    as_llama = SMOLLM3 | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    with pytest.raises(ConfigError, match="no_rope_layer"):
        ModelConfig.from_hf(as_llama)
