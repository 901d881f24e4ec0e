"""What a law says to choose, before it is put into words: the model for a cost, and where it settles."""

from collections.abc import Sequence

import numpy as np

from kinetics_jax.scaling.law.measures import NAMES
from kinetics_jax.scaling.law.result_parts import Band
from kinetics_jax.scaling.law.results import Law


def main_bands(bands: Sequence[Band]) -> list[Band]:
    """Bands wider than a few percent of the whole range; neighbours of one model are joined."""
    if not bands:
        return []
    whole = np.log(bands[-1].end / bands[0].start) or 1.0
    wide = [b for b in bands if np.log(b.end / b.start) >= 0.04 * whole] or [max(bands, key=_width)]
    joined = [wide[0]]
    for band in wide[1:]:
        last = joined[-1]
        if band.model == last.model:
            joined[-1] = Band(
                model=last.model,
                start=last.start,
                start_low=last.start_low,
                start_high=last.start_high,
                end=band.end,
                start_accuracy=last.start_accuracy,
                end_accuracy=band.end_accuracy,
                support=min(last.support, band.support),
            )
        else:
            joined.append(band)
    return joined


def _width(band: Band) -> float:
    return float(np.log(band.end / band.start))


def source_name(law: Law) -> str:
    """The source of a law without its folder and version."""
    return law.source.split("@")[0].split("/")[-1]


def seconds(value: float) -> str:
    """Chip-seconds for a person: two significant digits."""
    for least, unit, name in ((1e-2, 1.0, "chip-seconds"), (1e-4, 1e-3, "chip-ms")):
        if value >= least:
            return f"{value / unit:.2g} {name}"
    return f"{value * 1e6:.2g} chip-µs"


def cost_text(law: Law, cost: float) -> str:
    """A cost a question of a law, in its unit, for a person: two significant digits."""
    if law.measure == "dollars":
        return f"US$ {cost:.2g}" if cost >= 1e-4 else f"{cost * 1e6:.2g} millionths of a US$"
    if law.measure == "latency":
        size = f"{float(f'{cost:.2g}'):,.6g} seconds" if cost >= 0.1 else f"{cost * 1e3:.2g} ms"
        return f"{size} of waiting"
    return seconds(cost / law.per_shown)


def priced_on(law: Law) -> str:
    """The chip of a law, and whose prices, where they are not those of eFLOPs."""
    return law.chip_label if law.measure == "eflops" else f"{law.chip_label}, {NAMES[law.prices]}"


def settled(law: Law) -> int:
    """First grid index from which accuracy stays within half a point of where it ends."""
    accuracy = law.best_frontier.accuracy
    away = np.flatnonzero(np.abs(accuracy - accuracy[-1]) > 0.005)
    return int(away[-1]) + 1 if away.size else 0


def cost_to_reach(law: Law, accuracy: float) -> float:
    """Least cost of the grid at which the frontier reaches an accuracy; inf where it never does."""
    reached = np.flatnonzero(law.best_frontier.accuracy >= accuracy)
    return float(law.costs[reached[0]]) if reached.size else float("inf")
