"""What stands behind seconds and dollars, in one line: every report, summary and plan says it this way."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kinetics_jax.costs.cost import CalibratedCost, Cost
from kinetics_jax.costs.evidence import Calibration

NO_FLOORS = "kernels have no floors there, so sparse attention looks cheaper than it is"
_SEARCH = "sparse attention's search"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriceEvidence:
    """How far prices of one kind on one chip were off, and what of them nobody measured."""

    mode: str
    """Of ``price``."""
    overlap: str
    chip: str
    """Its name."""
    calibration: Calibration
    sparse: bool
    """Whether launches of sparse attention are among what was priced."""

    @property
    def sentence(self) -> str:
        """One sentence without a full stop at its end."""
        return f"{self._named}: {self.calibration.sentence}{self._doubt}"

    @property
    def _named(self) -> str:
        if self.mode == "calibrated":
            return f"Calibrated prices on {self.chip}"
        how = "" if self.overlap == "sum" else f", overlap {self.overlap}"
        return f"Data-sheet prices on {self.chip} (mode {self.mode}{how})"

    @property
    def _doubt(self) -> str:
        if self.mode != "calibrated":
            return f"; {NO_FLOORS}"
        known = sorted(self.calibration.assumed, key=lambda term: (term == "search", term))
        names = [_SEARCH if term == "search" else term for term in known]
        said = f"; assumed, not measured: constants of {', '.join(names)}" if names else ""
        return f"{said}; measured: {_SEARCH}" if self.sparse and "search" not in known else said

    def to_data(self) -> dict[str, Any]:
        """As data for JSON; shares, not per cent."""
        return {
            "mode": self.mode,
            "overlap": self.overlap,
            "chip": self.chip,
            **dataclasses.asdict(self.calibration),
            "sparse": self.sparse,
            "sentence": self.sentence,
        }


def price_evidence(costs: Sequence[Cost]) -> PriceEvidence:
    """Of prices of one mode and chip: what any of them assumes is assumed."""
    first = costs[0]
    known = [cost.calibration for cost in costs]
    assumed = tuple(dict.fromkeys(term for one in known for term in one.assumed))
    return PriceEvidence(
        mode=first.mode,
        overlap=first.overlap,
        chip=first.chip.name,
        calibration=dataclasses.replace(known[0], assumed=assumed),
        sparse=any(_searches(cost) for cost in costs),
    )


def _searches(cost: Cost) -> bool:
    if isinstance(cost, CalibratedCost):
        return any(np.any(part.seconds) for part in cost.times.get("search", ()))
    return "search" in cost.terms and bool(np.any(cost.terms["search"].bytes))


def merged(found: Iterable[PriceEvidence]) -> tuple[PriceEvidence, ...]:
    """One for each mode, overlap and chip, in the order in which they are first seen."""
    alike: dict[tuple[str, str, str], list[PriceEvidence]] = {}
    for one in found:
        alike.setdefault((one.mode, one.overlap, one.chip), []).append(one)
    return tuple(
        dataclasses.replace(
            group[0],
            sparse=any(one.sparse for one in group),
            calibration=dataclasses.replace(
                group[0].calibration,
                assumed=tuple(dict.fromkeys(term for one in group for term in one.calibration.assumed)),
            ),
        )
        for group in alike.values()
    )
