"""One model on 1, 2, 4 and 8 (fake) devices: where its arrays lie, and that its logits are the same."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.sharding import Layout
from kinetics_jax.shapes import presets
from tests.models.fake_meshes import TOKENS, fake_mesh, tiny_model

MESHES = [(1, 1, 2), (1, 2, 2), (2, 2, 2), (1, 1, 4), (8, 1, 1), (1, 8, 1)]


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
    [("tiny-moe", (2, 2, 2)), ("tiny-mixed", (1, 2, 2)), ("tiny-qwen2", (1, 1, 4))]
    + [
        pytest.param(p, s, marks=pytest.mark.slow)
        for p in ("tiny-moe", "tiny-mixed", "tiny-qwen2")
        for s in MESHES
    ],
)
def test_any_mesh_gives_the_same_logits(preset, shape):
    expected = np.asarray(tiny_model(preset)(TOKENS))
    model = tiny_model(preset, fake_mesh(shape))
    np.testing.assert_allclose(np.asarray(model(TOKENS)), expected, atol=2e-6)
    np.testing.assert_allclose(_decode(model), expected[:, -1], atol=2e-6)


@pytest.mark.parametrize(
    ("preset", "shape"),
    [("tiny-dense", (4, 1, 1)), ("tiny-moe", (2, 1, 1))]
    + [
        pytest.param(p, s, marks=pytest.mark.slow)
        for p in ("tiny-dense", "tiny-qwen2", "tiny-moe")
        for s in [(2, 1, 1), (4, 1, 1), (1, 2, 1), (2, 2, 1)]
    ],
)
def test_a_data_group_computes_what_one_device_does_with_its_sequences(preset, shape):
    """Bit for bit. (A MoE split over experts too, since sums of two experts do not depend on the order.)"""
    groups = shape[0] * shape[1]
    alone, model = tiny_model(preset, fake_mesh((1, 1, 1))), tiny_model(preset, fake_mesh(shape))
    parts = [np.asarray(alone(part)) for part in np.split(TOKENS, groups)]
    assert np.array_equal(np.asarray(model(TOKENS)), np.concatenate(parts))


@pytest.mark.parametrize("preset", [pytest.param("tiny-dense", marks=pytest.mark.slow), "tiny-moe"])
def test_a_gathered_model_gives_what_one_device_gives(preset):
    """Bit for bit, however it was divided."""
    alone = tiny_model(preset)
    expected, decoded = np.asarray(alone(TOKENS)), _decode(alone)
    model = tiny_model(preset, fake_mesh((2, 2, 2))).gathered()
    assert all(array.sharding.is_fully_replicated for array in model.arrays().values())
    assert np.array_equal(np.asarray(model(TOKENS)), expected)
    assert np.array_equal(_decode(model), decoded)
    assert alone.gathered() is alone


@pytest.mark.parametrize("preset", ["tiny-dense", "tiny-moe"])
def test_a_mesh_of_one_device_is_nearly_no_mesh(preset):
    """Few rows go through the CPU kernels where there is no mesh, and through XLA where there is one."""
    few, alone = TOKENS[:1], tiny_model(preset)
    logits = tiny_model(preset, fake_mesh((1, 1, 1)))(few)
    np.testing.assert_allclose(np.asarray(alone(few)), np.asarray(logits), atol=2e-6)


def test_weights_and_cache_lie_where_the_rules_say():
    model = tiny_model("tiny-moe", fake_mesh((2, 2, 2)))
    arrays = model.arrays()
    assert arrays["layers.ffn.gate.weight"].sharding.shard_shape((2, 8, 64, 32)) == (2, 4, 64, 16)
    assert arrays["layers.attention.query.weight"].sharding.shard_shape((2, 64, 4, 32))[2] == 2
    assert arrays["embed.weight"].sharding.shard_shape((272, 64)) == (136, 64)
    cache = models.make_cache(model, 4, 16)
    assert cache.key_lbksh.sharding.shard_shape(cache.key_lbksh.shape) == (2, 1, 1, 16, 32)


def test_few_kv_heads_are_shared_by_the_devices_whose_queries_read_them():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tiny_model("tiny-dense", fake_mesh((1, 1, 4)))  # K = 2 < 4
    assert (model.layout.axes("kv_heads"), model.layout.kv_copies) == ((), 2)
    assert model.layout.axes("heads") == ("model",)
    cache = models.make_cache(model, 4, 16)
    assert cache.key_lbksh.sharding.shard_shape(cache.key_lbksh.shape) == (2, 4, 1, 16, 32)
    _, cache = jax.jit(models.prefill)(model, cache, TOKENS, np.full(4, 12))
    alone = tiny_model("tiny-dense")
    _, whole = jax.jit(models.prefill)(alone, models.make_cache(alone, 4, 16), TOKENS, np.full(4, 12))
    for device, kept in enumerate(cache.key_lbksh.addressable_shards):
        np.testing.assert_allclose(kept.data[:, :, 0], whole.key_lbksh[:, :, device // 2], atol=2e-6)


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
        layout = models.lay_out(config, fake_mesh((1, 1, ways)))
    assert (layout.axes("heads"), layout.kv_copies) == (heads, copies)


def test_rules_of_ones_own_for_kv_heads():
    rules = models.ShardingRules(kv_heads=())
    model = models.Qwen3.init(
        presets["tiny-dense"], jax.random.key(0), mesh=fake_mesh((1, 1, 2)), rules=rules, dtype=jnp.float32
    )
    assert (model.layout.axes("kv_heads"), model.layout.kv_copies) == ((), 1)
    np.testing.assert_allclose(_decode(model), _decode(tiny_model("tiny-dense")), atol=2e-6)


def test_other_dims_that_do_not_divide_are_replicated_with_a_warning():
    with pytest.warns(models.ReplicatedWarning, match="heads=4"):
        model = tiny_model("tiny-dense", fake_mesh((1, 1, 8)))
    np.testing.assert_allclose(model(TOKENS), tiny_model("tiny-dense")(TOKENS), atol=2e-6)


def test_an_axis_no_rule_uses_is_an_error():
    mesh = jax.make_mesh((2,), ("tp",), devices=jax.devices()[:2])
    with pytest.raises(InputError, match="'tp'"):
        models.lay_out(presets["tiny-dense"], mesh)
    rules = models.ShardingRules(heads=("tp",), kv_heads=("tp",))
    assert models.lay_out(presets["tiny-dense"], mesh, rules).axes("heads") == ("tp",)


def test_a_batch_is_split_only_as_far_as_it_divides():
    layout = models.lay_out(presets["tiny-dense"], fake_mesh((2, 4, 1)))
    assert [layout.batch_split(n) for n in (8, 6, 3)] == [("data", "expert"), ("data",), ()]
    assert Layout().batch_split(4) == ()


@pytest.mark.parametrize("quantize", [pytest.param(None, marks=pytest.mark.slow), "int8"])
def test_loading_onto_a_mesh_reads_the_same_weights(quantize, tmp_path):
    models.save_hf(tiny_model("tiny-moe"), tmp_path)
    whole = models.load(tmp_path, quantize=quantize, dtype="float32").arrays()
    for shape in MESHES[1:3]:
        parts = models.load(tmp_path, mesh=fake_mesh(shape), quantize=quantize, dtype="float32").arrays()
        assert whole.keys() == parts.keys()
        for path, array in whole.items():
            assert np.array_equal(array, parts[path]), path
