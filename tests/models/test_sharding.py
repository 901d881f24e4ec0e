"""One model on 1, 2, 4 and 8 (fake) devices: same weights, same logits; restored onto other meshes."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.models.sharding import Layout
from kinetics_jax.spec import InputError, Llama3Rope, Yarn, presets
from kinetics_jax.spec.hf_fields import ConfigError

AXES = ("data", "expert", "model")
MESHES = [(1, 1, 2), (1, 2, 2), (2, 2, 2), (1, 1, 4), (8, 1, 1), (1, 8, 1)]
TOKENS = np.random.default_rng(0).integers(0, 272, (4, 12))


def _mesh(shape):
    if len(jax.devices()) < np.prod(shape):
        pytest.skip("needs XLA_FLAGS=--xla_force_host_platform_device_count=8")
    return jax.make_mesh(shape, AXES, devices=jax.devices()[: int(np.prod(shape))])


def _model(preset, mesh=None):
    return models.Qwen3.init(presets[preset], jax.random.key(0), mesh=mesh, dtype=jnp.float32)


def _decode(model) -> np.ndarray:
    """Logits after a chunked prefill and two steps."""
    cache = models.make_cache(model, 4, 16)
    _, cache = jax.jit(models.prefill, static_argnames="chunk")(
        model, cache, TOKENS[:, :10], np.full(4, 10), chunk=4
    )
    step = jax.jit(models.decode_step, donate_argnums=1)
    for t in (10, 11):
        logits, cache = step(model, cache, TOKENS[:, t])
    return np.asarray(logits)


@pytest.mark.parametrize(
    ("preset", "shape"),
    [("tiny-moe", (2, 2, 2)), ("tiny-qwen2", (1, 1, 4))]
    + [
        pytest.param(p, s, marks=pytest.mark.slow)
        for p in ("tiny-moe", "tiny-qwen2")
        for s in MESHES
    ],
)
def test_any_mesh_gives_the_same_logits(preset, shape):
    expected = np.asarray(_model(preset)(TOKENS))
    model = _model(preset, _mesh(shape))
    np.testing.assert_allclose(np.asarray(model(TOKENS)), expected, atol=2e-6)
    np.testing.assert_allclose(_decode(model), expected[:, -1], atol=2e-6)


def test_weights_and_cache_lie_where_the_rules_say():
    model = _model("tiny-moe", _mesh((2, 2, 2)))
    arrays = model.arrays()
    assert arrays["layers.ffn.gate.weight"].sharding.shard_shape((2, 8, 64, 32)) == (2, 4, 64, 16)
    assert arrays["layers.attention.query.weight"].sharding.shard_shape((2, 64, 4, 32))[2] == 2
    assert arrays["embed.weight"].sharding.shard_shape((272, 64)) == (136, 64)
    cache = models.make_cache(model, 4, 16)
    assert cache.key_lbksh.sharding.shard_shape(cache.key_lbksh.shape) == (2, 1, 1, 16, 32)


def test_few_kv_heads_are_shared_by_the_devices_whose_queries_read_them():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = _model("tiny-dense", _mesh((1, 1, 4)))  # K = 2 < 4
    assert (model.layout.axes("kv_heads"), model.layout.kv_copies) == ((), 2)
    assert model.layout.axes("heads") == ("model",)
    cache = models.make_cache(model, 4, 16)
    assert cache.key_lbksh.sharding.shard_shape(cache.key_lbksh.shape) == (2, 4, 1, 16, 32)
    _, cache = jax.jit(models.prefill)(model, cache, TOKENS, np.full(4, 12))
    alone = _model("tiny-dense")
    _, whole = jax.jit(models.prefill)(
        alone, models.make_cache(alone, 4, 16), TOKENS, np.full(4, 12)
    )
    for device, kept in enumerate(cache.key_lbksh.addressable_shards):
        np.testing.assert_allclose(
            kept.data[:, :, 0], whole.key_lbksh[:, :, device // 2], atol=2e-6
        )


@pytest.mark.parametrize(
    ("N", "K", "ways", "heads", "copies"),
    [
        (8, 2, 8, ("model",), 4),
        (8, 8, 4, ("model",), 1),
        (8, 4, 8, ("model",), 2),
        (12, 3, 2, (), 1),  # a device's six queries would read one and a half KV heads
        (28, 4, 8, (), 1),
        (24, 4, 8, ("model",), 2),
        (9, 3, 3, ("model",), 1),
    ],
)
def test_how_heads_are_shared(N, K, ways, heads, copies):
    config = dataclasses.replace(presets["tiny-dense"], num_query_heads=N, num_kv_heads=K)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", models.ReplicatedWarning)
        layout = models.lay_out(config, _mesh((1, 1, ways)))
    assert (layout.axes("heads"), layout.kv_copies) == (heads, copies)


def test_rules_of_ones_own_for_kv_heads():
    rules = models.ShardingRules(kv_heads=())
    model = models.Qwen3.init(presets["tiny-dense"], jax.random.key(0), mesh=_mesh((1, 1, 2)),
                              rules=rules, dtype=jnp.float32)  # fmt: skip
    assert (model.layout.axes("kv_heads"), model.layout.kv_copies) == ((), 1)
    np.testing.assert_allclose(_decode(model), _decode(_model("tiny-dense")), atol=2e-6)


def test_other_dims_that_do_not_divide_are_replicated_with_a_warning():
    with pytest.warns(models.ReplicatedWarning, match="heads=4"):
        model = _model("tiny-dense", _mesh((1, 1, 8)))
    np.testing.assert_allclose(model(TOKENS), _model("tiny-dense")(TOKENS), atol=2e-6)


def test_an_axis_no_rule_uses_is_an_error():
    mesh = jax.make_mesh((2,), ("tp",), devices=jax.devices()[:2])
    with pytest.raises(InputError, match="'tp'"):
        models.lay_out(presets["tiny-dense"], mesh)
    rules = models.ShardingRules(heads=("tp",), kv_heads=("tp",))
    assert models.lay_out(presets["tiny-dense"], mesh, rules).axes("heads") == ("tp",)


def test_a_batch_is_split_only_as_far_as_it_divides():
    layout = models.lay_out(presets["tiny-dense"], _mesh((2, 4, 1)))
    assert [layout.batch_split(n) for n in (8, 6, 3)] == [("data", "expert"), ("data",), ()]
    assert Layout().batch_split(4) == ()


@pytest.mark.parametrize("quantize", [pytest.param(None, marks=pytest.mark.slow), "int8"])
def test_loading_onto_a_mesh_reads_the_same_weights(quantize, tmp_path):
    models.save_hf(_model("tiny-moe"), tmp_path)
    whole = models.load(tmp_path, quantize=quantize, dtype="float32").arrays()
    for shape in MESHES[1:3]:
        parts = models.load(
            tmp_path, mesh=_mesh(shape), quantize=quantize, dtype="float32"
        ).arrays()
        assert whole.keys() == parts.keys()
        for path, array in whole.items():
            assert np.array_equal(array, parts[path]), path


@pytest.mark.parametrize("quantize", [None, pytest.param("int8", marks=pytest.mark.slow)])
def test_orbax_restores_onto_1_2_4_and_8_devices(quantize, tmp_path):
    models.save_hf(_model("tiny-moe"), tmp_path / "hf")
    saved = models.load(tmp_path / "hf", mesh=_mesh((1, 2, 2)), quantize=quantize, dtype="float32")
    models.save_orbax(saved, tmp_path / "orbax")
    expected = np.asarray(saved(TOKENS))
    for shape in (None, (1, 1, 2), (2, 1, 2), (1, 4, 2)):
        mesh = _mesh(shape) if shape else None
        model = models.restore_orbax(tmp_path / "orbax", mesh=mesh)
        assert model.config == saved.config
        for path, array in saved.arrays().items():
            assert np.array_equal(array, model.arrays()[path]), path
        np.testing.assert_allclose(np.asarray(model(TOKENS)), expected, atol=2e-6)


@pytest.mark.parametrize(
    "stretch",
    [
        {"yarn": Yarn(factor=2.0, original_context=64)},
        {"llama3_rope": Llama3Rope(factor=8.0, original_context=64, low_turns=1.0, high_turns=4.0)},
    ],
)
def test_orbax_keeps_the_whole_config(stretch, tmp_path):
    config = dataclasses.replace(presets["tiny-qwen2"], **stretch)
    models.save_orbax(models.Qwen3.init(config, jax.random.key(0)), tmp_path / "orbax")
    assert models.restore_orbax(tmp_path / "orbax").config == config


def test_orbax_refuses_to_overwrite_and_to_guess(tmp_path):
    model = _model("tiny-dense")
    models.save_orbax(model, tmp_path / "a")
    with pytest.raises(InputError, match="already holds"):
        models.save_orbax(model, tmp_path / "a")
    with pytest.raises(ConfigError, match="cannot be read"):
        models.restore_orbax(tmp_path / "none")
    (tmp_path / "a" / "kinetics_model.json").write_text('{"config": {}}')
    with pytest.raises(models.CheckpointError, match="not a saved model"):
        models.restore_orbax(tmp_path / "a")
