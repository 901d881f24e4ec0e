"""Every weight of a model, described once: shape, dtype, logical axes, initial value.

Creation, sharding, loading, saving and size accounting all read ``describe``; nothing else lists the
weights. Axis letters: V vocabulary · D model dim · N query heads · K KV heads · H head dim · F ffn dim ·
E experts · L layers.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.shapes import ModelConfig

Quantization = Literal["int8"]
Initial = Literal["normal", "ones", "zeros"]

INIT_STDDEV = 0.02


@dataclasses.dataclass(frozen=True)
class Weight:
    """One array of the model."""

    shape: tuple[int, ...]
    dtype: np.dtype
    axes: tuple[str, ...]
    """A logical axis per dim; ``kinetics_jax.models.sharding`` maps them to mesh axes."""
    initial: Initial = "normal"
    summed: tuple[str, ...] = ()
    """Axes that its matmul sums over. Empty for what is not a matmul (norms, biases)."""

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def describe(
    config: ModelConfig,
    *,
    dtype: jax.typing.DTypeLike = jnp.bfloat16,
    quantize: Quantization | None = None,
    unroll: bool = False,
) -> dict[str, Weight]:
    """Path in the model → ``Weight``.

    Layers are stacked (``layers.attention.query.weight`` is LDNH) unless ``unroll``, or layers that differ,
    keep them apart (``layers.7.attention.query.weight`` is DNH). With ``quantize="int8"`` every matmul
    weight but the router's is int8 with a float32 ``scale`` per output channel beside it.
    """
    outer = describe_part(config, None, dtype=dtype, quantize=quantize)
    table = {path: weight for path, weight in outer.items() if path.startswith("embed.")}
    apart = unroll or config.layers_differ
    for layer in range(config.num_layers if apart else 1):
        below = describe_part(config, layer, dtype=dtype, quantize=quantize)
        for path, weight in below.items():
            if apart:
                table[f"layers.{layer}.{path}"] = weight
            else:
                table[f"layers.{path}"] = _stacked(weight, config.num_layers)
    return table | outer  # in the order of the forward pass: training draws in it


def describe_part(
    config: ModelConfig,
    layer: int | None,
    *,
    dtype: jax.typing.DTypeLike = jnp.bfloat16,
    quantize: Quantization | None = None,
) -> dict[str, Weight]:
    """The weights of one ``layer`` (from 0) by their path in it, or those outside the layers (None)."""
    table = _Table(config, dtype, quantize)
    if layer is not None:
        _add_layer(config, config.has_experts(layer), table.add)
        return table.found
    table.add("embed.weight", "vocab model_dim", summed="model_dim")
    table.add("final_norm.weight", "model_dim", initial="ones")
    if not config.tied_embeddings:
        table.add("head.weight", "vocab model_dim", summed="model_dim")
    return table.found


def _stacked(weight: Weight, layers: int) -> Weight:
    return dataclasses.replace(weight, shape=(layers, *weight.shape), axes=("layers", *weight.axes))


class _Table:
    """A description as it grows: ``found`` by path."""

    def __init__(
        self, config: ModelConfig, dtype: jax.typing.DTypeLike, quantize: Quantization | None
    ) -> None:
        if config.priced_only:
            raise InputError(f"{config.name} can be priced but not run: {config.priced_only}")
        if quantize not in (None, "int8"):
            raise InputError(f"quantize={quantize!r} is not known; use 'int8' or None")
        self.dtype, self.quantize = np.dtype(dtype), quantize
        self.sizes = _axis_sizes(config)
        self.found: dict[str, Weight] = {}

    def add(self, path: str, axes: str, summed: str = "", initial: Initial = "normal") -> None:
        names, reduced = tuple(axes.split()), tuple(summed.split())
        shape = tuple(self.sizes[name] for name in names)
        narrow = self.quantize is not None and bool(reduced) and "router" not in path
        kind = np.dtype(np.int8) if narrow else self.dtype
        self.found[path] = Weight(shape, kind, names, initial, reduced)
        if narrow:
            kept = tuple(name for name in names if name not in reduced)
            scale = path.removesuffix("weight") + "scale"
            shape = tuple(self.sizes[name] for name in kept)
            self.found[scale] = Weight(shape, np.dtype(np.float32), kept, "ones")


def _axis_sizes(config: ModelConfig) -> dict[str, int]:
    sizes = {
        "vocab": config.vocab_size,
        "model_dim": config.model_dim,
        "heads": config.num_query_heads,
        "kv_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "ffn": config.ffn_dim,
    }
    if config.moe:
        sizes |= {"experts": config.moe.num_experts, "expert_ffn": config.moe.expert_dim}
    return sizes


def _add_layer(config: ModelConfig, experts: bool, add: Callable[..., None]) -> None:
    """Every weight of one layer, its ffn dense or of ``experts``."""
    add("attention_norm.weight", "model_dim", "", "ones")
    add("attention.query.weight", "model_dim heads head_dim", "model_dim")
    add("attention.key.weight", "model_dim kv_heads head_dim", "model_dim")
    add("attention.value.weight", "model_dim kv_heads head_dim", "model_dim")
    add("attention.out.weight", "heads head_dim model_dim", "heads head_dim")
    if config.qkv_bias:
        add("attention.query.bias", "heads head_dim", "", "zeros")
        add("attention.key.bias", "kv_heads head_dim", "", "zeros")
        add("attention.value.bias", "kv_heads head_dim", "", "zeros")
    if config.out_bias:
        add("attention.out.bias", "model_dim", "", "zeros")
    if config.qk_norm:
        add("attention.query_norm.weight", "head_dim", "", "ones")
        add("attention.key_norm.weight", "head_dim", "", "ones")
    add("ffn_norm.weight", "model_dim", "", "ones")
    if experts:
        add("ffn.router.weight", "model_dim experts", "model_dim")
        add("ffn.gate.weight", "experts model_dim expert_ffn", "model_dim")
        add("ffn.up.weight", "experts model_dim expert_ffn", "model_dim")
        add("ffn.down.weight", "experts expert_ffn model_dim", "expert_ffn")
    else:
        add("ffn.gate.weight", "model_dim ffn", "model_dim")
        add("ffn.up.weight", "model_dim ffn", "model_dim")
        add("ffn.down.weight", "ffn model_dim", "ffn")


def count_params(table: Mapping[str, Weight]) -> int:
    """Parameters in a description; the scales of quantised weights are not parameters."""
    return sum(math.prod(w.shape) for path, w in table.items() if not path.endswith(".scale"))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _initial(key: jax.Array, weight: Weight, sharding: jax.sharding.Sharding | None) -> jax.Array:
    if weight.initial == "normal":
        array = INIT_STDDEV * jax.random.normal(key, weight.shape, jnp.float32)
    else:
        array = jnp.full(weight.shape, 1.0 if weight.initial == "ones" else 0.0)
    array = array.astype(weight.dtype)
    return array if sharding is None else jax.lax.with_sharding_constraint(array, sharding)


def initialize(
    table: Mapping[str, Weight], key: jax.Array, shardings: Mapping[str, jax.sharding.Sharding | None]
) -> dict[str, jax.Array]:
    """Random arrays for a description; each depends on its path and the key only, not on the mesh."""
    return {path: _initial(_fold_text(key, path), weight, shardings[path]) for path, weight in table.items()}


def _fold_text(key: jax.Array, text: str) -> jax.Array:
    for start in range(0, len(text), 3):  # three bytes at a time fit fold_in's 32 bits
        key = jax.random.fold_in(key, int.from_bytes(text[start : start + 3].encode(), "big"))
    return key
