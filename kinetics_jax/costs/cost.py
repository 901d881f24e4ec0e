"""What a price is: FLOPs and bytes by named term, and how they turn into eFLOPs, seconds and dollars."""

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kinetics_jax.chips.chip import Chip
from kinetics_jax.chips.efficiency import ANY, ASSUMED, Efficiency
from kinetics_jax.costs.evidence import LEVEL, Calibration, calibration, stretched
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
    calls: np.ndarray | float = 0.0
    """Kernels launched on every chip, the request's part of its batch's; of calibrated prices only."""


class Timed(NamedTuple):
    """A part of a request on measured kernels: its time, and the constants that it comes from."""

    seconds: np.ndarray | float
    """Chip-seconds of the request; of one step on one chip where ``per_step``, by size of batch."""
    efficiency: Efficiency
    calls: np.ndarray | float = 0.0
    """Launches on every chip of the copy, of the request or of one step."""
    per_step: bool = False


class Steps(NamedTuple):
    """The decode steps of a request: what of them it is charged with."""

    number: np.ndarray
    """Steps, of each its part among the sequences of the batch."""
    num_chips: int
    size: np.ndarray | None
    """Where each element's batch stands among the sizes that steps were timed for; None: there is but one."""

    def spread(self, seconds: np.ndarray | float) -> np.ndarray:
        """Chip-seconds of the request from those of one step on one chip, by size of batch."""
        timed = np.asarray(seconds) * self.num_chips
        each = timed if self.size is None or not timed.ndim else timed[self.size]
        return each * self.number


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

    @property
    def calibration(self) -> Calibration:
        """What stands behind ``seconds`` and ``dollars``: how far this mode was off public deployments."""
        mode = self.mode if self.overlap == "sum" else f"{self.mode}_{self.overlap}"
        return calibration(mode, self.chip.name)

    @property
    def error(self) -> float:
        """Mean of |predicted ÷ measured − 1| of time per token on public deployments; NaN: none compared."""
        return self.calibration.error

    def interval(self, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Seconds that the request takes with this probability, as this mode was off so far.

        Raises ``InputError`` for a mode that was held against nothing, or a level outside (0, 1).
        """
        known = self.calibration
        if not known.rows:
            raise InputError(f"mode={self.mode!r}, overlap={self.overlap!r} was held against no deployment")
        low, high = stretched(known.low, known.high, level)
        return self.seconds * low, self.seconds * high

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibratedCost(Cost):
    """A price whose seconds and dollars are of kernels as they were measured. eFLOPs stay the ideal ones."""

    times: Mapping[str, tuple[Timed, ...]]
    """Term → its time, with the constants of each part."""
    steps: Steps

    @property
    def seconds(self) -> np.ndarray:
        """Chip-seconds on kernels as they were measured, floors included (``costs.calibrated``)."""
        return self._timed([(part, 1.0) for parts in self.times.values() for part in parts])

    def seconds_of(self, term: str) -> np.ndarray:
        """Chip-seconds of one term."""
        return self._timed([(part, 1.0) for part in self.times[term]])

    def seconds_of_part(self, part: Timed) -> np.ndarray:
        """Chip-seconds of one of ``times``."""
        return self._timed([(part, 1.0)])

    @property
    def calibration(self) -> Calibration:
        """How far calibrated prices were off, and which of this one's kernels nobody measured."""
        if whole := self.chip.efficiency.get("end_to_end", {}).get(ANY):
            figures = {name: getattr(whole, name) for name in ("rows", "error", "low", "high", "source")}
            return Calibration(bias=float("nan"), **figures)
        there = [one.efficiency for parts in self.times.values() for one in parts if np.any(one.seconds)]
        reached = {op: self.chip.reached(op, ANY) for op in ASSUMED}
        assumed = [op for op, eff in reached.items() if eff.basis == "assumed" and eff in there]
        return calibration(self.mode, self.chip.name, tuple(assumed))

    def interval(self, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Seconds that the request takes with this probability, by how far each kernel was off.

        All kernels are taken to be off together, since a framework that is slow at one is slow at others.
        Raises ``InputError`` for a level outside (0, 1).
        """
        every = [part for parts in self.times.values() for part in parts]
        factors = [stretched(part.efficiency.low, part.efficiency.high, level) for part in every]
        low, high = (
            self._timed([(part, both[side]) for part, both in zip(every, factors, strict=True)])
            for side in (0, 1)
        )
        return low, high

    def _timed(self, parts: Sequence[tuple[Timed, float]]) -> np.ndarray:
        """Chip-seconds of parts, each times a factor; steps are added up before they are spread."""
        once = [p.seconds if by == 1 else p.seconds * by for p, by in parts if not p.per_step]
        steps = [part.seconds * factor for part, factor in parts if part.per_step]
        if steps:
            once.append(self.steps.spread(functools.reduce(operator.add, steps)))
        # Small arrays first, so that few sums are of many elements.
        return np.asarray(functools.reduce(operator.add, sorted(once, key=np.size)), float)
