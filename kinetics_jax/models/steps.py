"""The two entry points of generation: many prompt tokens at once, then one token per sequence.

Both are pure functions of (model, cache, tokens) to be wrapped in ``jax.jit``, donating the cache, and
both work with any ``KVCache``.
Axis letters: B sequences · T prompt tokens · D model dim · V vocabulary.
"""

from typing import TypeVar

import chex
import jax
import jax.numpy as jnp
from jax import lax

from kinetics_jax.attention import ContiguousCache, KVCache
from kinetics_jax.errors import InputError
from kinetics_jax.models.transformer import Transformer

Array = jax.Array
Cache = TypeVar("Cache", bound=KVCache)


def make_cache(
    model: Transformer, batch: int, capacity: int, *, dtype: jax.typing.DTypeLike | None = None
) -> ContiguousCache:
    """An empty contiguous cache on the model's mesh: ``batch`` sequences of up to ``capacity`` tokens.

    Its dtype is the model's unless given.
    """
    return ContiguousCache.zeros(
        model.config, batch, capacity, dtype=dtype or model.dtype, sharding=model.cache_sharding(batch)
    )


def prefill(
    model: Transformer, cache: Cache, tokens_bt: Array, counts_b: Array, *, chunk: int | None = None
) -> tuple[Array, Cache]:
    """Read prompts (or their next parts) into the cache; logits_bv after each one's last token.

    Sequence b's tokens are the first ``counts_b`` of its row; the rest is padding. A count of 0
    leaves a sequence as it is (its logits are meaningless). ``chunk`` reads so many tokens at a time, which
    bounds the memory of activations and changes nothing else. Raises ``InputError`` for a bad chunk.
    """
    chex.assert_rank(tokens_bt, 2)
    B, T = tokens_bt.shape
    chex.assert_shape([counts_b, cache.lengths_b], (B,))
    chunk = T if chunk is None else min(chunk, T)
    if chunk < 1:
        raise InputError(f"chunk={chunk} must be at least 1 token")
    chunks = -(-T // chunk)
    padded = jnp.pad(jnp.asarray(tokens_bt, jnp.int32), ((0, 0), (0, chunks * chunk - T)))
    parts = jnp.moveaxis(padded.reshape(-1, chunks, chunk), 1, 0)

    def read(carry: tuple[Cache, Array], part: tuple[Array, Array]) -> tuple:
        cache, last_bd = carry
        number, part_bt = part
        here_b = jnp.clip(counts_b - number * chunk, 0, chunk)
        x_btd, cache = model.hidden(part_bt, cache, here_b)
        end = jnp.maximum(here_b - 1, 0)[:, None, None]
        newest_bd = jnp.take_along_axis(x_btd, end, axis=1)[:, 0]
        return (cache, jnp.where((here_b > 0)[:, None], newest_bd, last_bd)), None

    nothing = jnp.zeros((B, model.config.model_dim), model.dtype)
    if chunks == 1:
        (cache, last_bd), _ = read((cache, nothing), (jnp.int32(0), parts[0]))
    else:
        (cache, last_bd), _ = lax.scan(read, (cache, nothing), (jnp.arange(chunks), parts))
    return model.logits(last_bd[:, None])[:, 0], cache


def decode_step(
    model: Transformer, cache: Cache, tokens_b: Array, *, active_b: Array | None = None
) -> tuple[Array, Cache]:
    """One more token for every sequence; logits_bv (float32) for the next one, and the cache.

    Sequences where ``active_b`` is False keep their length, and their logits are meaningless.
    """
    chex.assert_equal_shape([tokens_b, cache.lengths_b, *([] if active_b is None else [active_b])])
    counts_b = jnp.ones_like(tokens_b) if active_b is None else active_b.astype(jnp.int32)
    x_btd, cache = model.hidden(tokens_b[:, None], cache, counts_b)
    return model.logits(x_btd)[:, 0], cache
