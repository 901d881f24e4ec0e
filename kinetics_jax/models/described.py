"""A model as its arrays: how they are made, named, and laid on a mesh."""

from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from kinetics_jax.attention import CacheSharding
from kinetics_jax.models import weights
from kinetics_jax.models.layers import Embedding
from kinetics_jax.models.sharding import Layout, ShardingRules, lay_out
from kinetics_jax.shapes import ModelConfig

Array = jax.Array


class DescribedModel(nnx.Module):
    """A module made of the arrays that ``weights.describe`` lists, by path."""

    config: ModelConfig
    layout: Layout
    dtype: Any
    unrolled: bool
    """Whether its layers are apart and not stacked."""
    embed: Embedding

    def __init__(self, config: ModelConfig, arrays: Mapping[str, Any], layout: Layout | None = None) -> None:
        raise NotImplementedError

    @classmethod
    def init(
        cls,
        config: ModelConfig,
        key: Array,
        *,
        mesh: jax.sharding.Mesh | None = None,
        rules: ShardingRules | None = None,
        dtype: jax.typing.DTypeLike = jnp.bfloat16,
        unroll: bool = False,
    ) -> Self:
        """A model with random weights (normal, standard deviation 0.02), made where they will live."""
        layout = lay_out(config, mesh, rules)
        table = weights.describe(config, dtype=dtype, unroll=unroll)
        return cls(config, weights.initialize(table, key, layout.shardings(table)), layout)

    @classmethod
    def abstract(
        cls,
        config: ModelConfig,
        *,
        mesh: jax.sharding.Mesh | None = None,
        rules: ShardingRules | None = None,
        dtype: jax.typing.DTypeLike = jnp.bfloat16,
        quantize: weights.Quantization | None = None,
        unroll: bool = False,
    ) -> Self:
        """A model of ``ShapeDtypeStruct``s: for ``eval_shape``, restoring and ahead-of-time compilation."""
        layout = lay_out(config, mesh, rules)
        table = weights.describe(config, dtype=dtype, quantize=quantize, unroll=unroll)
        places = layout.shardings(table)
        arrays = {
            path: jax.ShapeDtypeStruct(weight.shape, weight.dtype, sharding=places[path])
            for path, weight in table.items()
        }
        return cls(config, arrays, layout)

    def arrays(self) -> dict[str, Array]:
        """Every array by its path, as ``weights.describe`` names them."""
        leaves, _ = jax.tree_util.tree_flatten_with_path(self)
        return {_path(keys): array for keys, array in leaves}

    def on(self, mesh: jax.sharding.Mesh, rules: ShardingRules | None = None) -> Self:
        """This model laid on a mesh."""
        layout = lay_out(self.config, mesh, rules)
        table = weights.describe(
            self.config, dtype=self.dtype, quantize=self.quantization, unroll=self.unrolled
        )
        places = layout.shardings(table)
        arrays = {path: jax.device_put(a, places[path]) for path, a in self.arrays().items()}
        return type(self)(self.config, arrays, layout)

    def unroll(self) -> Self:
        """This model with its layers apart: on a CPU a scan copies each layer's weights at every step."""
        if self.unrolled:
            return self
        arrays: dict[str, Array] = {}
        for path, array in self.arrays().items():
            if path.startswith("layers."):
                rest = path.removeprefix("layers.")
                arrays |= {f"layers.{n}.{rest}": array[n] for n in range(self.config.num_layers)}
            else:
                arrays[path] = array
        return type(self)(self.config, arrays, self.layout)

    def gathered(self) -> Self:
        """The same model with every weight whole on each device of its mesh, and no work divided.

        Its logits are bit for bit those of one device, which those of a divided model are only nearly:
        other sums, and sums of other rows, are added in another order (docs/models.md).
        """
        if self.layout.mesh is None:
            return self
        whole = jax.NamedSharding(self.layout.mesh, jax.sharding.PartitionSpec())
        arrays = {path: jax.device_put(array, whole) for path, array in self.arrays().items()}
        return type(self)(self.config, arrays)

    @property
    def quantization(self) -> weights.Quantization | None:
        """How the weights are quantised, if they are."""
        return None if self.embed.scale is None else "int8"

    def cache_sharding(self, batch: int) -> CacheSharding | None:
        """How a cache for ``batch`` sequences lies on this model's mesh."""
        layout = self.layout
        if layout.mesh is None:
            return None
        batch_axes = layout.batch_split(batch)
        return CacheSharding(layout.mesh, batch_axes, layout.axes("heads"), layout.kv_copies)


def _path(keys: tuple) -> str:
    """A pytree path as ``describe`` spells it: without the ``value`` inside the last ``nnx.Param``."""
    names = [str(key.name if hasattr(key, "name") else key.idx) for key in keys[:-1]]
    return ".".join(names)
