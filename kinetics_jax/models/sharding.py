"""Where arrays live: logical dims → mesh axes, decided once per (model, mesh).

A mesh has up to three axes: ``data`` (sequences), ``model`` (tensor parallel: heads, ffn, vocabulary) and
``expert`` (experts; sequences too, so that attention is data parallel where experts are spread).
"""

import dataclasses
import math
import warnings
from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kinetics_jax.errors import InputError
from kinetics_jax.models.weights import Weight
from kinetics_jax.shapes import ModelConfig

MeshAxes = tuple[str, ...]


class ReplicatedWarning(UserWarning):
    """A dim that was to be sharded does not divide by its mesh axes, so every device holds it whole."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardingRules:
    """Logical dim → the mesh axes it is split over. Dims not named here are never split."""

    batch: MeshAxes = ("data", "expert")
    vocab: MeshAxes = ("model",)
    heads: MeshAxes = ("model",)
    kv_heads: MeshAxes = ("model",)
    ffn: MeshAxes = ("model",)
    experts: MeshAxes = ("expert",)
    expert_ffn: MeshAxes = ("model",)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The rules applied to one model on one mesh: hashable, so it may be a static argument."""

    mesh: Mesh | None = None
    split: tuple[tuple[str, MeshAxes], ...] = ()
    """Logical dim → mesh axes, for the dims that are really split."""
    batch_axes: MeshAxes = ()
    kv_copies: int = 1
    """Devices that share one KV head, where there are fewer of them than tensor-parallel devices."""

    def axes(self, dim: str) -> MeshAxes:
        """Mesh axes that a logical dim is split over (empty: replicated)."""
        return dict(self.split).get(dim, ())

    def ways(self, axes: MeshAxes) -> int:
        """Number of devices along ``axes``."""
        return math.prod(self.mesh.shape[axis] for axis in axes) if self.mesh else 1

    def spec(self, *dims: str | None, batch: int = 1) -> PartitionSpec:
        """The partition of an array with these logical dims; ``batch`` is the size of its batch dim."""
        entries = [self.batch_split(batch) if d == "batch" else self.axes(d or "") for d in dims]
        return PartitionSpec(*(entry or None for entry in entries))

    def batch_split(self, batch: int) -> MeshAxes:
        """The longest run of batch axes whose device count divides ``batch`` sequences."""
        for length in range(len(self.batch_axes), 0, -1):
            if batch % self.ways(self.batch_axes[:length]) == 0:
                return self.batch_axes[:length]
        return ()

    def sharding(self, *dims: str | None, batch: int = 1) -> NamedSharding | None:
        """As ``spec``, on the mesh; None without a mesh (one device)."""
        return NamedSharding(self.mesh, self.spec(*dims, batch=batch)) if self.mesh else None

    def constrain(self, array: jax.Array, *dims: str | None) -> jax.Array:
        """``array`` held to the layout of its logical dims; unchanged without a mesh."""
        batch = array.shape[dims.index("batch")] if "batch" in dims else 1
        sharding = self.sharding(*dims, batch=batch)
        return array if sharding is None else jax.lax.with_sharding_constraint(array, sharding)

    def lanes_here(self) -> set[int]:
        """Shares of the batch axes whose first device is this process's own: it hands out their samples."""
        if self.mesh is None:
            return {0}
        names = list(self.mesh.axis_names)
        batch = [names.index(axis) for axis in self.batch_axes]
        others = [number for number in range(len(names)) if number not in batch]
        lanes = self.ways(self.batch_axes)
        first = np.transpose(self.mesh.devices, (*batch, *others)).reshape(lanes, -1)[:, 0]
        return {lane for lane in range(lanes) if first[lane].process_index == jax.process_index()}

    def shardings(self, table: Mapping[str, Weight]) -> dict[str, NamedSharding | None]:
        """The sharding of every described weight."""
        return {path: self.sharding(*weight.axes) for path, weight in table.items()}


def lay_out(config: ModelConfig, mesh: Mesh | None, rules: ShardingRules | None = None) -> Layout:
    """The ``Layout`` of a model on a mesh (None: one device, nothing split).

    Where there are fewer KV heads than tensor-parallel devices, their weights are replicated and each
    device keeps the one head that its queries read (``kv_copies`` devices the same). Any other dim that
    its axes do not divide is replicated with a ``ReplicatedWarning``. Raises ``InputError`` for a
    mesh axis that no rule uses.
    """
    if mesh is None:
        return Layout()
    chosen = dataclasses.asdict(rules or ShardingRules())
    _check_axes(mesh, chosen)
    # Rebuilt because jax.make_mesh may give axes of the explicit type, which refuses propagation.
    mesh = Mesh(np.asarray(mesh.devices), mesh.axis_names)
    present = {dim: tuple(a for a in axes if mesh.shape.get(a, 1) > 1) for dim, axes in chosen.items()}
    split = {}
    for dim, size in _splittable(config).items():
        ways = math.prod(mesh.shape[axis] for axis in present[dim])
        if size % ways == 0:
            split[dim] = present[dim]
        elif dim != "kv_heads":
            _warn(config, dim, size, ways)
    copies = _settle_heads(config, mesh, split)
    used = tuple((dim, axes) for dim, axes in split.items() if axes)
    return Layout(mesh, used, present["batch"], copies)


def _splittable(config: ModelConfig) -> dict[str, int]:
    sizes = {"vocab": config.vocab_size, "heads": config.num_query_heads, "kv_heads": config.num_kv_heads}
    if config.moe:
        sizes |= {"experts": config.moe.num_experts, "expert_ffn": config.moe.expert_dim}
    return sizes | {"ffn": config.ffn_dim} if config.num_dense_ffn_layers else sizes


def _settle_heads(config: ModelConfig, mesh: Mesh, split: dict[str, MeshAxes]) -> int:
    """How many devices share a KV head. Query heads are replicated (and KV heads with them) where a
    device's share of them would straddle KV heads unevenly.
    """
    if "heads" in split:
        ways, K = math.prod(mesh.shape[axis] for axis in split["heads"]), config.num_kv_heads
        if K % ways == 0 or ways % K == 0:
            return max(1, ways // K)
        del split["heads"]
        _warn(config, "heads", config.num_query_heads, ways)
    split.pop("kv_heads", None)
    return 1


def _warn(config: ModelConfig, dim: str, size: int, ways: int) -> None:
    warnings.warn(
        f"{config.name}: {dim}={size} is replicated, it does not split over {ways} devices",
        ReplicatedWarning,
        stacklevel=4,
    )


def _check_axes(mesh: Mesh, rules: Mapping[str, MeshAxes]) -> None:
    known = {axis for axes in rules.values() for axis in axes}
    for axis, size in mesh.shape.items():
        if size > 1 and axis not in known:
            raise InputError(
                f"mesh axis {axis!r} is used by no sharding rule; rules use {', '.join(sorted(known))}"
            )
