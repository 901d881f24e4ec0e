"""Rotary position embedding (arXiv:2104.09864) and its YaRN extension (arXiv:2309.00071).

Axis letters: B sequence · T token · N head · H head dim. The two halves of H are rotated against each other.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax.spec import InputError, ModelConfig, Yarn


def frequencies(config: ModelConfig) -> tuple[np.ndarray, float]:
    """Radians per token of the H/2 rotated pairs (float32), and the magnitude of cos and sin."""
    H = config.head_dim
    if H % 2:
        raise InputError(f"{config.name}: head_dim={H} must be even for RoPE")
    exponents = np.arange(0, H, 2, dtype=np.float32) / np.float32(H)
    plain = np.float32(1.0) / np.float32(config.rope_theta) ** exponents
    if config.yarn is None:
        return plain, 1.0
    kept = _kept_fraction(config.yarn, config.rope_theta, H)
    stretched = plain / np.float32(config.yarn.factor)
    magnitude = config.yarn.attention_factor
    if magnitude is None:
        magnitude = 0.1 * math.log(config.yarn.factor) + 1.0 if config.yarn.factor > 1 else 1.0
    return (stretched * (1 - kept) + plain * kept).astype(np.float32), magnitude


def _kept_fraction(yarn: Yarn, theta: float, H: int) -> np.ndarray:
    """How much of each pair's frequency YaRN leaves alone: 1 for fast pairs, 0 for slow (section 3.2)."""

    def pair_with(turns: float) -> float:
        """Index, in elements of H/2, of the pair that makes ``turns`` over the original context."""
        return H * math.log(yarn.original_context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_with(yarn.beta_fast)), 0)
    high: float = min(math.ceil(pair_with(yarn.beta_slow)), H - 1)
    if low == high:
        high += 0.001  # a step instead of a ramp
    ramp = (np.arange(H // 2, dtype=np.float32) - low) / (high - low)
    return 1 - np.clip(ramp, 0, 1).astype(np.float32)


def angles(config: ModelConfig, position_bt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cos and sin [B, T, 1, H/2] (float32) of tokens at absolute positions, ready for ``rotate``."""
    radians_per_token, magnitude = frequencies(config)
    radians = position_bt[..., None, None].astype(jnp.float32) * radians_per_token
    return jnp.cos(radians) * magnitude, jnp.sin(radians) * magnitude


def rotate(x_btnh: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Heads turned by their position's angles; dtype of ``x_btnh``."""
    cos, sin = cos.astype(x_btnh.dtype), sin.astype(x_btnh.dtype)
    first, second = jnp.split(x_btnh, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
