"""The same engine on meshes of fake devices: the samples of one device, and only the mesh differs."""

import jax
import pytest

from kinetics_jax.engine import Engine
from kinetics_jax.policies import BlockTopK, Dense, Quest, TopK
from kinetics_jax.records import SamplingParams

GREEDY = SamplingParams(temperature=0.0)
SIZES = {"slots": 2, "max_context": 128, "page_size": 16, "chunk_steps": 8, "prefill_chunk": 32}


def decode(engine: Engine, prompts) -> dict:
    return {
        sample.key: sample.tokens for sample in engine.generate(prompts, n=2, max_tokens=24, sampling=GREEDY)
    }


@pytest.mark.parametrize(
    ("shape", "policy"),
    [
        pytest.param({"data": 4}, BlockTopK(16, 1, dense_layers=0), marks=pytest.mark.slow),
        pytest.param({"data": 2, "model": 2}, Dense(), marks=pytest.mark.slow),
        ({"data": 2, "model": 2}, Quest(16, 1)),
        # Two KV heads on four devices: those that share one must choose by the whole query group.
        ({"data": 2, "model": 4}, BlockTopK(16, 1, dense_layers=0)),
        # Shares of the batch search at different steps, and so do all that share a KV head.
        pytest.param({"data": 4}, BlockTopK(16, 1, dense_layers=0, min_context=60), marks=pytest.mark.slow),
        pytest.param({"data": 2, "model": 2}, Quest(16, 1, min_context=60), marks=pytest.mark.slow),
        pytest.param({"data": 2, "model": 4}, Quest(16, 1, min_context=60), marks=pytest.mark.slow),
        pytest.param({"model": 4}, TopK(6), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_meshes_give_the_samples_of_one_device(model, prompts, shape, policy):
    expected = decode(Engine(model, policy=policy, **SIZES), prompts)
    mesh = jax.make_mesh(tuple(shape.values()), tuple(shape))
    assert decode(Engine(model, policy=policy, mesh=mesh, **SIZES), prompts) == expected
    assert len(expected) == 12


def test_experts_over_their_axis():
    from kinetics_jax import models
    from kinetics_jax.shapes import presets

    model = models.Qwen3.init(presets["tiny-moe"], jax.random.key(0), dtype="float32")
    prompts = [[1, 2, 3], [4] * 20, [5, 6] * 9]
    expected = decode(Engine(model, **SIZES), prompts)
    mesh = jax.make_mesh((2, 2), ("expert", "model"))
    assert decode(Engine(model, mesh=mesh, **SIZES), prompts) == expected


@pytest.mark.parametrize(
    ("shape", "slots", "ways"),
    [({}, 2, 1), ({"data": 2, "model": 2}, 2, 2), ({"data": 4}, 2, 1), ({"expert": 2, "model": 2}, 2, 2)],
    ids=str,
)
def test_samples_say_what_they_ran_on(model, shape, slots, ways):
    """Slots are of one copy of the model: dense models have a copy on every share of ``expert`` too."""
    mesh = jax.make_mesh(tuple(shape.values()), tuple(shape)) if shape else None
    (sample,) = Engine(model, policy=Dense(), mesh=mesh, **SIZES).generate([[1, 2, 3]], max_tokens=2)
    assert sample.deployment == {
        "slots": slots,
        "tensor_parallel": ways,
        "weight_dtype": "float32",
        "kv_dtype": "float32",
        "compute_dtype": "float32",
        "page_size": 16,
        "device": "cpu",
    }
    assert type(sample).from_json(sample.to_json()).deployment == sample.deployment
    assert sample.graded("run", True).deployment == sample.deployment


def test_a_copy_of_a_model_with_experts_lies_on_all_shares_of_them():
    from kinetics_jax import models
    from kinetics_jax.shapes import presets

    model = models.Qwen3.init(presets["tiny-moe"], jax.random.key(0), dtype="float32")
    mesh = jax.make_mesh((2, 2), ("expert", "model"))
    (sample,) = Engine(model, mesh=mesh, **SIZES).generate([[1, 2, 3]], max_tokens=2)
    assert (sample.deployment["slots"], sample.deployment["tensor_parallel"]) == (4, 4)
