"""What needs no traces: Φ, KV trend, iso-cost contours, and what fits on which chip.

Axes: M models. Everything follows from shapes (``kinetics_jax.shapes``) and chips (``kinetics_jax.costs``).
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from kinetics_jax.costs import Chip, Requests, Serving, cheapest_deployment
from kinetics_jax.costs.deployment import cost_of
from kinetics_jax.costs.laws import (
    attention_over_weights,
    iso_eflops_length,
    iso_flops_length,
    length_where_attention_is,
)
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense
from kinetics_jax.scaling.law.shape_results import Capacity, ShapeResults
from kinetics_jax.scaling.statistics.fits import fit_power_law
from kinetics_jax.scaling.statistics.intervals import Estimate
from kinetics_jax.shapes import ModelConfig, presets

QWEN3 = tuple(presets[f"qwen3-{size}"] for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b"))
QWEN25 = tuple(presets[f"qwen2.5-{size}"] for size in ("0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b"))

CONTEXT, PROMPT = 32_768, 256
_STUDIED = re.compile(r"qwen3-\d|qwen2\.5-|qwq-|r1-distill-qwen-")
"""The paper's families. Presets that prices are held against (Llama, Qwen3-Coder …) are not of its study."""
_SHIPPED = tuple(m for name, m in presets.items() if _STUDIED.match(name) and m.max_context >= CONTEXT)
PHI_LENGTHS = np.geomspace(64, 131_072, 45)
ISO_FLOPS = (1e13, 1e14, 5e14, 1e15)
ISO_EFLOPS = (5e14, 5e15, 1e16, 2e16, 3e16)
SPARSE = BlockTopK(block_size=16, top_blocks=64)
"""The block top-k of budget 1,024 that capacity tables price."""


def shape_results(chips: Sequence[Chip], models: Sequence[ModelConfig] = QWEN3) -> ShapeResults:
    """All figures for ``models``; Φ and contours for the first chip's paper intensity."""
    intensity = chips[0].paper_intensity
    sizes = np.array([model.paper_params / 1e9 for model in QWEN3])
    gib = np.array([model.kv_bytes_per_token() * CONTEXT / 2**30 for model in QWEN3])
    fit = fit_power_law(sizes, gib)
    return ShapeResults(
        intensity=intensity,
        chip=chips[0].name,
        models=tuple(models),
        phi_lengths=PHI_LENGTHS,
        phi=np.array([attention_over_weights(m, PHI_LENGTHS, intensity=intensity) for m in models]),
        overtakes=_lengths(1.0, models, intensity),
        tenfold=_lengths(10.0, models, intensity),
        kv_gib_per_32k=np.array([m.kv_bytes_per_token() * CONTEXT / 2**30 for m in models]),
        kv_trend={**_trend("Qwen3", QWEN3), **_trend("Qwen2.5", QWEN25)},
        kv_fit=(fit.a, fit.b),
        iso_flops={f: np.array([iso_flops_length(m, f) for m in models]) for f in ISO_FLOPS},
        iso_eflops={
            e: np.array([iso_eflops_length(m, e, intensity=intensity, attention_only=True) for m in models])
            for e in ISO_EFLOPS
        },
        capacity=tuple(_capacity(chip, model) for chip in chips for model in _SHIPPED),
    )


def _lengths(times: float, models: Sequence[ModelConfig], intensity: float) -> np.ndarray:
    return np.array([length_where_attention_is(times, m, intensity=intensity) for m in models])


def _trend(family: str, models: Sequence[ModelConfig]) -> dict[str, Estimate]:
    """How KV size grows per doubling of the paper's P, by the paper's fit and by log–log."""
    sizes = np.array([model.paper_params for model in models]) / 1e9
    kv = np.array([model.kv_elements_per_token for model in models], float)
    unit = "× KV bytes per doubling of parameters"
    linear, log = fit_power_law(sizes, kv), fit_power_law(sizes, kv, space="log")
    return {
        f"{family}, linear": Estimate(value=linear.per_doubling, unit=unit, note="the paper's fit"),
        f"{family}, log": Estimate(value=log.per_doubling, unit=unit, note="log–log regression"),
    }


def _capacity(chip: Chip, model: ModelConfig) -> Capacity:
    """One row: the cheapest copy for a dense and a sparse sample of ``CONTEXT``, its batch, their prices."""
    serving = Serving()
    row = Capacity(
        chip=chip.name,
        model=model.name,
        num_chips=0,
        batch=0,
        context=CONTEXT,
        weight_gib=model.total_params * serving.weight_bytes / 2**30,
        kv_gib_per_sequence=model.kv_bytes_per_token(serving.kv_bytes) * CONTEXT / 2**30,
        dense_seconds=float("nan"),
        sparse_seconds=float("nan"),
    )
    asked = [Requests(policy, PROMPT, CONTEXT - PROMPT) for policy in (Dense(), SPARSE)]
    try:
        found = cheapest_deployment(model, asked, chip)
    except InputError:  # num_chips = 0 is the table's own way to say that it does not fit
        return row
    dense, sparse = (float(cost_of(model, one, chip, found.serving).seconds) for one in asked)
    return dataclasses.replace(
        row,
        num_chips=found.num_chips,
        batch=int(found.least_batch),
        dense_seconds=dense,
        sparse_seconds=sparse,
    )


def shape_answers(shapes: ShapeResults) -> tuple[str, ...]:
    """What shapes alone say, in words: where attention overtakes, how KV grows, what sparsity saves."""
    small, large = int(np.argmax(shapes.phi[:, -1])), int(np.argmin(shapes.phi[:, -1]))
    linear, log = (shapes.kv_trend[f"Qwen3, {space}"].value for space in ("linear", "log"))
    said = [
        f"With the paper's I = {shapes.intensity:.4g} FLOP/byte ({shapes.chip}), attention costs as "
        f"much as the weights after {shapes.overtakes[small]:,.0f} generated tokens "
        f"({shapes.models[small].name}) to {shapes.overtakes[large]:,.0f} "
        f"({shapes.models[large].name}); KV per token grows {linear:.2f}× per doubling of parameters by "
        f"the paper's fit, {log:.2f}× by log–log."
    ]
    for chip in dict.fromkeys(row.chip for row in shapes.capacity):
        rows = [row for row in shapes.capacity if row.chip == chip and row.num_chips]
        if rows:
            gains = {row.model: row.dense_seconds / row.sparse_seconds for row in rows}
            most, least = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
            said.append(
                f"On {chip}, block top-k of budget 1,024 would cut a {rows[0].context:,}-token sample's "
                f"modelled cost {gains[most]:.1f}× ({most}) to {gains[least]:.1f}× ({least}), weight "
                "reads at the batch that fits the cheapest copy included."
            )
    return tuple(said)
