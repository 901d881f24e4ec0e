"""Rotary position embedding (arXiv:2104.09864) and its extensions: YaRN's (arXiv:2309.00071) and Llama 3.1's.

Axis letters: B sequences · T tokens · N heads · H head dim. The halves of H are rotated against each other.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.shapes import Llama3Rope, ModelConfig, Yarn


def frequencies(config: ModelConfig) -> tuple[np.ndarray, float]:
    """Radians per token of the H/2 rotated pairs (float32), and the magnitude of cos and sin."""
    H = config.head_dim
    if H % 2:
        raise InputError(f"{config.name}: head_dim={H} must be even for RoPE")
    exponents = np.arange(0, H, 2, dtype=np.float32) / np.float32(H)
    plain = np.float32(1.0) / np.float32(config.rope_theta) ** exponents
    stretch = config.yarn or config.llama3_rope
    if stretch is None:
        return plain, 1.0
    if isinstance(stretch, Yarn):
        kept, magnitude = _kept_by_yarn(stretch, config.rope_theta, H), _magnitude(stretch)
    else:
        kept, magnitude = _kept_by_llama3(stretch, plain), 1.0
    slowed = plain / np.float32(stretch.factor)
    return (slowed * (1 - kept) + plain * kept).astype(np.float32), magnitude


def _magnitude(yarn: Yarn) -> float:
    if yarn.attention_factor is not None:
        return yarn.attention_factor
    return 0.1 * math.log(yarn.factor) + 1.0 if yarn.factor > 1 else 1.0


def _kept_by_yarn(yarn: Yarn, theta: float, H: int) -> np.ndarray:
    """How much of each pair's frequency is left alone: 1 for fast pairs, 0 for slow (section 3.2)."""

    def pair_with(turns: float) -> float:
        """Index, in elements of H/2, of the pair that makes ``turns`` over the original context."""
        return H * math.log(yarn.original_context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_with(yarn.beta_fast)), 0)
    high: float = min(math.ceil(pair_with(yarn.beta_slow)), H - 1)
    if low == high:
        high += 0.001  # a step instead of a ramp
    ramp = (np.arange(H // 2, dtype=np.float32) - low) / (high - low)
    return 1 - np.clip(ramp, 0, 1).astype(np.float32)


def _kept_by_llama3(stretch: Llama3Rope, plain: np.ndarray) -> np.ndarray:
    """As for YaRN, but the ramp is linear in the turns that a pair makes, not in its index."""
    turns = stretch.original_context * plain / np.float32(2 * math.pi)
    ramp = (turns - stretch.low_turns) / (stretch.high_turns - stretch.low_turns)
    return np.clip(ramp, 0, 1).astype(np.float32)


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
