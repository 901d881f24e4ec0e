"""Starting weights under which attention finds equal tokens from the first step ("mimetic").

Queries start as keys, and what a head writes as the inverse of what it reads (after
arXiv:2305.09828). Axis letters: D model dim · N query heads · K KV heads · H head dim ·
F ffn dim · V vocabulary.
"""

import jax.numpy as jnp
import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.models import Transformer, describe
from kinetics_jax.shapes import ModelConfig

_NORM_GAIN = 1.5
"""Start of the QK norms' weights: sharper attention than 1."""
_NOISE = 0.1


def start_model(config: ModelConfig, seed: int) -> Transformer:
    """A float32 model with unrolled layers, ready to be trained.

    Raises:
        InputError: a config with experts or biases, which the recipe does not cover.
    """
    if config.moe or config.qkv_bias or not (config.qk_norm and config.tied_embeddings):
        raise InputError(f"{config.name}: only dense Qwen3 shapes with tied embeddings are trained")
    draw = np.random.default_rng(seed)
    D, F = config.model_dim, config.ffn_dim
    arrays = {}
    for path, weight in describe(config, dtype=jnp.float32, unroll=True).items():
        if weight.initial == "ones":
            gain = _NORM_GAIN if "attention.key_norm" in path or "query_norm" in path else 1.0
            arrays[path] = np.full(weight.shape, gain)
        else:
            fan_in = F if path.endswith("ffn.down.weight") else D
            arrays[path] = draw.normal(size=weight.shape) * fan_in**-0.5
    for layer in range(config.num_layers):
        arrays |= _attention(config, draw, f"layers.{layer}.attention.")
        arrays[f"layers.{layer}.ffn.down.weight"] *= 0.5
    return Transformer(config, {path: jnp.asarray(x, jnp.float32) for path, x in arrays.items()})


def _attention(config: ModelConfig, draw: np.random.Generator, prefix: str) -> dict[str, np.ndarray]:
    D, N, K, H = config.model_dim, config.num_query_heads, config.num_kv_heads, config.head_dim
    key = np.stack([_orthogonal(draw, D, H) for _ in range(K)], axis=1)
    value = np.stack([_orthogonal(draw, D, H) for _ in range(K)], axis=1)
    group = N // K
    query = np.repeat(key, group, axis=1) + _NOISE * draw.normal(size=(D, N, H)) * D**-0.5
    out = np.repeat(np.moveaxis(value, 0, 2), group, axis=0) / group
    out = out + _NOISE * draw.normal(size=(N, H, D)) * (N * H) ** -0.5
    named = {"query": query, "key": key, "value": value, "out": out}
    return {f"{prefix}{name}.weight": array for name, array in named.items()}


def _orthogonal(draw: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    basis, _ = np.linalg.qr(draw.normal(size=(max(rows, columns), min(rows, columns))))
    return basis if rows >= columns else basis.T
