"""The contiguous cache against softmax attention written out. Letters: B sequence · T new token · S room."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax.attention import ContiguousCache, WithinChunk, causal, causal_attention
from kinetics_jax.shapes import presets

CONFIG = presets["tiny-dense"]  # N = 4, K = 2, H = 32, two layers


_attend = jax.jit(lambda cache, *new: cache.attend(*new))


def _draw(T, seed=0, B=2):
    keys = jax.random.split(jax.random.key(seed), 3)
    heads = (CONFIG.num_query_heads, CONFIG.num_kv_heads, CONFIG.num_kv_heads)
    return [jax.random.normal(k, (B, T, n, CONFIG.head_dim)) for k, n in zip(keys, heads, strict=True)]


def _written_out(query, key, value, position):
    """One query vector per loop turn, float64."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    B, T, N, H = query.shape
    group = N // key.shape[2]
    out = np.zeros_like(query)
    for b, t, n in np.ndindex(B, T, N):
        seen = slice(0, position[b, t] + 1)
        scores = key[b, seen, n // group] @ query[b, t, n] / np.sqrt(H)
        share = np.exp(scores - scores.max())
        out[b, t, n] = share @ value[b, seen, n // group] / share.sum()
    return out


@pytest.mark.parametrize("T", [1, 7, 40])
def test_causal_attention_in_chunks_of_queries(T, monkeypatch):
    monkeypatch.setattr(causal, "QUERY_CHUNK", 16)
    query, key, value = _draw(T)
    position = np.broadcast_to(np.arange(T), (2, T))
    swapped = [jnp.swapaxes(x, 1, 2) for x in (key, value)]
    found = causal_attention(query, *swapped, jnp.asarray(position))
    np.testing.assert_allclose(found, _written_out(query, key, value, position), atol=1e-6)
    within, _ = WithinChunk(jnp.zeros(2, jnp.int32)).attend(0, query, key, value, jnp.full(2, T))
    np.testing.assert_allclose(within, found, atol=1e-6)


@pytest.mark.parametrize("pieces", [[40], [1] * 40, [17, 1, 1, 15, 6], [33, 7]])
def test_any_cut_of_a_sequence_attends_alike(pieces):
    query, key, value = _draw(40)
    position = np.broadcast_to(np.arange(40), (2, 40))
    cache = ContiguousCache.zeros(CONFIG, 2, 40, dtype=jnp.float32)
    found, start = [], 0
    for count in pieces:
        part = slice(start, start + count)
        counts = jnp.full(2, count)
        _, cache = _attend(cache, 0, *(x[:, part] * 2 for x in (query, key, value)), counts)
        out, cache = _attend(cache, 1, *(x[:, part] for x in (query, key, value)), counts)
        cache = cache.advance(counts)
        found.append(out)
        start += count
    np.testing.assert_allclose(np.concatenate(found, 1), _written_out(query, key, value, position), atol=1e-6)
    np.testing.assert_array_equal(cache.key_lbksh[0], 2 * cache.key_lbksh[1])  # layers apart


def test_padding_is_not_stored_and_room_is_respected():
    query, key, value = _draw(20)
    cache = ContiguousCache.zeros(CONFIG, 2, 24, dtype=jnp.float32)
    counts = jnp.array([20, 3])
    _, cache = _attend(cache, 0, query, key, value, counts)
    cache = cache.advance(counts)
    stored = np.asarray(cache.key_lbksh[0])
    np.testing.assert_array_equal(stored[1, :, :3], np.swapaxes(key, 1, 2)[1, :, :3])
    assert not stored[1, :, 3:].any()
    out, after = _attend(cache, 0, query, key, value, jnp.array([20, 20]))  # 20 + 20 > 24
    assert np.isnan(out[0, 4:]).all()
    assert np.isfinite(out[0, :4]).all()
    assert np.isfinite(out[1]).all()
    np.testing.assert_array_equal(after.key_lbksh[0, 0, :, :20], stored[0, :, :20])
    np.testing.assert_array_equal(after.key_lbksh[0, 0, :, 20:], np.swapaxes(key, 1, 2)[0, :, :4])


def test_described_cache_is_the_real_one():
    described = ContiguousCache.describe(CONFIG, 3, 17)
    real = ContiguousCache.zeros(CONFIG, 3, 17)
    shapes = jax.tree.map(lambda a: (a.shape, a.dtype), described)
    assert shapes == jax.tree.map(lambda a: (a.shape, a.dtype), real)
    assert real.key_lbksh.nbytes * 2 == 3 * 17 * CONFIG.kv_bytes_per_token()
