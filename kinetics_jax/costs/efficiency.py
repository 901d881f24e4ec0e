"""Seconds of one kernel call, from a chip's data sheet and what kernels were seen to reach of it.

Every form is a floor and work over a share of the data sheet's figure: the few that predicted public kernel
timings best (docs/calibration.md). Arrays broadcast. Symbols: m rows · n outputs · k inner dimension of a
matmul · r query heads a KV head.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinetics_jax.chips.chip import Chip, get_chip
from kinetics_jax.chips.dtypes import bytes_per_element, canonical
from kinetics_jax.chips.efficiency import ANY, Efficiency
from kinetics_jax.errors import InputError

HEAD_DIM = 128
"""H of every attention kernel that was measured."""
_CACHE_STEEPNESS = 4
_FORMATS = {"bfloat16": "bf16", "float16": "bf16", "fp8": "fp8", "int8": "fp8"}
_FORMATS |= dict.fromkeys(("fp4", "nvfp4", "mxfp4"), "fp8")
"""Compute format → the measured format whose shares it is taken to reach."""


def kernel_seconds(op: str, chip: Chip | str | Path, **shape: Any) -> np.ndarray:
    """Seconds of one call of a kernel, as a benchmark that calls it in a loop would see them.

    Args:
      op: ``gemm`` (m, n, k, dtype), ``moe`` (tokens, hidden, inter, topk, experts, tp=1, ep=1, dtype,
        balanced=True: up, gate and down of routed experts, router and combination included),
        ``decode_attention`` (q_heads, kv_heads, batch, context, kv_dtype: heads of one chip, one new token),
        ``prefill_attention`` (q_heads, kv_heads, batch, tokens, kv_dtype: causal) or
        ``all_reduce`` (gpus, bytes of the tensor).
      chip: a ``Chip``, a name of ``chips``, or a path to a chip file.
      **shape: as above; numbers or arrays that broadcast. ``dtype`` may also be ``fp8_block``: a linear
        layer of FP8 weights with one scale a block of 128 × 128, its quantisation of activations included.

    Raises:
      InputError: an op, shape or dtype that is not known, or a chip without constants for it.
    """
    if op not in _KERNELS:
        raise InputError(f"op={op!r} must be one of {', '.join(_KERNELS)}")
    try:
        return np.asarray(_KERNELS[op](get_chip(chip), **shape))
    except TypeError as error:
        raise InputError(f"kernel_seconds({op!r}): {str(error).partition(') ')[2] or error}") from None


def kernel_efficiency(op: str, chip: Chip | str | Path, dtype: str = "bfloat16") -> Efficiency:
    """The constants behind ``kernel_seconds``, with their evidence: rows, error, and range."""
    return get_chip(chip).reached(op, ANY if op == "all_reduce" else measured_format(dtype))


def measured_format(dtype: str) -> str:
    """``bf16``, ``fp8`` or ``fp8_block``: the measured format that stands for kernels of this dtype."""
    if dtype == "fp8_block":
        return dtype
    name = canonical(dtype)
    if name not in _FORMATS:
        raise InputError(f"dtype={dtype!r}: no kernel of it was measured; there are {', '.join(_FORMATS)}")
    return _FORMATS[name]


def operand_bytes(dtype: str) -> float:
    """Bytes of one element of a kernel's operand."""
    return 1.0 if dtype == "fp8_block" else bytes_per_element(dtype)


def peak(chip: Chip, dtype: str) -> float:
    """FLOP/s of the data sheet for operands of this dtype."""
    return chip.peak("fp8" if dtype == "fp8_block" else dtype)


def seconds_per_byte(chip: Chip, eff: Efficiency, working_set: Any = math.inf) -> np.ndarray:
    """Of HBM reads in a loop over ``working_set`` bytes, which may stay in the last-level cache.

    A step of a whole model reads more than any cache holds between two calls: infinity.
    """
    cold = 1 / eff.bandwidth
    if not eff.cached or not chip.l2_bytes:
        return np.asarray(cold / chip.hbm_bandwidth)
    full = np.asarray(working_set, float) / (eff.cached_span * chip.l2_bytes)
    warm = 1 / (1 + full**_CACHE_STEEPNESS)
    return (warm / eff.cached + (1 - warm) * cold) / chip.hbm_bandwidth


def gemm(
    chip: Chip, m: Any, n: Any, k: Any, dtype: str = "bfloat16", weight_bytes: float = 0.0, warm: bool = True
) -> np.ndarray:
    """Activations [m, k] times weights [k, n]: floor + t_k·k + √(FLOPs² + bytes²).

    ``weight_bytes`` of a weight where it is stored smaller than it is computed (0: as ``dtype``). ``warm``:
    whether weights may be in the cache, as in a loop.
    """
    eff = chip.reached("gemm", measured_format(dtype))
    m, n, k = (np.asarray(x, float) for x in (m, n, k))
    element = operand_bytes(dtype)
    weights = n * k * (weight_bytes or element)
    moved = weights + m * k * element + 2 * m * n
    read = moved * seconds_per_byte(chip, eff, weights if warm else math.inf)
    return eff.floor + eff.per_k * k + np.hypot(gemm_flop_seconds(chip, m, n, k, dtype), read)


def gemm_flop_seconds(chip: Chip, m: Any, n: Any, k: Any, dtype: str) -> np.ndarray:
    """Only the FLOPs of a matmul: what rows cost that ride on a call whose weights are read anyway."""
    eff = chip.reached("gemm", measured_format(dtype))
    return 2.0 * np.asarray(m, float) * n * k / (peak(chip, dtype) * eff.compute)


class Experts(NamedTuple):
    """Routed experts of one layer, and how chips share them."""

    hidden: Any
    """D, which rows come and leave with."""
    inter: Any
    """F of one expert."""
    topk: Any
    """Experts a token."""
    experts: Any
    """E of the model."""
    tp: Any = 1
    """Chips that each expert is cut over."""
    ep: Any = 1
    """Chips that the experts are dealt out to, beside."""


def moe(
    chip: Chip,
    tokens: Any,
    shape: Experts,
    dtype: str = "bfloat16",
    balanced: bool = True,
    weight_bytes: float = 0.0,
) -> np.ndarray:
    """Routed experts of one layer on one chip: floor + (FLOPs^1.5 + bytes^1.5)^(1/1.5) + routed rows.

    Expected distinct experts are read: E(1 − (1 − k/E)^tokens).
    """
    eff = chip.reached("moe", measured_format(dtype))
    tokens, experts = np.asarray(tokens, float), np.asarray(shape.experts, float)
    touched = experts / shape.ep * (1 - (1 - shape.topk / experts) ** tokens)
    weights = 3 * shape.hidden * (shape.inter / np.asarray(shape.tp)) * (weight_bytes or operand_bytes(dtype))
    # A skewed router touches fewer experts than expected, but no step beats the data sheet on those expected.
    fewer = 1.0 if balanced else max(eff.skew_bytes, eff.bandwidth)
    read = touched * weights * seconds_per_byte(chip, eff) * fewer
    flops, rows = moe_row_seconds(chip, tokens, shape, dtype, balanced)
    return eff.floor + _norm(flops, read) + rows


def _norm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x^1.5 + y^1.5)^(1/1.5), by roots, which are quicker than powers."""
    return np.cbrt(np.square(x * np.sqrt(x) + y * np.sqrt(y)))


def moe_row_seconds(
    chip: Chip, tokens: Any, shape: Experts, dtype: str = "bfloat16", balanced: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs and sorting of routed rows: what tokens cost that ride on a call that is made anyway."""
    eff = chip.reached("moe", measured_format(dtype))
    routed = np.asarray(tokens, float) * shape.topk / shape.ep
    flops = (
        6 * routed * shape.hidden * (shape.inter / np.asarray(shape.tp)) / (peak(chip, dtype) * eff.compute)
    )
    rows = eff.per_row * routed * shape.hidden * 2 / chip.hbm_bandwidth
    return flops * (1.0 if balanced else eff.skew_flops), rows


def _moe(
    chip: Chip, tokens: Any, *, dtype: str = "bfloat16", balanced: bool = True, **shape: Any
) -> np.ndarray:
    """``moe`` by the words of ``kernel_seconds``."""
    return moe(chip, tokens, Experts(**shape), dtype, balanced)


def decode_attention(
    chip: Chip, q_heads: Any, kv_heads: Any, batch: Any, context: Any, kv_dtype: str = "bfloat16"
) -> np.ndarray:
    """One new token each of ``batch`` sequences: floor + FLOPs + bytes of K and V."""
    eff = chip.reached("decode_attention", measured_format(kv_dtype))
    tokens = np.asarray(batch, float) * context
    read = tokens * kv_heads * 2 * HEAD_DIM * operand_bytes(kv_dtype)
    flops = 4 * tokens * q_heads * HEAD_DIM / peak(chip, "bfloat16")
    return eff.floor + flops + read * seconds_per_byte(chip, eff, read)


def prefill_attention(
    chip: Chip, q_heads: Any, kv_heads: Any, batch: Any, tokens: Any, kv_dtype: str = "bfloat16"
) -> np.ndarray:
    """Causal attention of whole prompts: floor + t_s·tokens + FLOPs + bytes of Q, K, V and the result."""
    eff = chip.reached("prefill_attention", measured_format(kv_dtype))
    batch, tokens = np.asarray(batch, float), np.asarray(tokens, float)
    flops = 2 * batch * q_heads * HEAD_DIM * tokens**2 / (peak(chip, "bfloat16") * eff.compute)
    moved = batch * tokens * 2 * HEAD_DIM * (2.0 * q_heads + 2.0 * kv_heads)
    return eff.floor + eff.per_token * tokens + flops + moved * seconds_per_byte(chip, eff)


def all_reduce(chip: Chip, gpus: Any, bytes: Any) -> np.ndarray:
    """Sum of a tensor of ``bytes`` over ``gpus`` chips: floor + t_p·(gpus − 1) + 2(gpus − 1)/gpus·bytes."""
    eff, gpus = chip.reached("all_reduce", ANY), np.asarray(gpus, float)
    sent = 2 * (gpus - 1) / gpus * bytes / (chip.link_bandwidth * eff.bandwidth)
    return np.where(gpus > 1, eff.floor + eff.per_peer * (gpus - 1) + sent, 0.0)


_KERNELS: dict[str, Callable[..., np.ndarray]] = {
    "gemm": gemm,
    "moe": _moe,
    "decode_attention": decode_attention,
    "prefill_attention": prefill_attention,
    "all_reduce": all_reduce,
}
