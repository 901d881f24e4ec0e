"""What shapes and chips alone say, as data: filled in by ``without_traces``. Axis: M models."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.scaling.statistics.intervals import Estimate
from kinetics_jax.shapes import ModelConfig

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capacity:
    """What the cheapest copy of a model for samples of ``context`` tokens needs and holds on one chip."""

    chip: str
    model: str
    num_chips: int
    """Chips per copy; 0 where it does not fit any scale-up domain."""
    batch: int
    """Sequences of ``context`` tokens whose KV fits beside the weights."""
    context: int
    weight_gib: float
    kv_gib_per_sequence: float
    dense_seconds: float
    """Chip-seconds of one dense sample of that context."""
    sparse_seconds: float
    """The same with block top-k of budget 1,024."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ShapeResults:
    """What follows from shapes and chips alone: no trace, no accuracy."""

    intensity: float
    """The paper's I, FLOP/byte, that Φ and the contours are drawn for."""
    chip: str
    """Chip that ``intensity`` is of."""
    models: tuple[ModelConfig, ...]
    phi_lengths: Floats
    """Generated tokens at which Φ is given, [n]."""
    phi: Floats
    """Attention's eFLOPs over the weights', [M, n]."""
    overtakes: Floats
    """Generated tokens at which attention equals the weights (Φ = 1), [M]."""
    tenfold: Floats
    """Generated tokens at which Φ = 10, [M]."""
    kv_gib_per_32k: Floats
    """KV cache of 32,768 BF16 tokens in GiB, [M]."""
    kv_trend: Mapping[str, Estimate]
    """Exponent and per-doubling factor of KV size against parameters, by fit space and family."""
    kv_fit: tuple[float, float]
    """(a, b) of KV GiB = a·(billion parameters)^b, dense Qwen3, least squares in linear space."""
    iso_flops: Mapping[float, Floats]
    """Constant FLOPs → tokens per model, [M]."""
    iso_eflops: Mapping[float, Floats]
    """Constant attention eFLOPs → tokens per model, [M] (Fig. 6c's closed form)."""
    capacity: tuple[Capacity, ...]
