"""The one description of the weights: counts, sizes, and what is really made from it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets


@pytest.mark.parametrize("preset", [name for name, model in presets.items() if not model.priced_only])
def test_full_size_models_have_the_published_parameter_counts(preset):
    config = presets[preset]
    model = models.Qwen3.abstract(config)
    assert sum(math.prod(a.shape) for a in model.arrays().values()) == config.total_params
    assert models.count_params(models.describe(config)) == config.total_params
    tokens = jax.ShapeDtypeStruct((2, 5), jnp.int32)
    logits = jax.eval_shape(lambda m, t: m(t), model, tokens)
    assert (logits.shape, logits.dtype) == ((2, 5, config.vocab_size), jnp.float32)


@pytest.mark.parametrize("preset", ["tiny-dense", "tiny-tied", "tiny-qwen2", "tiny-moe", "tiny-mixed"])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_model_holds_what_is_described(preset, unroll):
    config = presets[preset]
    table = models.describe(config, dtype="float16", unroll=unroll)
    arrays = models.Qwen3.init(config, jax.random.key(0), dtype="float16", unroll=unroll).arrays()
    assert {p: (a.shape, a.dtype) for p, a in arrays.items()} == {
        p: (w.shape, w.dtype) for p, w in table.items()
    }
    assert sum(w.bytes for w in table.values()) == sum(a.nbytes for a in arrays.values())


def test_quantised_description_adds_scales_and_no_parameters():
    config = presets["tiny-moe"]
    plain, int8 = models.describe(config), models.describe(config, quantize="int8")
    assert models.count_params(plain) == models.count_params(int8)
    assert int8["layers.ffn.gate.scale"].shape == (2, 8, 32)
    assert int8["layers.attention.out.scale"].axes == ("layers", "model_dim")
    assert int8["layers.ffn.router.weight"].dtype == plain["layers.ffn.router.weight"].dtype
    assert "layers.ffn_norm.scale" not in int8
    with pytest.raises(InputError, match="int4"):
        models.describe(config, quantize="int4")


@pytest.mark.parametrize("make", [models.describe, lambda c: models.Transformer.init(c, jax.random.key(0))])
def test_a_shape_for_prices_only_has_no_weights(make):
    with pytest.raises(
        InputError, match=r"minimax-m2\.5 can be priced but not run: half of each head"
    ) as caught:
        make(presets["minimax-m2.5"])
    assert "\n" not in str(caught.value)


def test_random_weights_do_not_depend_on_their_neighbours():
    arrays = [models.Qwen3.init(presets[p], jax.random.key(7)).arrays() for p in ("tiny-dense", "tiny-qwen2")]
    path = "layers.attention.query.weight"
    np.testing.assert_array_equal(arrays[0][path], arrays[1][path])
    assert 0.019 < float(jnp.std(arrays[0][path].astype(jnp.float32))) < 0.021


def test_a_missing_array_is_named():
    config = presets["tiny-dense"]
    arrays = models.Qwen3.abstract(config).arrays()
    del arrays["layers.ffn.up.weight"]
    with pytest.raises(InputError, match=r"layers\.ffn\.up\.weight"):
        models.Qwen3(config, arrays)
