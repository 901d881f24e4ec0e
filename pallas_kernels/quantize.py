"""int8 and float8 pages: one f32 scale for each (page, KV head, K or V), the value of one stored unit.

Letters: B sequences · K KV heads · c: 0 is K, 1 is V · p page size · H head dim.
"""

import jax
import jax.numpy as jnp


def largest_code(dtype: jnp.dtype) -> float:
    """The largest magnitude that a stored number may have: 127 for int8, 448 for float8_e4m3fn."""
    return 127.0 if jnp.issubdtype(dtype, jnp.integer) else float(jnp.finfo(dtype).max)


def encode(value: jax.Array, dtype: jnp.dtype, largest: float) -> jax.Array:
    """f32 numbers in units of the scale → stored numbers (int8: rounded half to even)."""
    value = jnp.clip(value, -largest, largest)
    return (jnp.round(value) if jnp.issubdtype(dtype, jnp.integer) else value).astype(dtype)


def requantize(
    old_bkcph: jax.Array,
    old_scale_bkc: jax.Array,
    old: jax.Array,
    new_bkcph: jax.Array,
    fresh: jax.Array,
    largest: float,
) -> tuple[jax.Array, jax.Array]:
    """Merge new tokens into stored pages: the scale only grows, and old tokens follow it.

    Args:
        old_bkcph: stored pages; ``old`` marks the rows that hold a token.
        old_scale_bkc: their scales, ignored where a page holds no token yet.
        old: ``[B, 1, 1, p, 1]`` bool.
        new_bkcph: new tokens on their rows, bf16 or f32; ``fresh`` marks those rows.
        fresh: ``[B, 1, 1, p, 1]`` bool.
        largest: see `largest_code`.

    Returns:
        Stored pages (zeros on rows without a token) and their scales.

    """
    new = jnp.where(fresh, new_bkcph.astype(jnp.float32), 0.0)
    needed = jnp.abs(new).max(axis=(3, 4), keepdims=True) / largest
    had = jnp.where(old.any(axis=3, keepdims=True), old_scale_bkc[..., None, None], 0.0)
    scale = jnp.maximum(had, needed)
    safe = jnp.where(scale == 0, 1.0, scale)
    kept = jnp.where(old, old_bkcph.astype(jnp.float32), 0.0) * (had / safe)
    page = jnp.where(fresh, new / safe, kept)
    return encode(page, old_bkcph.dtype, largest), scale[..., 0, 0]
