"""Does a decode step fit a TPU slice? The real TPU compiler's answer, on a machine without TPUs.

Weights, cache and tokens are abstract: nothing is allocated. Needs ``libtpu`` (the ``aot`` extra). No time is
measured or claimed: bytes and collectives are what the compiled program holds.
"""

import dataclasses
import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kinetics_jax.attention import ContiguousCache
from kinetics_jax.chips import compiler_options
from kinetics_jax.errors import InputError, KineticsError
from kinetics_jax.models.steps import decode_step
from kinetics_jax.models.transformer import Transformer
from kinetics_jax.models.weights import Quantization
from kinetics_jax.shapes import ModelConfig
from pallas_kernels.analysis import slice_devices

_COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(?:-start)?\("
)
_ARRAY = re.compile(r"\b(bf16|f16|f32|s32|u32|s8|pred)\[([\d,]*)\]")
_ITEM_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4, "s8": 1, "pred": 1}
_OVERFLOW = re.compile(  # the compiler has two ways to put it
    r"(?:Used|temporaries \()\s*([\d.]+)([KMG])\)?\s*(?:of|exceeds available HBM \()\s*([\d.]+)([KMG])",
    re.IGNORECASE,
)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """A TPU slice and how its devices are arranged."""

    topology: str
    """Such as ``v5e:2x4``."""
    model: int = 1
    """Tensor-parallel devices."""
    expert: int = 1
    """Devices that share the experts; the rest are data parallel."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What the compiler said of one decode step. Bytes are per device."""

    fits: bool
    needed: float
    """HBM bytes: arguments, temporaries and outputs that are not donated arguments."""
    available: float | None
    """HBM bytes that the compiler may use; it says so only where the program does not fit."""
    arguments: int = 0
    """Weights, cache and tokens."""
    temporary: int = 0
    collectives: tuple[tuple[str, int], ...] = ()
    """(operation, count) in the program; a layer's are counted once."""
    collective_bytes: int = 0
    """Bytes that one step's collectives put out, a layer's counted once per layer."""


def make_mesh(placement: Placement) -> Mesh:
    """A mesh (data, model, expert) over all devices of the slice."""
    devices = np.asarray(slice_devices(placement.topology))
    rest, odd = divmod(devices.size, placement.model * placement.expert)
    if odd:
        raise InputError(
            f"{placement.topology} has {devices.size} devices; model={placement.model} × "
            f"expert={placement.expert} does not divide them"
        )
    shape = (rest, placement.expert, placement.model)
    return Mesh(devices.reshape(shape), ("data", "expert", "model"))


def compile_decode(
    config: ModelConfig,
    placement: Placement,
    *,
    batch: int,
    capacity: int,
    quantize: Quantization | None = None,
) -> Fit:
    """Compile one decode step (BF16, ``batch`` sequences with room for ``capacity`` tokens each).

    With ``compiler_options`` of the devices, as a run there should be.
    """
    mesh = make_mesh(placement)
    model = Transformer.abstract(config, mesh=mesh, quantize=quantize)
    sharding = model.cache_sharding(batch)
    cache = ContiguousCache.describe(config, batch, capacity, sharding=sharding)
    rows = NamedSharding(mesh, PartitionSpec(model.layout.batch_split(batch) or None))
    tokens = jax.ShapeDtypeStruct((batch,), jnp.int32, sharding=rows)
    lowered = jax.jit(decode_step, donate_argnums=1).lower(model, cache, tokens)
    try:
        compiled = lowered.compile(compiler_options=compiler_options(mesh.devices.flat[0].device_kind))
    except jax.errors.JaxRuntimeError as error:
        overflow = _OVERFLOW.search(str(error))
        if overflow is None:
            raise
        used, used_unit, limit, limit_unit = overflow.groups()
        return Fit(
            fits=False,
            needed=float(used) * _UNITS[used_unit.upper()],
            available=float(limit) * _UNITS[limit_unit.upper()],
        )
    return _read(compiled, config.num_layers)


def _read(compiled: jax.stages.Compiled, layers: int) -> Fit:
    memory, program = compiled.memory_analysis(), compiled.as_text()
    if memory is None or program is None:
        raise KineticsError("this libtpu reports no memory analysis; use 0.0.42 or newer")
    kept = memory.output_size_in_bytes - memory.alias_size_in_bytes
    counts, size = _collectives(program, layers)
    return Fit(
        fits=True,
        needed=memory.argument_size_in_bytes + memory.temp_size_in_bytes + kept,
        available=None,
        arguments=memory.argument_size_in_bytes,
        temporary=memory.temp_size_in_bytes,
        collectives=tuple(sorted(counts.items())),
        collective_bytes=size,
    )


def _collectives(program: str, layers: int) -> tuple[Counter[str], int]:
    """Collectives in a program's text, and bytes per step; those in a loop body run once per layer."""
    counts: Counter[str] = Counter()
    total = 0
    for computation in re.split(r"\n(?=(?:ENTRY )?%)", program):
        repeats = 1 if computation.startswith("ENTRY") else layers
        for shapes, operation in _COLLECTIVE.findall(computation):
            counts[operation] += 1
            sizes = [
                _ITEM_BYTES[kind] * int(np.prod([int(n) for n in dims.split(",") if n]))
                for kind, dims in _ARRAY.findall(shapes)
            ]
            total += repeats * (max(sizes) if sizes else 0)
    return counts, total
