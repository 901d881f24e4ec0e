"""Parts of a law's results, as data: cells, bands, the gain of sparse attention, claims. Axis: G costs."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.scaling.statistics.bands import Bands
from kinetics_jax.scaling.statistics.intervals import Estimate

Floats = NDArray[np.float64]
TERA = 1e12
"""eFLOPs of a tera-eFLOP, the unit that laws are fitted in, as the paper's are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellSummary:
    """One group of i.i.d. trials that went into a law."""

    source: str
    model: str
    policy: str
    variant: str
    max_tokens: int | None
    questions: int
    samples: int
    accuracy: float
    mean_tokens: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band:
    """A stretch of cost over which one model is the best choice."""

    model: str
    start: float
    """Cost in eFLOPs per question at which it takes over."""
    start_low: float = math.nan
    """Interval of the cost at which this model stays above the one before it; NaN for the first band."""
    start_high: float = math.nan
    """Infinity where it need not happen within these costs."""
    end: float
    """Cost at which the next one does, or the end of the grid."""
    start_accuracy: float
    end_accuracy: float
    support: float
    """Mean share of bootstrap resamples in which this model is chosen there, in [0, 1]."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SparseGain:
    """What sparse attention gives over dense at equal cost, both chosen by one rule."""

    flavour: str
    dense: Floats
    """Accuracy with dense configurations alone, [G]."""
    sparse: Floats
    """The same of sparse ones."""
    difference: Bands
    """Sparse less dense in [−1, 1] with its bounds; NaN where neither solves anything, [G]."""
    gain: Estimate
    """Points of accuracy, mean over the costs at which either solves something."""
    cheaper: Estimate
    """Dense's cost over sparse's for 95 % of the best that dense solves; 0: sparse never does."""


class Claim(NamedTuple):
    """One of the paper's claims, set against traces."""

    short: str
    """In a few words."""
    claim: str
    finding: str
    verdict: str
    """One of ``verdicts.Verdict``."""
