"""What a law's costs are counted in, and by which prices: eFLOPs, chip-seconds, dollars, or waiting.

eFLOPs are ideal by definition: they are work, weighed by the data sheet. Seconds are of the data sheet or of
kernels as measured; the two are never on one axis.
"""

import dataclasses
from typing import Any

import numpy as np

from kinetics_jax.costs import Cost, latency
from kinetics_jax.scaling.law.result_parts import TERA


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """A unit of cost a question."""

    name: str
    unit: str
    """Of ``Law.costs``."""
    column: str
    """Heading of a column of such costs, as a person reads them."""
    inside: float = 1.0
    """``unit`` in one of what studies and fits count in."""
    fitted: str
    """What fits call x."""


MEASURES = {
    one.name: one
    for one in (
        Measure(name="eflops", unit="eFLOPs", column="chip-seconds", inside=TERA, fitted="tera-eFLOPs"),
        Measure(name="seconds", unit="chip-seconds", column="chip-seconds", fitted="chip-seconds"),
        Measure(name="dollars", unit="US$", column="US$", fitted="US$"),
        Measure(
            name="latency",
            unit="seconds until all answers are there",
            column="seconds of waiting",
            fitted="seconds of waiting",
        ),
    )
}
PRICES = ("data_sheet", "calibrated", "both")
NAMES = {"data_sheet": "data-sheet prices", "calibrated": "calibrated prices"}
"""Kinds of prices for a person; a run of ``both`` finds a law under each."""
WAITING = (
    "latency: seconds until all N answers are there, the longest of them, in a full batch of samples alike "
    "and without a queue; the deployment is not the fastest but the one that the rule of deployments says"
)
"""What stands beside a law of waiting."""


def amount(cost: Cost, measure: Measure, peak: float, trials: Any) -> np.ndarray:
    """A price in ``measure``'s own count.

    Args:
      cost: of N samples; for latency, of one sample each.
      measure: what to count in.
      peak: FLOP/s that the law's eFLOPs are counted against; other dtypes have peaks of their own.
      trials: N, for latency.

    Raises ``InputError`` for dollars of a chip without a price.
    """
    if measure.name == "seconds":
        return cost.seconds
    if measure.name == "dollars":
        return cost.dollars
    if measure.name == "latency":
        return latency(cost, trials)
    return cost.eflops / TERA if cost.peak_flops == peak else cost.seconds * (peak / TERA)
