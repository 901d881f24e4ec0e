"""Prefill in chunks = prefill at once = token by token = the full forward. Letters: B sequence · T token."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets

PRESETS = ["tiny-dense", "tiny-qwen2", "tiny-moe", "tiny-mixed"]
LENGTHS = np.array([37, 23, 1])

_prefill = jax.jit(models.prefill, static_argnames="chunk")
_step = jax.jit(models.decode_step)


@functools.cache
def _model(preset: str, unroll: bool = False) -> models.Qwen3:
    return models.Qwen3.init(presets[preset], jax.random.key(3), dtype=jnp.float32, unroll=unroll)


@functools.cache
def _tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 272, (3, 37))


def _close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("preset", PRESETS)
def test_four_ways_to_the_same_logits(preset):
    model, tokens = _model(preset), _tokens()
    full = np.asarray(model(tokens))
    expected = full[np.arange(3), LENGTHS - 1]
    caches = [models.make_cache(model, 3, 40) for _ in range(3)]
    at_once, first = _prefill(model, caches[0], tokens, LENGTHS)
    in_chunks, second = _prefill(model, caches[1], tokens, LENGTHS, chunk=8)
    _close(at_once, expected)
    _close(in_chunks, expected)
    cache = caches[2]
    for t in range(37):
        logits, cache = _step(model, cache, tokens[:, t], active_b=jnp.asarray(t < LENGTHS))
        for b in np.flatnonzero(t == LENGTHS - 1):
            _close(logits[b], expected[b])
    for each in (first, second, cache):
        assert np.array_equal(each.lengths_b, LENGTHS)
    for b, length in enumerate(LENGTHS):  # the caches hold the same, and nothing after the prompt
        kept = [np.asarray(c.key_lbksh)[:, b] for c in (first, second, cache)]
        _close(kept[1], kept[0])
        _close(kept[2], kept[0])
        assert not kept[0][:, :, length:].any()


def test_a_prompt_may_come_in_parts_of_any_length():
    model, tokens = _model("tiny-dense"), _tokens()
    cache = models.make_cache(model, 3, 40)
    logits, at = None, np.zeros(3, int)
    for counts in ([5, 0, 1], [0, 20, 0], [30, 3, 0], [2, 0, 0]):
        width = max(counts)
        part = np.stack([np.resize(tokens[b, at[b] : at[b] + width], width) for b in range(3)])
        found, cache = _prefill(model, cache, part, np.array(counts))
        logits = found if logits is None else jnp.where(np.array(counts)[:, None] > 0, found, logits)
        at += counts
    _close(logits, np.asarray(model(tokens))[np.arange(3), LENGTHS - 1])


def test_unrolled_layers_compute_the_same(tmp_path):
    model = _model("tiny-moe")
    models.save_hf(model, tmp_path)
    unrolled = models.load(tmp_path, dtype="float32", unroll=True)
    assert unrolled.unrolled
    assert not model.unrolled
    _close(np.asarray(unrolled(_tokens())), np.asarray(model(_tokens())))


def test_a_sequence_past_its_room_gives_nan_and_hurts_no_other():
    model, tokens = _model("tiny-dense"), _tokens()
    cache = models.make_cache(model, 2, 20)
    _, cache = _prefill(model, cache, tokens[:2, :20], np.array([20, 10]))
    logits, cache = _step(model, cache, tokens[:2, 20])
    assert np.isnan(logits[0]).all()
    again = np.concatenate([tokens[1, :10], tokens[1, 20:21]])[None]
    _close(logits[1], np.asarray(model(again))[0, -1])


@pytest.mark.parametrize("bad", [[[1, 2], [3, 999]], [[-1]], [[0.5]], [1, 2], [[]]])
def test_tokens_are_checked(bad):
    with pytest.raises(InputError, match="token"):
        _model("tiny-dense")(bad)


def test_chunk_is_checked():
    model = _model("tiny-dense")
    with pytest.raises(InputError, match="chunk=0"):
        models.prefill(model, models.make_cache(model, 3, 40), _tokens(), LENGTHS, chunk=0)


def test_a_step_needs_one_compilation():
    model, cache = _model("tiny-dense"), models.make_cache(_model("tiny-dense"), 2, 16)
    step = jax.jit(lambda *given: models.decode_step(*given), donate_argnums=1)  # a cache of its own
    for token in range(3):
        _, cache = step(model, cache, jnp.array([token, token + 1]))
    assert step._cache_size() == 1


@pytest.mark.parametrize(("platform", "reshaped"), [("cpu", True), ("tpu", False)])
def test_only_a_cpu_sees_weights_as_matrices(platform, reshaped):
    """A TPU lays [D, N, H] out in tiles of [N, H]: as a matrix it would be copied at every step."""
    model = models.Qwen3.init(presets["tiny-dense"], jax.random.key(0), dtype=jnp.float32).unroll()
    cache = models.make_cache(model, batch=1, capacity=16)
    step = jax.jit(models.decode_step).trace(model, cache, jnp.zeros(1, jnp.int32))
    text = step.lower(lowering_platforms=(platform,)).as_text()
    assert ("(tensor<64x4x32xf32>) -> tensor<64x128xf32>" in text) == reshaped
