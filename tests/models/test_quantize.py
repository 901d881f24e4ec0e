"""Int8 weights: error at most half a scale, and logits near those of the unquantised model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.quantize import quantize_int8
from kinetics_jax.shapes import presets


def test_error_is_at_most_half_a_scale():
    weight = jax.random.normal(jax.random.key(0), (4, 33, 7)) * 3
    weight = weight.at[2, :, 3].set(0)
    values, scale = quantize_int8(weight, (1,))
    assert values.dtype == jnp.int8
    assert scale.shape == (4, 7)
    error = jnp.abs(values * scale[:, None] - weight)
    assert bool((error <= 0.5001 * scale[:, None]).all())
    assert float(scale[2, 3]) == 1
    assert int(jnp.abs(values).max()) == 127


@pytest.mark.parametrize(
    "preset",
    [
        "tiny-tied",
        "tiny-moe",
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("tiny-dense", "tiny-qwen2")),
    ],
)
def test_logits_stay_near(preset, tmp_path):
    model = models.Qwen3.init(presets[preset], jax.random.key(0), dtype="float32")
    models.save_hf(model, tmp_path)
    tokens = np.random.default_rng(0).integers(0, 272, (2, 40))
    expected = np.asarray(model(tokens))
    narrow = models.load(tmp_path, quantize="int8", dtype="float32")
    assert narrow.quantization == "int8"
    error = np.abs(np.asarray(narrow(tokens)) - expected)
    assert 0 < error.max() < 0.06 * np.abs(expected).max()
    stored = sum(a.nbytes for a in narrow.arrays().values())
    assert stored < 0.4 * sum(a.nbytes for a in model.arrays().values())
    with pytest.raises(InputError, match="int8"):
        models.save_hf(narrow, tmp_path)
    cache = models.make_cache(narrow, 2, 48)
    logits, _ = jax.jit(models.prefill)(narrow, cache, tokens, np.full(2, 40))
    np.testing.assert_allclose(logits, narrow(tokens)[:, -1], atol=1e-5)
