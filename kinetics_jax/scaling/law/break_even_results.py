"""From which context on sparse attention pays, as data: filled in by ``break_even``. Axis: B batches."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BreakEven:
    """One policy on one model and chip; calibrated prices."""

    chip: str
    chip_label: str
    model: str
    policy: str
    num_chips: int
    """Chips of a copy."""
    batch: Floats
    """Sequences decoded together, [B]."""
    context: Floats
    """Tokens from which on a step's attention is cheaper than dense; inf: never up to ``longest``, [B]."""
    most_context: Floats
    """Tokens that so many sequences can have, for they must fit in memory, [B]."""
    longest: int
    assumed: bool
    """Whether nobody measured the constants of search on this chip."""
