"""TPU slices, how a model lies on one best, and the largest batch that the compiler lets through there.

Estimates only say where to look: what fits is what the compiler accepts.
"""

import dataclasses
import math
import warnings
from collections.abc import Iterator

import jax

from kinetics_jax.ahead_of_time.fit import Fit, Placement, compile_decode, make_mesh
from kinetics_jax.attention import ContiguousCache
from kinetics_jax.chips import devices
from kinetics_jax.errors import InputError
from kinetics_jax.models.sharding import ReplicatedWarning
from kinetics_jax.models.transformer import Transformer
from kinetics_jax.models.weights import Quantization
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.shapes.mesh import misfit
from pallas_kernels.analysis import slice_devices


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one placement holds, by the sizes of its arrays alone."""

    placement: Placement
    groups: int
    """Data-parallel groups (data × expert): a batch is a multiple of it."""
    weights: int
    """Bytes of weights per device."""
    per_group: int
    """Bytes of cache per device that one sequence in each group takes."""
    room: float
    """Bytes of HBM per device that the compiler may use."""

    @property
    def batch(self) -> int:
        """Sequences that would fit beside the weights."""
        return self.groups * max(0, int((self.room - self.weights) // self.per_group))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Largest:
    """The largest batch of a model on a slice, and the next one, which the compiler refused."""

    placement: Placement
    batch: int
    fit: Fit
    refused_batch: int
    refused: Fit


def largest_on_smallest(
    config: ModelConfig, chip: str, *, capacity: int, quantize: Quantization | None = None
) -> Largest:
    """The smallest slice of ``chip`` that one sequence of ``capacity`` tokens per group fits on.

    Slices are tried in order; on each the placement that should hold most is compiled. Raises
    ``InputError`` for an unknown chip, and where no slice is large enough.
    """
    known = {name: device.topologies for name, device in devices().items() if device.slices}
    if chip not in known:
        raise InputError(f"chip {chip!r} has no slices to try; known: {', '.join(known)}")
    for topology in known[chip]:
        best = best_placement(config, topology, capacity=capacity, quantize=quantize)
        if best.batch and (found := search(config, best, capacity, quantize)):
            return found
    raise InputError(f"{config.name} fits no {chip} slice up to {known[chip][-1]}")


def best_placement(
    config: ModelConfig, topology: str, *, capacity: int, quantize: Quantization | None = None
) -> Estimate:
    """The placement on a slice that should hold most sequences; the more tensor parallel of equals."""
    candidates = placements(config, topology)
    estimates = [estimate(config, place, capacity, quantize) for place in candidates]
    return max(estimates, key=lambda e: (e.batch, e.placement.model))


def placements(config: ModelConfig, topology: str) -> Iterator[Placement]:
    """Every way of sharing a slice between data, experts and tensor parallelism that heads divide over.

    A device's query heads read whole KV heads, or share one with other devices; nothing is replicated
    for want of a divisor, but for an odd vocabulary.
    """
    size = len(slice_devices(topology))
    for model in _powers_of_two(size):
        for expert in _powers_of_two(size // model):
            if not misfit(config, model=model, expert=expert):
                yield Placement(topology=topology, model=model, expert=expert)


def estimate(
    config: ModelConfig, placement: Placement, capacity: int, quantize: Quantization | None
) -> Estimate:
    """Sizes of the arrays that one device would hold, as the sharding rules lay them out."""
    mesh = make_mesh(placement)
    groups = mesh.devices.size // placement.model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplicatedWarning)  # the table says the mesh
        model = Transformer.abstract(config, mesh=mesh, quantize=quantize)
    sharding = model.cache_sharding(groups)
    cache = ContiguousCache.describe(config, groups, capacity, sharding=sharding)
    return Estimate(
        placement=placement,
        groups=groups,
        weights=sum(_device_bytes(array) for array in jax.tree.leaves(model)),
        per_group=sum(_device_bytes(array) for array in jax.tree.leaves(cache)),
        room=devices()[placement.topology.split(":")[0]].hbm_bytes,
    )


def search(
    config: ModelConfig, begin: Estimate, capacity: int, quantize: Quantization | None
) -> Largest | None:
    """Narrow in on the largest batch; None where not even one sequence per group fits.

    HBM is nearly linear in the batch, so each answer foretells the border; it is found when a batch
    fits and the next one is refused.
    """
    step, sequence = begin.groups, begin.per_group
    tried: dict[int, Fit] = {}
    batch = begin.batch
    while True:
        fit = compile_decode(config, begin.placement, batch=batch, capacity=capacity, quantize=quantize)
        tried[batch] = fit
        low = max((b for b, f in tried.items() if f.fits), default=0)
        high = min((b for b, f in tried.items() if not f.fits and b > low), default=None)
        if high is not None and high - low <= step:
            break
        room = fit.available or begin.room
        if not fit.fits:  # a cache that is padded takes more than its shape says
            sequence = max(sequence, int((fit.needed - begin.weights) / (batch / step)))
        batch += step * math.floor((room - fit.needed) / sequence)
        batch = max(batch, low + step)
        batch = min(batch, high - step) if high is not None else batch
    if low == 0:
        return None
    assert high is not None
    return Largest(
        placement=begin.placement, batch=low, fit=tried[low], refused_batch=high, refused=tried[high]
    )


def _powers_of_two(limit: int) -> list[int]:
    return [2**power for power in range(limit.bit_length())]


def _device_bytes(array: jax.ShapeDtypeStruct) -> int:
    shape = array.sharding.shard_shape(array.shape) if array.sharding else array.shape
    return math.prod(shape) * array.dtype.itemsize
