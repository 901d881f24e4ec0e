"""What a price is: FLOPs and bytes by named term, and how they turn into eFLOPs, seconds and dollars."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kinetics_jax.chips.chip import Chip
from kinetics_jax.errors import InputError

OVERLAPS = ("sum", "max", "roofline")


@dataclasses.dataclass(frozen=True)
class Term:
    """One part of a cost, summed over all chips that share the work. Numbers or arrays."""

    flops: np.ndarray | float = 0.0
    """Floating point operations, 2 per multiply-add."""
    bytes: np.ndarray | float = 0.0
    """Bytes read from and written to HBM."""
    wire_bytes: np.ndarray | float = 0.0
    """Bytes sent over the scale-up interconnect."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """The price of one request (or of an array of them) on one kind of chip.

    ``terms`` maps each part's name to its ``Term``; all other figures are computed from it.
    """

    terms: Mapping[str, Term]
    chip: Chip
    mode: str
    overlap: str
    peak_flops: float
    """FLOP/s of one chip that eFLOPs are counted against."""
    intensity: float
    """I: FLOP that stand for one byte (peak over HBM bandwidth)."""
    batch: np.ndarray | float | None = None
    """Sequences decoded together, over which weight reads are shared; None where they are dropped."""
    num_chips: int = 1
    """Chips that hold one copy of the model."""

    def __post_init__(self) -> None:
        if self.overlap not in OVERLAPS:
            raise InputError(f"overlap={self.overlap!r} must be one of {', '.join(OVERLAPS)}")

    @property
    def compute_flops(self) -> np.ndarray:
        """C_comp in FLOP."""
        return self._total("flops")

    @property
    def memory_bytes(self) -> np.ndarray:
        """C_mem in byte (HBM)."""
        return self._total("bytes")

    @property
    def wire_bytes(self) -> np.ndarray:
        """Interconnect traffic in byte."""
        return self._total("wire_bytes")

    @property
    def eflops(self) -> np.ndarray:
        """Equivalent FLOPs (paper eq. 3) under the overlap model.

        ``sum``: C_comp + I·C_mem, nothing overlaps (the paper). ``max``: the larger of the two over
        the whole request (App. A.1). ``roofline``: the larger of the two within each term, summed.
        Interconnect bytes weigh peak ÷ link bandwidth and are treated as a third resource.
        """
        if self.overlap == "sum":
            return self._resources(self.compute_flops, self.memory_bytes, self.wire_bytes).sum(0)
        if self.overlap == "max":
            return self._resources(self.compute_flops, self.memory_bytes, self.wire_bytes).max(0)
        each = [self._resources(t.flops, t.bytes, t.wire_bytes).max(0) for t in self.terms.values()]
        return np.asarray(sum(np.broadcast_arrays(*each)))

    @property
    def seconds(self) -> np.ndarray:
        """Chip-seconds: how long one chip is busy with the request (eFLOPs ÷ its peak)."""
        return self.eflops / self.peak_flops

    @property
    def dollars(self) -> np.ndarray:
        """US dollars at the chip's price per hour; InputError where it has none on its ``price_basis``."""
        if self.chip.usd_per_hour is None:
            raise InputError(f"chip {self.chip.name} has {self.chip.no_price}")
        return self.seconds * (self.chip.usd_per_hour / 3600)

    def share(self, term: str) -> np.ndarray:
        """The part of the summed eFLOPs that one term is, in [0, 1]: what dominates."""
        part = self.terms[term]
        mine = self._resources(part.flops, part.bytes, part.wire_bytes).sum(0)
        whole = self._resources(self.compute_flops, self.memory_bytes, self.wire_bytes).sum(0)
        return np.divide(mine, whole, out=np.zeros_like(whole + mine), where=whole != 0)

    def _total(self, field: str) -> np.ndarray:
        parts = np.broadcast_arrays(*(getattr(term, field) for term in self.terms.values()))
        return np.asarray(sum(parts), float)

    def _resources(self, *amounts: np.ndarray | float) -> np.ndarray:
        """FLOP-equivalents of FLOPs, HBM bytes and wire bytes, stacked on a first axis."""
        weights = (1.0, self.intensity, self.peak_flops / self.chip.link_bandwidth)
        scaled = [weight * np.asarray(x, float) for weight, x in zip(weights, amounts, strict=True)]
        return np.stack(np.broadcast_arrays(*scaled))
