"""Orbax checkpoints: restored onto 1, 2, 4 and 8 (fake) devices, whatever they were saved from."""

import dataclasses

import jax
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import Llama3Rope, MoE, Yarn, presets
from kinetics_jax.shapes.hf_fields import ConfigError
from tests.models.fake_meshes import TOKENS, fake_mesh, tiny_model


@pytest.mark.parametrize("quantize", [None, pytest.param("int8", marks=pytest.mark.slow)])
def test_restored_onto_1_2_4_and_8_devices(quantize, tmp_path):
    """The arrays are those saved; gathered, so are the logits; divided, they are as near as sums allow."""
    models.save_hf(tiny_model("tiny-moe"), tmp_path / "hf")
    saved = models.load(tmp_path / "hf", mesh=fake_mesh((1, 2, 2)), quantize=quantize, dtype="float32")
    models.save_orbax(saved, tmp_path / "orbax")
    expected = np.asarray(saved.gathered()(TOKENS))
    for shape in (None, (1, 1, 2), (2, 1, 2), (1, 4, 2)):
        mesh = fake_mesh(shape) if shape else None
        model = models.restore_orbax(tmp_path / "orbax", mesh=mesh)
        assert model.config == saved.config
        for path, array in saved.arrays().items():
            assert np.array_equal(array, model.arrays()[path]), path
        assert np.array_equal(np.asarray(model.gathered()(TOKENS)), expected)
        np.testing.assert_allclose(np.asarray(model(TOKENS)), expected, atol=2e-6)


def test_logits_on_a_mesh_do_not_depend_on_where_the_weights_came_from(tmp_path):
    """From other meshes, from safetensors, or made there: the same weights and logits, bit for bit."""
    mesh = fake_mesh((2, 1, 2))
    models.save_hf(tiny_model("tiny-dense"), tmp_path / "hf")
    found = [tiny_model("tiny-dense", mesh), models.load(tmp_path / "hf", mesh=mesh, dtype="float32")]
    for number, shape in enumerate([None, (1, 1, 4), (8, 1, 1)]):
        folder = tmp_path / str(number)
        models.save_orbax(tiny_model("tiny-dense", fake_mesh(shape) if shape else None), folder)
        found.append(models.restore_orbax(folder, mesh=mesh))
    logits = [np.asarray(model(TOKENS)) for model in found]
    for model, each in zip(found, logits, strict=True):
        assert np.array_equal(each, logits[0])
        for path, array in found[0].arrays().items():
            assert np.array_equal(array, model.arrays()[path]), path


@pytest.mark.parametrize(
    "stretch",
    [
        {"yarn": Yarn(factor=2.0, original_context=64)},
        {"llama3_rope": Llama3Rope(factor=8.0, original_context=64, low_turns=1.0, high_turns=4.0)},
        {"moe": MoE(num_experts=4, experts_per_token=2, expert_dim=16, dense_layers=(1,))},
    ],
)
def test_orbax_keeps_the_whole_config(stretch, tmp_path):
    config = dataclasses.replace(presets["tiny-qwen2"], **stretch)
    models.save_orbax(models.Qwen3.init(config, jax.random.key(0)), tmp_path / "orbax")
    assert models.restore_orbax(tmp_path / "orbax").config == config


def test_orbax_refuses_to_overwrite_and_to_guess(tmp_path):
    model = tiny_model("tiny-dense")
    models.save_orbax(model, tmp_path / "a")
    with pytest.raises(InputError, match="already holds"):
        models.save_orbax(model, tmp_path / "a")
    with pytest.raises(ConfigError, match="cannot be read"):
        models.restore_orbax(tmp_path / "none")
    (tmp_path / "a" / "kinetics_model.json").write_text('{"config": {}}')
    with pytest.raises(models.CheckpointError, match="not a saved model"):
        models.restore_orbax(tmp_path / "a")
