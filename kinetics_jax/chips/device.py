"""What a compiler must be told of a chip that is not here: one JAX device of it, its slices and its options.

Figures stand in the ``[chip.device]`` tables of chips.toml. None of it is used to price anything.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cuda:
    """What XLA's target description of a GPU adds, as the driver of a real one reports it."""

    capability: tuple[int, int]
    """CUDA compute capability (major, minor)."""
    cores: int
    """Streaming multiprocessors."""
    l2_bytes: int
    shared_bytes: int
    """Shared memory of a multiprocessor; a block may take all but 1 KiB."""
    bandwidth: float
    """Bytes/s by the driver's memory clock and bus width; it differs from the data sheet's round figure."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """One JAX device of a chip: the chip, but half of a v4 and of a TPU7x."""

    name: str
    """What callers and libtpu call it, such as ``"v5e"`` or ``"h100"``."""
    kind: str
    """``jax.Device.device_kind``."""
    per_chip: int = 1
    """Devices of one chip."""
    flops: float
    """Dense bf16 FLOP/s of the data sheet, of one device."""
    hbm_bandwidth: float
    """HBM bytes/s of the data sheet, of one device."""
    hbm_bytes: float
    """HBM of one device that a program may have: in libtpu's words, or a GPU driver's."""
    clock: float
    """Cycles/s. A TPU's is its peak over the FLOP per cycle of its matrix units, so indicative only."""
    slices: tuple[str, ...] = ()
    """libtpu's names of the slices that it knows, smallest first, such as ``"2x4"``: chips on each axis."""
    cycle_model: bool = True
    """Whether libtpu's static profile knows the latencies of its copies."""
    compiler_options: Mapping[str, bool | str] = dataclasses.field(default_factory=dict)
    """``compiler_options`` of ``jax.jit`` for decode steps there."""
    cuda: Cuda | None = None

    @property
    def platform(self) -> Literal["tpu", "cuda"]:
        """The platform as JAX calls it."""
        return "cuda" if self.cuda else "tpu"

    @property
    def topologies(self) -> tuple[str, ...]:
        """Its slices as libtpu's whole names, smallest first: ``"v5e:2x4"``."""
        return tuple(f"{self.name}:{shape}" for shape in self.slices)

    def devices(self, shape: str) -> int:
        """JAX devices of a slice: ``"2x2x1"`` has 8 on a v4."""
        return self.per_chip * math.prod(map(int, shape.split("x")))

    @classmethod
    def from_table(cls, chip: str, table: Mapping[str, Any], flops: float, hbm_bandwidth: float) -> "Device":
        """The device of a ``[chip.device]`` table; ``flops`` and ``hbm_bandwidth`` are the whole chip's.

        Raises KeyError, TypeError or ValueError where the table lacks a figure, has one of another type, or
        one that is not known.
        """
        rest = dict(table)
        per_chip = int(rest.pop("per_chip", 1))
        cuda = rest.pop("cuda", None)
        return cls(
            name=str(rest.pop("libtpu", chip)),
            per_chip=per_chip,
            flops=flops / per_chip,
            hbm_bandwidth=hbm_bandwidth / per_chip,
            hbm_bytes=int(float(rest.pop("hbm_gib")) * 2**30),
            clock=float(rest.pop("clock_ghz")) * 1e9,
            slices=tuple(rest.pop("slices", ())),
            cuda=_cuda(cuda) if cuda else None,
            **rest,
        )


def _cuda(table: Mapping[str, Any]) -> Cuda:
    major, minor = table["capability"]
    return Cuda(
        capability=(major, minor),
        cores=table["cores"],
        l2_bytes=table["l2_mib"] * 2**20,
        shared_bytes=table["shared_kib"] * 2**10,
        bandwidth=table["driver_gbps"] * 1e9,
    )
