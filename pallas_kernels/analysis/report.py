"""What a chip's compiler says of a program, and the roofline that follows. Nothing in it is measured."""

import dataclasses
from typing import Any

from kinetics_jax.chips import devices


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kernel:
    """One compiled GPU kernel, as ptxas reports it.

    Attributes:
        name: entry point.
        mosaic: whether it is a kernel of this package (Mosaic GPU), not one that XLA made.
        registers: per thread.
        spill_bytes: bytes per thread stored to and loaded from local memory; should be 0.
        shared_bytes: shared memory of a block, static and dynamic.
        blocks: blocks of the grid.
        threads: threads of a block.

    """

    name: str
    registers: int
    spill_bytes: int
    shared_bytes: int
    mosaic: bool = True
    blocks: int | None = None
    threads: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The compiler's account of one program on one device of ``chip``.

    Attributes:
        chip: name in `kinetics_jax.chips.devices`.
        compiler: which compiler and version spoke.
        flops: FLOP; for a Pallas kernel what its cost estimate says; a loop's body counts once.
        bytes_accessed: HBM bytes, with the same two caveats. None where the compiler keeps silent (GPU).
        argument_bytes, output_bytes, alias_bytes, temp_bytes: HBM of a device; ``alias`` is output that
            reuses arguments, and ``temp`` is the detector of copies.
        collectives: how often each occurs in the compiled text.
        cycles: the TPU compiler's static estimate of issue cycles by kernel or fusion, trip counts included.
            Waiting for HBM is not in it.
        cycles_whole: whether ``cycles`` covers every part of the program.
        cycles_note: why ``cycles`` is not whole, or what had to be switched off for it, in the compiler's
            words.
        kernels: what ptxas says of each GPU kernel, XLA's own included.

    """

    chip: str
    compiler: str = ""
    flops: float | None = None
    bytes_accessed: float | None = None
    argument_bytes: int = 0
    output_bytes: int = 0
    alias_bytes: int = 0
    temp_bytes: int = 0
    collectives: dict[str, int] = dataclasses.field(default_factory=dict)
    cycles: dict[str, int] = dataclasses.field(default_factory=dict)
    cycles_whole: bool = False
    cycles_note: str = ""
    kernels: tuple[Kernel, ...] = ()

    @property
    def hbm_bytes(self) -> int:
        """HBM that the program holds on one device: arguments, temporaries and outputs that alias none."""
        return self.argument_bytes + self.temp_bytes + self.output_bytes - self.alias_bytes

    @property
    def total_cycles(self) -> int | None:
        """Issue cycles of all parts (compiler estimate), or None where the compiler left some out."""
        return sum(self.cycles.values()) if self.cycles_whole else None

    @property
    def issue_seconds(self) -> float | None:
        """`total_cycles` at the chip's indicative clock (compiler estimate)."""
        cycles = self.total_cycles
        return None if cycles is None else cycles / devices()[self.chip].clock

    @property
    def memory_seconds(self) -> float | None:
        """``bytes_accessed`` at the data sheet's HBM bandwidth (modelled)."""
        if self.bytes_accessed is None:
            return None
        return self.bytes_accessed / devices()[self.chip].hbm_bandwidth

    @property
    def roofline_seconds(self) -> float | None:
        """The larger of bytes at HBM bandwidth and FLOP at peak (modelled)."""
        if self.memory_seconds is None or self.flops is None:
            return None
        return max(self.memory_seconds, self.flops / devices()[self.chip].flops)

    @property
    def spill_bytes(self) -> int:
        """Spilled bytes per thread, all kernels."""
        return sum(kernel.spill_bytes for kernel in self.kernels)

    def to_json(self) -> dict[str, Any]:
        """Every field and derived figure, as JSON takes them."""
        derived = ("hbm_bytes", "total_cycles", "issue_seconds", "memory_seconds", "roofline_seconds")
        return dataclasses.asdict(self) | {name: getattr(self, name) for name in derived}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Report":
        """The report that `to_json` wrote; derived figures are computed anew."""
        names = {field.name for field in dataclasses.fields(cls)}
        kept = {name: value for name, value in fields.items() if name in names}
        kernels = tuple(Kernel(**kernel) for kernel in kept.pop("kernels", ()))
        return cls(**kept, kernels=kernels)
